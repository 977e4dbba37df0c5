"""What a client may meet.

The tree::

    ClientError
    ├── Unreachable          no connection, or it broke and did not come back
    ├── Untrusted            its certificate is not to be trusted
    ├── Unintelligible       something answered that is no Pulpit server
    └── ApiError             the server said no; carries status, code, message and data
        ├── Unauthenticated  401
        ├── Forbidden        403
        ├── NotFound         404
        └── Conflict         409
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import httpx
import msgspec

__all__ = [
    "ApiError",
    "ClientError",
    "Conflict",
    "Forbidden",
    "NotFound",
    "Unauthenticated",
    "Unintelligible",
    "Unreachable",
    "Untrusted",
]


class ClientError(Exception):
    """A request had no good end; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(ClientError):
    """No server answers there.

    Args:
        url: the address that was tried.
        reason: why it failed, in the words of the system.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"No server answers at {url} ({reason}): start one with `pulpit serve`, "
            "or name another with --url or PULPIT_URL."
        )
        self.url, self.reason = url, reason


class Untrusted(ClientError):
    """The server's certificate is not to be trusted.

    Args:
        url: the address that was tried.
        reason: what is wrong with the certificate.
        remedy: what to do.
    """

    def __init__(self, url: str, reason: str, remedy: str) -> None:
        super().__init__(f"The certificate of {url} is not trusted ({reason}): {remedy}.")
        self.url, self.reason = url, reason


class Unintelligible(ClientError):
    """What answered does not speak this API."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"What answers at {url} is no Pulpit server: {reason}.")
        self.url, self.reason = url, reason


class ApiError(ClientError):
    """The server said no.

    Args:
        status: the HTTP status.
        code: the error's code, such as ``PLP0009``; empty when the answer has none.
        message: the server's own words.
        data: what the error is about, by name.
    """

    #: The one status of this class; None for the base, which stands for all others.
    of_status: ClassVar[HTTPStatus | None] = None

    def __init__(
        self, status: int, code: str, message: str, data: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.data = status, code, dict(data or {})


class Unauthenticated(ApiError):
    """The server does not know this login and password."""

    of_status = HTTPStatus.UNAUTHORIZED


class Forbidden(ApiError):
    """This user may not do that."""

    of_status = HTTPStatus.FORBIDDEN


class NotFound(ApiError):
    """There is no such thing."""

    of_status = HTTPStatus.NOT_FOUND


class Conflict(ApiError):
    """A thing of that id is there already."""

    of_status = HTTPStatus.CONFLICT


def api_error(response: httpx.Response) -> ApiError:
    """Return the error that the answer tells, whose body may be anything."""
    status = response.status_code
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        body = None
    body = body if isinstance(body, dict) else {}
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    data = error.get("data")
    message = error.get("description") or body.get("error_message")
    fallback = f"{response.request.method} {response.url.path}: HTTP {status}"
    kinds = {kind.of_status: kind for kind in ApiError.__subclasses__()}
    return kinds.get(_known(status), ApiError)(
        status,
        str(error.get("code") or ""),
        message if isinstance(message, str) else fallback,
        data if isinstance(data, dict) else None,
    )


def _known(status: int) -> HTTPStatus | None:
    """Return the status as a member of the standard's list, or None."""
    return HTTPStatus(status) if status in HTTPStatus._value2member_map_ else None
