"""Who may come in: the mechanisms of the login, and how guessing is slowed down."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pamqp import commands, decode

__all__ = ["Authenticate", "Gate", "is_loopback"]

Authenticate = Callable[[str, str], Awaitable[bool]]

_GUEST: Final = ("guest", "guest")
_REMEMBERED: Final = 10_000
# login, password and what SASL PLAIN puts before them
_PLAIN_PARTS: Final = 3


def is_loopback(host: str) -> bool:
    """Return whether *host* is a loopback address, also one of IPv4 written as IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _plain(response: str | bytes) -> tuple[str, str] | None:
    """Return login and password of SASL PLAIN."""
    text = response if isinstance(response, str) else response.decode(errors="replace")
    parts = text.split("\0")
    return (parts[1], parts[2]) if len(parts) == _PLAIN_PARTS else None


def _amqplain(response: str | bytes) -> tuple[str, str] | None:
    """Return login and password of AMQPLAIN, a field table without its length."""
    raw = response.encode() if isinstance(response, str) else response
    try:
        _, table = decode.field_table(len(raw).to_bytes(4, "big") + raw)
    except (ValueError, LookupError, ArithmeticError, OSError, RecursionError):
        return None
    login, password = table.get("LOGIN"), table.get("PASSWORD")
    return (login, password) if isinstance(login, str) and isinstance(password, str) else None


class _Failures:
    """Counts failures by key; each key may have *burst*, and one more every *seconds*."""

    def __init__(self, *, burst: int, seconds: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        # key to the time at which all its failures are forgotten
        self._until: OrderedDict[Any, float] = OrderedDict()

    def too_many(self, key: Any) -> bool:
        """Return whether *key* must wait before it may try again."""
        left = self._until.get(key, 0.0) - self._clock()
        return left > self._seconds * (self._burst - 1)

    def add(self, key: Any) -> None:
        """Count a failure."""
        now = self._clock()
        self._until[key] = max(self._until.get(key, 0.0), now) + self._seconds
        self._until.move_to_end(key)
        if len(self._until) > _REMEMBERED:
            self._until.popitem(last=False)


class Gate:
    """Judges the answer to connection.start."""

    def __init__(
        self,
        authenticate: Authenticate,
        *,
        anonymous_loopback: bool,
        concurrency: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authenticate = authenticate
        self._anonymous_loopback = anonymous_loopback
        self._concurrency = asyncio.Semaphore(concurrency)
        self._of_login = _Failures(burst=10, seconds=6, clock=clock)
        self._of_host = _Failures(burst=100, seconds=1, clock=clock)

    def mechanisms(self, host: str) -> str:
        """Return the names of the mechanisms offered to a peer at *host*."""
        return "PLAIN AMQPLAIN" + (" ANONYMOUS" if self._is_anonymous(host) else "")

    async def admit(self, start_ok: commands.Connection.StartOk, host: str) -> str | None:
        """Return the login of the user that may come in, or None."""
        mechanism, response = start_ok.mechanism, start_ok.response
        if mechanism == "ANONYMOUS":
            return "anonymous" if self._is_anonymous(host) else None
        reader = {"PLAIN": _plain, "AMQPLAIN": _amqplain}.get(mechanism)
        credentials = reader(response) if reader else None
        if credentials is None:
            return None
        if credentials == _GUEST and self._is_anonymous(host):
            return credentials[0]
        return credentials[0] if await self._check(credentials, host) else None

    def _is_anonymous(self, host: str) -> bool:
        return self._anonymous_loopback and is_loopback(host)

    async def _check(self, credentials: tuple[str, str], host: str) -> bool:
        """Ask for the password to be checked, unless too many were wrong already."""
        login, password = credentials
        key = (host, login)
        async with self._concurrency:
            # asked in here, so that those who come at once are counted as well
            if self._of_login.too_many(key) or self._of_host.too_many(host):
                return False
            good = await self._authenticate(login, password)
        if not good:
            self._of_login.add(key)
            self._of_host.add(host)
        return good
