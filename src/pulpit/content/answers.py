"""What the answers of servers mean: statuses, redirects, errors, and who gets credentials."""

from __future__ import annotations

import errno
import os
from http import HTTPStatus
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp

from pulpit.errors import DownloadFailed

__all__ = [
    "REDIRECTS",
    "TryAgain",
    "at_home",
    "basic_header",
    "check_status",
    "reason_of",
    "redirected",
]

#: Statuses that lead elsewhere.
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class TryAgain(Exception):
    """The attempt failed in a way that may pass."""

    def __init__(self, failure: DownloadFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


def basic_header(header: str, username: str | None, password: str | None) -> dict[str, str]:
    """Return the header that carries the credentials, if there are any."""
    if username is None:
        return {}
    return {header: aiohttp.encode_basic_auth(username, password or "", "utf-8")}


def at_home(home: SplitResult, there: SplitResult) -> bool:
    """Tell whether a URL is of the feed's own server (or of it with TLS)."""
    if home.hostname != there.hostname:
        return False
    same = (home.scheme, home.port) == (there.scheme, there.port)
    upgraded = home.scheme == "http" and there.scheme == "https"
    return same or (upgraded and home.port is None and there.port is None)


def redirected(url: str, location: str, shown: str) -> str:
    """Return where a redirect leads.

    Raises:
        DownloadFailed: to a place where it must not lead.
    """
    try:
        target = urljoin(url, location)
        scheme, host = urlsplit(target).scheme, urlsplit(target).hostname
    except ValueError as error:
        raise DownloadFailed(shown, "redirects to something that is no URL") from error
    if not location or not host:
        raise DownloadFailed(shown, "redirects to nowhere")
    origin = urlsplit(url).scheme
    if scheme != origin and (origin, scheme) != ("http", "https"):
        raise DownloadFailed(shown, f"redirects from {origin} to another scheme, {scheme[:20]!r}")
    return target


def check_status(status: int, shown: str) -> None:
    """Pass 200 alone."""
    if status == HTTPStatus.OK:
        return
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    failure = DownloadFailed(shown, phrase)
    raise TryAgain(failure) if status in _RETRIED else failure


def reason_of(error: Exception) -> str:
    """Say what an exception of the library means; the text may hold a URL, so only its kind."""
    if isinstance(error, aiohttp.ClientSSLError):
        return "the certificate or the TLS handshake of the server can't be accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        if number is None or number not in errno.errorcode:
            return "can't connect: the host is not known"
        return f"can't connect: {os.strerror(number)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer is cut off"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "the server closed the connection"
    return f"the server's answer can't be used ({type(error).__name__})"
