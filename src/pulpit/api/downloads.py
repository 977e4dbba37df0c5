"""``actions/download/`` of repositories."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate
from pulpit.services.downloads import Downloads

__all__ = ["routes"]


def routes(gate: Gate, downloads: Downloads) -> Sequence[Route]:
    """Return the route that downloads what is not here yet."""

    def download(call: Call) -> Response:
        return accepted(downloads.start(call.path("repo_id"), call.document))

    return [gate.route(f"{API}/repositories/{{repo_id}}/actions/download/", POST=download)]
