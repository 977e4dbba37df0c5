"""One HTTP connection to a server: requests in, JSON or one clear error out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from pulpit.client.errors import Unintelligible, Unreachable, api_error

__all__ = ["Connection", "path"]

#: Heartbeats come far more often; a stream that is silent for so long is dead.
STREAM_SILENCE_SECONDS = 60.0
_FIRST_ERROR_STATUS = 400


def path(*parts: str) -> str:
    """Return *parts*, quoted, as a path with slashes around and between them."""
    return "".join(f"/{quote(part, safe='')}" for part in parts) + "/"


def checked_url(url: str) -> str:
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


class Connection:
    """Sends requests to one server; to be closed, or used as a context manager.

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
        self.url = checked_url(url)
        self._http = httpx.Client(
            base_url=self.url,
            auth=auth,
            timeout=timeout,
            transport=transport,
            trust_env=not _is_loopback(self.url),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def request(
        self,
        method: str,
        url_path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        accept: str = "application/json",
    ) -> Any:
        """Return the JSON of the answer.

        Raises:
            Unreachable: no answer.
            ApiError: the server said no.
            Unintelligible: the answer is no JSON.
        """
        headers = {"Accept": accept}
        content = None
        if json is not None:
            content = msgspec.json.encode(json)
            headers["Content-Type"] = "application/json"
        with self._reaching():
            response = self._http.request(
                method, url_path, content=content, params=params, headers=headers
            )
        if response.is_redirect:
            where = response.headers.get("Location", "nowhere")
            raise Unintelligible(self.url, f"it redirects {url_path} to {where}")
        if response.status_code >= _FIRST_ERROR_STATUS:
            raise api_error(response)
        if not response.content:
            return None
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise Unintelligible(self.url, f"{url_path} is not JSON") from None

    @contextmanager
    def stream(
        self, url_path: str, *, params: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """Hold an endless answer open.

        Raises:
            Unreachable: no connection, or it broke.
            ApiError: the server said no.
            Unintelligible: the answer is no event stream.
        """
        timeout = httpx.Timeout(self._http.timeout.connect, read=STREAM_SILENCE_SECONDS)
        with (
            self._reaching(),
            self._http.stream(
                "GET",
                url_path,
                params=params,
                headers={"Accept": "text/event-stream", **headers},
                timeout=timeout,
            ) as response,
        ):
            if response.status_code >= _FIRST_ERROR_STATUS:
                response.read()
                raise api_error(response)
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise Unintelligible(self.url, f"{url_path} is not an event stream")
            yield response

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn what the network raises into Unreachable."""
        try:
            yield
        except httpx.TimeoutException:
            raise Unreachable(self.url, "it did not answer in time") from None
        except httpx.TransportError as error:
            raise Unreachable(self.url, _plain(error)) from None


def _plain(error: Exception) -> str:
    """Return the reason without the number that the system gives it."""
    text = str(error) or type(error).__name__
    return text.partition("] ")[2] or text
