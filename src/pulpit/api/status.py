"""``/pulp/api/v2/status/``: how the server is; for everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response

__all__ = ["routes"]


def routes(gate: Gate, status: Callable[[], Mapping[str, Any]]) -> Sequence[Route]:
    """Return the route of the status, which *status* tells."""

    def show(_call: Call) -> Response:
        return json_response(status())

    return [gate.route(f"{API}/status/", public=True, GET=show)]
