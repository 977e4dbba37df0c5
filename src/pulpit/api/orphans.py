"""``/pulp/api/v2/content/orphans/``: units that nothing holds any longer."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.orphans import ORPHANS_HREF, orphan_document
from pulpit.services.orphans import Orphans

__all__ = ["routes"]

_ALL = f"{API}/content/orphans"


def routes(gate: Gate, orphans: Orphans) -> Sequence[Route]:
    """Return the routes of orphans."""

    def counts(_call: Call) -> Response:
        return json_response(
            {
                type_id: {"count": count, "_href": f"{ORPHANS_HREF}{type_id}/"}
                for type_id, count in orphans.counts().items()
            }
        )

    def remove_all(_call: Call) -> Response:
        return accepted(orphans.remove_all())

    def listing(call: Call) -> Response:
        return json_response([orphan_document(one) for one in orphans.list(_type(call))])

    def remove_type(call: Call) -> Response:
        return accepted(orphans.remove_type(_type(call)))

    def show(call: Call) -> Response:
        return json_response(orphan_document(orphans.get(_type(call), _unit(call))))

    def remove(call: Call) -> Response:
        return accepted(orphans.remove(_type(call), _unit(call)))

    def remove_listed(call: Call) -> Response:
        return accepted(orphans.remove_listed(call.document))

    return [
        gate.route(f"{_ALL}/", GET=counts, DELETE=remove_all),
        gate.route(f"{_ALL}/{{type_id}}/", GET=listing, DELETE=remove_type),
        gate.route(f"{_ALL}/{{type_id}}/{{unit_id}}/", GET=show, DELETE=remove),
        gate.route(f"{API}/content/actions/delete_orphans/", POST=remove_listed),
    ]


def _type(call: Call) -> str:
    return call.path("type_id")


def _unit(call: Call) -> str:
    return call.path("unit_id")
