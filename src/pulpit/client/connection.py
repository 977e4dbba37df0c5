"""HTTP connections to one server: requests in, values or one clear error out.

What is sent and how an answer is judged stands once, in functions; the two classes only carry it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from pulpit.client.errors import ClientError, Unintelligible, Unreachable, api_error
from pulpit.client.requests import Request

__all__ = ["AsyncConnection", "Connection", "StreamRequest"]

#: Heartbeats come far more often; a stream that is silent for so long is dead.
STREAM_SILENCE_SECONDS = 60.0
_FIRST_ERROR_STATUS = 400
#: What a connection raises that was open before and that the server has closed meanwhile.
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """The request for an endless answer."""

    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]


class Connection:
    """Sends requests to one server and waits for their answers.

    Args:
        url: the server's address, without a path of the API.
        auth: login and password, or None to go without.
        timeout: seconds to connect, and to wait for an answer.
        transport: what carries the requests; None for the network.

    Raises:
        ValueError: the URL is no server's.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self._http = httpx.Client(transport=transport, **_settings(self.url, auth, timeout))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ask(self, request: Request[T]) -> T:
        """Return what the answer means.

        Raises:
            Unreachable: no answer.
            ApiError: the server said no.
            Unintelligible: the answer is not what the request asks for.
        """
        with _reaching(self.url):
            try:
                response = self._http.request(**_sent(request))
            except _BROKEN:
                if not _is_safe(request):
                    raise
                response = self._http.request(**_sent(request))
        return _read(self.url, request, response)

    @contextmanager
    def stream(self, request: StreamRequest) -> Iterator[httpx.Response]:
        """Hold an endless answer open.

        Raises:
            Unreachable: no connection, or it broke.
            ApiError: the server said no.
            Unintelligible: the answer is no event stream.
        """
        arguments = _sent_for_stream(request, self._http.timeout)
        with _reaching(self.url), self._http.stream(**arguments) as response:
            if response.status_code >= _FIRST_ERROR_STATUS:
                response.read()
            _check_stream(self.url, response)
            yield response


class AsyncConnection:
    """As Connection, on an event loop."""

    def __init__(
        self,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self._http = httpx.AsyncClient(transport=transport, **_settings(self.url, auth, timeout))

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def ask(self, request: Request[T]) -> T:
        """Return what the answer means; raises as the blocking one."""
        with _reaching(self.url):
            try:
                response = await self._http.request(**_sent(request))
            except _BROKEN:
                if not _is_safe(request):
                    raise
                response = await self._http.request(**_sent(request))
        return _read(self.url, request, response)

    @asynccontextmanager
    async def stream(self, request: StreamRequest) -> AsyncIterator[httpx.Response]:
        """Hold an endless answer open; raises as the blocking one."""
        arguments = _sent_for_stream(request, self._http.timeout)
        with _reaching(self.url):
            async with self._http.stream(**arguments) as response:
                if response.status_code >= _FIRST_ERROR_STATUS:
                    await response.aread()
                _check_stream(self.url, response)
                yield response


def _checked_url(url: str) -> str:
    """Return *url* without the slash at its end.

    Raises:
        ValueError: it is no http or https address, or carries credentials.
    """
    split = urlsplit(url)
    if split.scheme not in {"http", "https"} or not split.hostname:
        raise ValueError(f"{url!r} is not an http:// or https:// address")
    if split.username or split.password:
        raise ValueError("name the login with --user or PULPIT_USER, not in the URL")
    # urlsplit checks the port only when asked for it
    _ = split.port
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    """Return whether the address is this machine's own, which no proxy reaches."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _settings(url: str, auth: tuple[str, str] | None, timeout: float) -> dict[str, Any]:
    """Return how httpx speaks to the server."""
    return {
        "base_url": url,
        "auth": auth,
        "timeout": timeout,
        "trust_env": not _is_loopback(url),
    }


def _sent(request: Request[Any]) -> dict[str, Any]:
    """Return the request as httpx takes it."""
    sent: dict[str, Any] = {"method": request.method, "url": request.path}
    headers = {"Accept": "application/json"}
    if request.json is not None:
        sent["content"] = msgspec.json.encode(request.json)
        headers["Content-Type"] = "application/json"
    return {**sent, "params": request.params, "headers": headers}


def _is_safe(request: Request[Any]) -> bool:
    """Return whether asking twice does no harm (RFC 9110, section 9.2.2)."""
    return request.method == "GET"


def _read(url: str, request: Request[T], response: httpx.Response) -> T:
    """Return what the answer means, or raise why it means nothing."""
    if response.is_redirect:
        where = response.headers.get("Location", "nowhere")
        raise Unintelligible(url, f"it redirects {request.path} to {where}")
    if response.status_code >= _FIRST_ERROR_STATUS:
        raise _refusal(url, response)
    try:
        return request.read(msgspec.json.decode(response.content) if response.content else None)
    except msgspec.DecodeError:
        raise Unintelligible(url, f"{request.path} is not JSON") from None
    except ValueError as error:
        raise Unintelligible(url, f"{request.path} is {error}") from None


def _refusal(url: str, response: httpx.Response) -> ClientError:
    """Return the error of an answer that is one."""
    # what a Pulpit server lacks it says in JSON
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    if response.status_code == HTTPStatus.NOT_FOUND and not is_json:
        return Unintelligible(url, f"it has no {response.request.url.path}")
    return api_error(response)


def _sent_for_stream(request: StreamRequest, timeout: httpx.Timeout) -> dict[str, Any]:
    """Return the request for a stream as httpx takes it."""
    return {
        "method": "GET",
        "url": request.path,
        "params": request.params,
        "headers": {"Accept": "text/event-stream", **request.headers},
        "timeout": httpx.Timeout(timeout.connect, read=STREAM_SILENCE_SECONDS),
    }


def _check_stream(url: str, response: httpx.Response) -> None:
    """Raise why the answer is no stream, if it is none."""
    if response.status_code >= _FIRST_ERROR_STATUS:
        raise _refusal(url, response)
    if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
        raise Unintelligible(url, f"{response.request.url.path} is not an event stream")


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Turn what the network raises into Unreachable."""
    try:
        yield
    except httpx.TimeoutException:
        raise Unreachable(url, "it did not answer in time") from None
    except httpx.TransportError as error:
        raise Unreachable(url, _plain(error)) from None


def _plain(error: Exception) -> str:
    """Return the reason without the number that the system gives it."""
    text = str(error) or type(error).__name__
    return text.partition("] ")[2] or text
