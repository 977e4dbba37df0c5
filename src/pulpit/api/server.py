"""The web application: all routes, and what happens to requests that none of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from pulpit.api.web import error_response, json_response
from pulpit.errors import PulpitError, RequestError

__all__ = ["web_application"]


class _MethodNotAllowed(RequestError):
    """That method can't be used here."""

    code = "PLP0045"
    status = HTTPStatus.METHOD_NOT_ALLOWED


class _TooLarge(RequestError):
    """The body of the request is too large."""

    code = "PLP0046"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


_KINDS: dict[int, type[PulpitError]] = {
    HTTPStatus.METHOD_NOT_ALLOWED: _MethodNotAllowed,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _TooLarge,
}


def web_application(routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application that serves the routes."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    app.router.redirect_slashes = False
    app.router.default = _NotFound(routes)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Return what the framework refuses in the one error body."""
    status = getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = getattr(error, "headers", None) or {}
    if kind := _KINDS.get(status):
        response = error_response(request, kind())
        response.headers.update(headers)
        return response
    return json_response(None, status, headers)


class _NotFound:
    """Sends a path without its trailing slash to the one with it; all else is not there."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        path = scope["path"]
        with_slash = {**scope, "path": path + "/"}
        if not path.endswith("/") and any(
            route.matches(with_slash)[0] is not Match.NONE for route in self._routes
        ):
            url = request.url.replace(path=path + "/")
            response: Response = RedirectResponse(
                f"{url.path}?{url.query}" if url.query else url.path,
                status_code=HTTPStatus.MOVED_PERMANENTLY,
            )
        else:
            response = json_response(None, HTTPStatus.NOT_FOUND)
        await response(scope, receive, send)
