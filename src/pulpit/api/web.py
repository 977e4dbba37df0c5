"""What every route has in common: authentication, JSON in and out, and the one error body."""

from __future__ import annotations

import asyncio
import base64
import inspect
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any, Protocol, cast

import anyio
import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.client_certificates import CERTIFICATE
from pulpit.api.rights import needed_operation, needed_resource, resource_at
from pulpit.domain.criteria import Criteria, criteria_from_query, parse_criteria
from pulpit.domain.permissions import Access, Operation
from pulpit.domain.users import Caller
from pulpit.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    BodyTooSlow,
    MissingValue,
    PermissionDenied,
    PulpitError,
)
from pulpit.services.documents import as_object, parse_json, refuse_unknown

__all__ = ["API", "AsyncHandler", "Call", "Gate", "Handler", "error_response", "json_response"]

#: Where Pulp 2's API lives.
API = "/pulp/api/v2"
#: A longer body of a request is refused; bytes.
_BODY_LIMIT = 8 << 20
#: Seconds in which a body must come.
_BODY_SECONDS = 120.0
#: One that is larger than others may be has more: a second for so many bytes.
_BYTES_A_SECOND = 64 << 10
#: Bytes of a large body that are handed on at once; few of them are in memory.
_PIECE = 1 << 20
#: What else answers with a status tell; a restart of the database takes a few seconds.
_ERROR_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Basic realm="pulpit"'},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}
#: Threads for those whose password is still to be verified, so that others never wait for them.
_STRANGERS = 4


