"""``/metrics``: the server's figures as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.queries import accepted_types
from pulpit.api.web import Gate, error_response
from pulpit.domain.permissions import Operation
from pulpit.errors import PulpitError

__all__ = ["METRICS", "Scrape", "routes"]

METRICS = "/metrics"
_OPENMETRICS = "application/openmetrics-text"
#: Whether OpenMetrics is wanted, to the type of the answer.
_TYPES = {
    True: f"{_OPENMETRICS}; version=1.0.0; charset=utf-8",
    False: "text/plain; version=0.0.4; charset=utf-8",
}

#: Returns the page, as OpenMetrics or not.
Scrape = Callable[[bool], Awaitable[bytes]]


def routes(gate: Gate, scrape: Scrape, *, public: bool) -> Sequence[Route]:
    """Return the route of the metrics.

    Args:
        gate: lets users in.
        scrape: makes the page; must not wait long for anything.
        public: whether everybody may read it.
    """

    async def endpoint(request: Request) -> Response:
        if not public:
            try:
                await gate.admitted(request, Operation.READ, f"{METRICS}/")
            except PulpitError as error:
                return error_response(request, error)
        openmetrics = _OPENMETRICS in accepted_types(request)
        # no thread: where the database hangs, those of others all may
        return Response(
            await scrape(openmetrics),
            headers={"Content-Type": _TYPES[openmetrics], "Cache-Control": "no-store"},
        )

    return [Route(METRICS, endpoint, methods=["GET"])]
