"""``/pulpit/v1/listeners/<id>/deliveries/``: what a listener was told; telling it again."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.listener_documents import LISTENERS, delivery_details, delivery_document
from pulpit.api.queries import limit, members, number, single
from pulpit.api.web import Call, Gate, json_response
from pulpit.domain.deliveries import DeliveryState
from pulpit.domain.permissions import Operation
from pulpit.services.deliveries import Deliveries, moment

__all__ = ["routes"]

_ONE = f"{LISTENERS}{{listener_id}}/"
#: Deliveries on a page, unless asked for otherwise and at the most.
_PAGE, _PAGE_MOST = 100, 1_000

#: What actions that lie at a path of their own need a right to.
_EXECUTE = {"POST": Operation.EXECUTE}


def routes(gate: Gate, deliveries: Deliveries) -> Sequence[Route]:
    """Return the routes of deliveries."""

    def listing(call: Call) -> Response:
        query = call.request.query_params
        since = single(query, "since")
        page = deliveries.page(
            call.path("listener_id"),
            states=members(DeliveryState, query, "state"),
            since=None if since is None else moment(since, "since"),
            before=number(single(query, "before"), "before"),
            limit=limit(query, default=_PAGE, most=_PAGE_MOST),
        )
        listed = [delivery_document(delivery) for delivery in page.deliveries]
        return json_response({"deliveries": listed, "next": page.next})

    def show(call: Call) -> Response:
        delivery = deliveries.get(call.path("listener_id"), call.path("delivery_id"))
        return json_response(delivery_details(delivery))

    def resend(call: Call) -> Response:
        return json_response({"resent": deliveries.resend(call.path("listener_id"), call.document)})

    return [
        gate.route(f"{_ONE}deliveries/", GET=listing),
        gate.route(f"{_ONE}deliveries/{{delivery_id}}/", GET=show),
        gate.route(f"{_ONE}resend/", operations=_EXECUTE, POST=resend),
    ]
