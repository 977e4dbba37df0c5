"""``/pulp/api/v2/events/`` and ``/pulpit/v1/listeners/``: event listeners.

The first is Pulp 2's; the second has all that is beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.listener_documents import (
    LISTENERS,
    exchange_document,
    finding_document,
    full_document,
    pulp2_document,
    receipt_document,
)
from pulpit.api.web import Call, Gate, json_response
from pulpit.domain.clock import render_time
from pulpit.domain.deliveries import Verdict
from pulpit.domain.listeners import LISTENERS_HREF
from pulpit.domain.permissions import Operation
from pulpit.services.documents import as_object, refuse_unknown
from pulpit.services.listeners import Listeners, ListenerView
from pulpit.services.trials import Trials

__all__ = ["routes"]

_ONE = f"{LISTENERS}{{listener_id}}/"
#: Answers that hold a secret, which nobody on the way may keep.
_UNSTORED = {"Cache-Control": "no-store"}

#: What actions that lie at a path of their own need a right to.
_EXECUTE = {"POST": Operation.EXECUTE}


def routes(gate: Gate, listeners: Listeners, trials: Trials) -> Sequence[Route]:
    """Return the routes of listeners."""
    return [*_pulp2_routes(gate, listeners), *_own_routes(gate, listeners, trials)]


def _pulp2_routes(gate: Gate, listeners: Listeners) -> Sequence[Route]:
    """Return the routes that Pulp 2 had."""

    def listing(_call: Call) -> Response:
        return json_response([pulp2_document(view) for view in listeners.list()])

    def create(call: Call) -> Response:
        document = pulp2_document(listeners.create(call.document))
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def show(call: Call) -> Response:
        return json_response(pulp2_document(listeners.get(_listener(call))))

    def update(call: Call) -> Response:
        return json_response(pulp2_document(listeners.update(_listener(call), call.document)))

    def delete(call: Call) -> Response:
        listeners.delete(_listener(call))
        return json_response(None)

    return [
        gate.route(LISTENERS_HREF, GET=listing, POST=create),
        gate.route(f"{LISTENERS_HREF}{{listener_id}}/", GET=show, PUT=update, DELETE=delete),
    ]


def _own_routes(gate: Gate, listeners: Listeners, trials: Trials) -> Sequence[Route]:
    """Return the routes that are Pulpit's own."""

    def document(view: ListenerView) -> dict[str, Any]:
        return full_document(view, listeners.counts().get(view.listener.id, {}))

    def listing(_call: Call) -> Response:
        views, counts = listeners.list(), listeners.counts()
        return json_response(
            [full_document(view, counts.get(view.listener.id, {})) for view in views]
        )

    def create(call: Call) -> Response:
        view = listeners.create(call.document)
        created = document(view)
        headers = {"Location": created["_href"], **_UNSTORED}
        signing = view.secrets.signing if view.secrets else ()
        secret = {"secret": signing[0].value} if signing else {}
        return json_response(created | secret, HTTPStatus.CREATED, headers)

    def show(call: Call) -> Response:
        return json_response(document(listeners.get(_listener(call))))

    def update(call: Call) -> Response:
        return json_response(document(listeners.update(_listener(call), call.document)))

    def delete(call: Call) -> Response:
        listeners.delete(_listener(call))
        return json_response(None)

    def enable(call: Call) -> Response:
        _take_nothing(call)
        return json_response(document(listeners.enable(_listener(call))))

    def disable(call: Call) -> Response:
        return json_response(document(listeners.disable(_listener(call), call.document)))

    def rotate_secret(call: Call) -> Response:
        rotated = listeners.rotate_secret(_listener(call), call.document)
        told = {"secret": rotated.secret, "until": render_time(rotated.until)}
        return json_response(told, headers=_UNSTORED)

    async def test(call: Call) -> Response:
        _take_nothing(call)
        tested = await trials.test(_listener(call))
        return json_response(
            {
                "delivered": tested.receipt.verdict is Verdict.DELIVERED,
                "disabled": not tested.is_enabled,
                "receipt": receipt_document(tested.receipt),
                "exchange": exchange_document(tested.receipt.exchange),
            }
        )

    async def doctor(call: Call) -> Response:
        _take_nothing(call)
        findings = await trials.diagnose(_listener(call))
        return json_response({"findings": [finding_document(finding) for finding in findings]})

    return [
        gate.route(LISTENERS, GET=listing, POST=create),
        gate.route(_ONE, GET=show, PUT=update, DELETE=delete),
        gate.route(f"{_ONE}enable/", operations=_EXECUTE, POST=enable),
        gate.route(f"{_ONE}disable/", operations=_EXECUTE, POST=disable),
        gate.route(f"{_ONE}rotate-secret/", operations=_EXECUTE, POST=rotate_secret),
        gate.route(f"{_ONE}test/", operations=_EXECUTE, POST=test),
        gate.route(f"{_ONE}doctor/", operations=_EXECUTE, POST=doctor),
    ]


def _listener(call: Call) -> str:
    return call.path("listener_id")


def _take_nothing(call: Call) -> None:
    """Raise UnsupportedValue or WrongJsonType for a body that says something."""
    if call.document is not None:
        refuse_unknown(as_object(call.document), ())
