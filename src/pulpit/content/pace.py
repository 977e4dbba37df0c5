"""The speed of transfers: not above what was allowed, not below what is worth waiting for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

__all__ = ["Pace", "Throttle"]

#: Bytes per second below which a transfer is not worth waiting for.
_MIN_RATE = 100.0


class Throttle:
    """Keeps transfers together at a number of bytes per second."""

    def __init__(self, rate: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._clock = clock
        #: When what was taken so far may have been taken.
        self._due = clock()

    def delay(self, size: int) -> float:
        """Take *size* bytes; return the seconds to wait before the next are taken."""
        now = self._clock()
        self._due = max(self._due, now - 1.0) + size / self._rate
        return max(0.0, self._due - now)

    async def wait(self, size: int) -> None:
        """Take *size* bytes and wait as long as they cost."""
        if delay := self.delay(size):
            await asyncio.sleep(delay)


class Pace:
    """Notices a transfer that trickles, so that no single wait is long and it never ends."""

    def __init__(
        self, window: float, max_speed: int | None, *, clock: Callable[[], float] = monotonic
    ) -> None:
        """Look at windows of that many seconds; *max_speed* is our own limit, if any."""
        self._window = window
        self._rate = min(_MIN_RATE, (max_speed or _MIN_RATE) / 20)
        self._clock = clock
        self._start = clock()
        self._received = 0

    def too_slow(self, size: int) -> bool:
        """Count *size* bytes; return whether the last window brought too few."""
        self._received += size
        elapsed = self._clock() - self._start
        if elapsed < self._window:
            return False
        slow = self._received < self._rate * elapsed
        self._start, self._received = self._clock(), 0
        return slow