def json_response(
    document: Any,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the document as JSON, which no browser takes for a page; a 204 has no body."""
    headers = {"X-Content-Type-Options": "nosniff", **(headers or {})}
    if status == HTTPStatus.NO_CONTENT:
        return Response(status_code=status, headers=headers)
    return Response(
        msgspec.json.encode(document),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def error_response(request: Request, error: Exception) -> Response:
    """Return the error as clients of Pulp 2 expect it; see section "Error body" of the API."""
    known = error if isinstance(error, PulpitError) else PulpitError()
    is_internal = known.status >= HTTPStatus.INTERNAL_SERVER_ERROR and known is not error
    body = {
        # the framework's URL is made of the header Host, which may be anything
        "_href": request.scope["path"],
        "http_status": int(known.status),
        "http_request_method": request.method,
        "error_message": known.message,
        "exception": traceback.format_exception_only(error) if is_internal else None,
        "traceback": traceback.format_exception(error) if is_internal else None,
        "error": known.to_dict(),
        **known.legacy(),
    }
    return json_response(body, known.status, _ERROR_HEADERS.get(known.status))


@dataclass(frozen=True)
class Call:
    """One request to the API, its body read, unless the route takes it in pieces."""

    request: Request
    #: Who asks; None where everybody may.
    caller: Caller | None
    body: bytes
    #: In which a body must come.
    body_seconds: float = _BODY_SECONDS

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    @cached_property
    def document(self) -> Any:
        """The JSON value of the body; None for an empty one.

        Raises:
            NotJson: it is something else.
        """
        return parse_json(self.body)

    async def pieces(self, *, limit: int) -> AsyncIterator[bytes]:
        """Yield the body in pieces, of a route that takes it so; holds little of it in memory.

        Args:
            limit: bytes that it may have.

        Raises:
            BodyTooLarge: it has more; some of it may have been yielded.
            BodyTooSlow: it did not come in time.
        """
        _refuse_announced(self.request, limit)
        gathered, left = bytearray(), limit
        async for part in _within(self.request, self.body_seconds + limit / _BYTES_A_SECOND):
            left -= len(part)
            if left < 0:
                raise BodyTooLarge
            gathered += part
            if len(gathered) >= _PIECE:
                yield bytes(gathered)
                gathered.clear()
        if gathered:
            yield bytes(gathered)

    @property
    def by(self) -> Caller:
        """Who asks, on a route that is not public."""
        if self.caller is None:
            raise AuthenticationFailed
        return self.caller

    def require(self, operation: Operation, resource: str) -> None:
        """Make sure of a right to something beside what the path names.

        Args:
            operation: what is done to it.
            resource: such as ``/v2/repositories/zoo/``.

        Raises:
            PermissionDenied: whoever asks has no such right.
        """
        _check(self.by, operation, resource)

    def flag(self, name: str) -> bool:
        """Tell whether the query asks for something, as in ``?details=true``."""
        return self.request.query_params.get(name, "").lower() in {"true", "1", "yes"}

    def criteria(self, *, beside: Collection[str] = ("importers", "distributors")) -> Criteria:
        """Return the criteria of a search, by GET or POST.

        Args:
            beside: names of what else may be asked for.
        """
        if self.request.method == "POST":
            sent = as_object(self.document)
            refuse_unknown(sent, ("criteria", *beside))
            if "criteria" not in sent:
                raise MissingValue("criteria")
            return parse_criteria(sent["criteria"])
        plain = [
            (name, value)
            for name, value in self.request.query_params.multi_items()
            if name not in {"details", *beside}
        ]
        return criteria_from_query(plain)


#: Answers a call; runs in a thread of its own.
Handler = Callable[[Call], Response]
#: Answers a call in the event loop, which it must not hold up.
AsyncHandler = Callable[[Call], Awaitable[Response]]


class _Logins(Protocol):
    """Who may come in."""

    def recall(self, login: str, password: str) -> Caller | None: ...
    def authenticate(self, login: str, password: str) -> Caller: ...
    def with_token(self, secret: str) -> Caller: ...
    def with_certificate(self, certificate: bytes) -> Caller: ...
    def renewed(self, caller: Caller) -> Caller | None: ...
    def is_surely_current(self, caller: Caller) -> bool: ...


class _Grants(Protocol):
    """What becomes of rights to what comes and goes."""

    def created(self, resource: str, *, by: Access) -> None: ...
    def deleted(self, resource: str) -> None: ...


class Gate:
    """Lets requests in: who is known, and may do what they ask for.

    Args:
        logins: who may come in.
        grants: is told of resources that were made and deleted.
        log: where errors of our own are told.
        body_seconds: in which the body of a request must come.
    """

    def __init__(
        self, logins: _Logins, grants: _Grants, *, log: Any, body_seconds: float = _BODY_SECONDS
    ) -> None:
        self._logins, self._grants = logins, grants
        self._log = log
        self._body_seconds = body_seconds
        self._strangers = anyio.CapacityLimiter(_STRANGERS)

    def route(
        self,
        path: str,
        *,
        public: bool = False,
        streamed: bool = False,
        operations: Mapping[str, Operation] | None = None,
        **handlers: Handler | AsyncHandler,
    ) -> Route:
        """Return a route whose methods are answered by the handlers.

        Who calls it needs a right that follows from method and path, see ``pulpit.api.rights``.

        Args:
            path: Starlette's pattern.
            public: whether everybody may call it.
            streamed: whether the handlers take the body in pieces, by ``Call.pieces``.
            operations: method to what it needs a right to, where that does not follow.
            handlers: by method, such as ``GET=…``.
        """

        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            try:
                resource = needed_resource(path, request.path_params)
                # before the body: a stranger's is not read
                caller = None
                if not public:
                    needed = (operations or {}).get(method) or needed_operation(method, path)
                    caller = await self.admitted(request, needed, resource)
                seconds = self._body_seconds
                body = b"" if streamed else await _body(request, seconds)
                call = Call(request=request, caller=caller, body=body, body_seconds=seconds)
                response = await _answered(handlers[method], call)
                if caller is not None:
                    await self._follow(method, resource, response, caller)
            except PulpitError as error:
                return error_response(request, error)
            except ClientDisconnect:
                # nobody is there to read it
                return Response(status_code=HTTPStatus.BAD_REQUEST)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                self._log.exception("request failed", path=request.url.path)
                return error_response(request, error)
            return response

        return Route(path, endpoint, methods=list(handlers))

    async def admitted(self, request: Request, operation: Operation, resource: str) -> Caller:
        """Return who asks, if they may do that.

        Raises:
            AuthenticationFailed: nobody knows who that is.
            PermissionDenied: they have no right to it.
        """
        caller = await self._caller(request)
        _check(caller, operation, resource)
        return caller

    async def readmitted(
        self, caller: Caller, operation: Operation, resource: str
    ) -> Caller | None:
        """Return somebody who was let in as they are now; None if they would not be let in."""
        present: Caller | None = caller
        if not self._logins.is_surely_current(caller):
            present = await run_in_threadpool(self._logins.renewed, caller)
        if present is None or not present.access.allows(operation, resource):
            return None
        return present

    async def _caller(self, request: Request) -> Caller:
        """Return who asks, or raise AuthenticationFailed."""
        header = request.headers.get("authorization")
        certificate = request.scope.get("state", {}).get(CERTIFICATE)
        if header is None and certificate is not None:
            return await run_in_threadpool(self._logins.with_certificate, certificate)
        scheme, _, credentials = (header or "").partition(" ")
        if scheme.lower() == "bearer":
            return await run_in_threadpool(self._logins.with_token, credentials.strip())
        if scheme.lower() != "basic":
            raise AuthenticationFailed
        login, password = _login_and_password(credentials)
        if known := await run_in_threadpool(self._logins.recall, login, password):
            return known
        return await anyio.to_thread.run_sync(
            self._logins.authenticate, login, password, limiter=self._strangers
        )

    async def _follow(self, method: str, resource: str, response: Response, caller: Caller) -> None:
        """Let rights follow what was made or deleted."""
        location = response.headers.get("location")
        if response.status_code == HTTPStatus.CREATED and location:
            if not caller.access.is_unlimited:
                made = resource_at(location)
                await run_in_threadpool(self._grants.created, made, by=caller.access)
        elif method == "DELETE" and response.status_code == HTTPStatus.OK:
            await run_in_threadpool(self._grants.deleted, resource)


def _check(caller: Caller, operation: Operation, resource: str) -> None:
    """Raise PermissionDenied unless the caller may do that to the resource."""
    if caller.access.allows(operation, resource):
        return
    how = " by a token that may only read" if caller.access.read_only else ""
    raise PermissionDenied(
        f"User {caller.user.login} has no right to {operation} {resource}{how}: "
        "ask somebody who has it to grant it",
        data={"login": caller.user.login, "operation": operation, "resource": resource},
    )


async def _answered(handler: Handler | AsyncHandler, call: Call) -> Response:
    """Return what the handler answers, wherever it runs."""
    if inspect.iscoroutinefunction(handler):
        return cast("Response", await handler(call))
    return await run_in_threadpool(cast("Handler", handler), call)


def _login_and_password(credentials: str) -> tuple[str, str]:
    """Return what HTTP basic authentication holds, or raise AuthenticationFailed."""
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except ValueError:
        raise AuthenticationFailed from None
    login, colon, password = decoded.partition(":")
    if not colon or "\0" in decoded:
        raise AuthenticationFailed
    return login, password


async def _body(request: Request, seconds: float) -> bytes:
    """Return the body of the request, or refuse one that is too long or too slow."""
    _refuse_announced(request, _BODY_LIMIT)
    parts: list[bytes] = []
    size = 0
    async for part in _within(request, seconds):
        size += len(part)
        if size > _BODY_LIMIT:
            raise BodyTooLarge
        parts.append(part)
    return b"".join(parts)


def _refuse_announced(request: Request, limit: int) -> None:
    """Refuse a body that is said to be too long before any of it is read."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge


async def _within(request: Request, seconds: float) -> AsyncIterator[bytes]:
    """Yield the body as it comes, or raise BodyTooSlow when the time is up."""
    deadline = asyncio.get_running_loop().time() + seconds
    parts = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BodyTooSlow from error
        yield part
