"""The web application: all routes, and what happens to requests that none of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from pulpit.api.web import error_response, json_response
from pulpit.errors import DatabaseUnavailable, MethodNotAllowed

__all__ = ["web_application"]


def web_application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application that serves the routes."""
    app = Starlette(routes=routes, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False
    app.router.default = _NotFound(routes)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Return what the framework refuses in the one error body."""
    status = getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = getattr(error, "headers", None) or {}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response = error_response(request, MethodNotAllowed())
        response.headers.update(headers)
        return response
    return json_response(None, status, headers)


async def _told(request: Request, error: Exception) -> Response:
    """Return an error that a route has left to us in the one error body."""
    return error_response(request, error)


_HANDLERS = {HTTPException: _http_error, DatabaseUnavailable: _told}


class _NotFound:
    """Sends a path without its trailing slash to the one with it; all else is not there."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        with_slash = {**scope, "path": path + "/"}
        response: Response = json_response(None, HTTPStatus.NOT_FOUND)
        if not path.endswith("/") and any(
            route.matches(with_slash)[0] is not Match.NONE for route in self._routes
        ):
            response = RedirectResponse(_with_slash(scope), HTTPStatus.MOVED_PERMANENTLY)
        await response(scope, receive, send)


def _with_slash(scope: Scope) -> str:
    """Return the path and query of the request as sent, with the slash that was left out."""
    path = f"{quote(scope['path'])}/"
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path
