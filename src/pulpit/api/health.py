"""``/live`` and ``/ready``: probes for whoever restarts the server or sends requests to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import json_response

__all__ = ["LIVE", "READY", "routes"]

LIVE, READY = "/live", "/ready"

#: Whether all is well, and the document that says why.
Told = tuple[bool, Mapping[str, Any]]


def routes(live: Callable[[], Told], ready: Callable[[], Awaitable[Told]]) -> Sequence[Route]:
    """Return the routes of the probes, which are for everybody.

    Args:
        live: tells whether the server lives.
        ready: tells whether requests should come here; must not wait long for anything.
    """

    # no threads: where the database hangs, those of others all may
    async def show_live(_request: Request) -> Response:
        return _answer(live())

    async def show_ready(_request: Request) -> Response:
        return _answer(await ready())

    return [
        Route(LIVE, show_live, methods=["GET"]),
        Route(READY, show_ready, methods=["GET"]),
    ]


def _answer(told: Told) -> Response:
    """Return 200 or 503 with the reasons."""
    well, document = told
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return json_response(document, status, {"Cache-Control": "no-store"})
