"""HTTP connections to one server: requests in, values or one clear error out.

What is sent and how an answer is judged stands once, in functions; the two classes only carry it.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from pulpit.client.errors import (
    ClientError,
    Unintelligible,
    Unreachable,
    Untrusted,
    api_error,
)
from pulpit.client.requests import Request

__all__ = [
    "AsyncConnection",
    "Auth",
    "Connection",
    "StreamRequest",
    "authorities",
    "http_auth",
    "secure_error",
]

#: Login and password, a token, or nothing.
Auth = tuple[str, str] | str | None

#: Heartbeats come far more often; a stream that is silent for so long is dead.
STREAM_SILENCE_SECONDS = 60.0
_FIRST_ERROR_STATUS = 400
#: What a connection raises that was open before and that the server has closed meanwhile.
_BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
# verification results of OpenSSL (x509_vfy.h)
_DATES = {9: "it is not valid yet", 10: "it has expired"}
_NAMES = {62, 64}
#: What OpenSSL says where no TLS is spoken.
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}

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
        auth: login and password, or a token, or None to go without.
        timeout: seconds to connect, and to wait for an answer.
        cafile: PEM file of the authorities that vouch for an https server; None for the system's.
        transport: what carries the requests; None for the network.

    Raises:
        ValueError: the URL is no server's, or the file holds no authorities.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: Auth = None,
        timeout: float = 30.0,
        cafile: str | os.PathLike[str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        settings = _settings(self.url, auth, timeout, cafile)
        self._http = httpx.Client(transport=transport, **settings)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ask(self, request: Request[T]) -> T:
        """Return what the answer means.

        Raises:
            Unreachable: no answer.
        Untrusted: the server's certificate is not to be trusted.
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
        Untrusted: the server's certificate is not to be trusted.
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
        auth: Auth = None,
        timeout: float = 30.0,
        cafile: str | os.PathLike[str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        settings = _settings(self.url, auth, timeout, cafile)
        self._http = httpx.AsyncClient(transport=transport, **settings)

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


class _Bearer(httpx.Auth):
    """Sends a token with each request."""

    def __init__(self, token: str) -> None:
        if not token.isascii() or not token.isprintable():
            raise ValueError("the token holds characters that no token has")
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add it."""
        request.headers["Authorization"] = self._header
        yield request


def http_auth(auth: Auth) -> httpx.Auth | tuple[str, str] | None:
    """Return login and password, or a token, as httpx takes it.

    Raises:
        ValueError: it is no token.
    """
    return _Bearer(auth) if isinstance(auth, str) else auth


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


def _settings(
    url: str,
    auth: Auth,
    timeout: float,
    cafile: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Return how httpx speaks to the server."""
    return {
        # its own choice would be a list of authorities that nobody on this machine has chosen
        "verify": authorities(cafile) if url.startswith("https") else True,
        "base_url": url,
        "auth": http_auth(auth),
        "timeout": timeout,
        "trust_env": not _is_loopback(url),
    }


def authorities(cafile: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Return the context that trusts those of a file, or else the system's.

    Raises:
        ValueError: the file can't be read, or holds none.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ValueError(f"{cafile} can't be read: {error.strerror}") from None
    except (ssl.SSLError, ValueError):
        raise ValueError(
            f"{cafile} holds no authorities' certificates as PEM (-----BEGIN CERTIFICATE-----)"
        ) from None


def _sent(request: Request[Any]) -> dict[str, Any]:
    """Return the request as httpx takes it."""
    sent: dict[str, Any] = {"method": request.method, "url": request.path}
    headers = {"Accept": "application/json"}
    if request.json is not None:
        sent["content"] = msgspec.json.encode(request.json)
        headers["Content-Type"] = "application/json"
    elif request.content is not None:
        sent["content"] = request.content
        headers["Content-Type"] = "application/octet-stream"
    return {**sent, "params": request.params, "headers": headers}


def _is_safe(request: Request[Any]) -> bool:
    """Return whether asking twice does no harm (RFC 9110, section 9.2.2)."""
    return request.method == "GET" or request.content is not None


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
    """Turn what the network raises into Unreachable, or what is wrong with TLS."""
    try:
        yield
    except httpx.TimeoutException:
        raise Unreachable(url, "it did not answer in time") from None
    except httpx.TransportError as error:
        raise secure_error(url, error) or Unreachable(url, _plain(error)) from None


def secure_error(url: str, error: BaseException) -> Untrusted | Unintelligible | None:
    """Return what is wrong with the server's TLS, if that is why *error* was raised."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Untrusted(url, *_distrust(cause))
    if cause is not None and cause.reason in _NO_TLS:
        return Unintelligible(url, "it speaks no TLS: try http:// in its address")
    return None


def _distrust(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """Return why a certificate is not trusted, and what to do."""
    if error.verify_code in _DATES:
        return _DATES[error.verify_code], "renew it at the server, and look at both clocks"
    if error.verify_code in _NAMES:
        return (
            "it is for another host name",
            "name the server as its certificate does, or have one issued for this name",
        )
    return (
        f"no authority that is trusted here vouches for it: {error.verify_message}",
        "name the file of its authority with --cafile or PULPIT_CAFILE",
    )


def _plain(error: Exception) -> str:
    """Return the reason without the number that the system gives it."""
    text = str(error) or type(error).__name__
    return text.partition("] ")[2] or text
