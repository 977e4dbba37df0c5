"""How many deliveries a listener gets at a time, and a second."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["Bucket", "Trust"]

#: A day: seconds after which a bucket is looked at again, however slowly it fills.
_LONGEST_LOOK = 86_400.0


class Bucket:
    """So many a second, and what was saved up in one second at once.

    Args:
        rate: a second; 0 is no limit.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = self._tokens = max(rate, 1.0)
        self._filled: datetime | None = None

    def free_at(self, now: datetime) -> datetime:
        """Return when the next one may go: not after *now* if it is free to."""
        if not self._rate:
            return now
        # a clock that is put back fills nothing, and takes nothing away
        passed = max((now - (self._filled or now)).total_seconds(), 0.0)
        self._tokens = min(self._tokens + passed * self._rate, self._most)
        self._filled = now
        if self._tokens >= 1:
            return now
        return now + timedelta(seconds=min((1 - self._tokens) / self._rate, _LONGEST_LOOK))

    def take(self) -> None:
        """Let one go."""
        if self._rate:
            self._tokens -= 1


class Trust:
    """How many a listener gets at a time: one until it answers, more as it does, one if it fails.

    So receivers that hang take little of what all listeners share.

    Args:
        most: how many at the most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = 1
        self._is_proven = False

    @property
    def allowed(self) -> int:
        """How many may be under way."""
        return self._allowed

    @property
    def is_proven(self) -> bool:
        """Whether the newest attempt has succeeded."""
        return self._is_proven

    def succeeded(self) -> None:
        """Heed an attempt that has succeeded."""
        self._is_proven = True
        self._allowed = min(self._allowed + 1, self._most)

    def failed(self) -> None:
        """Heed an attempt that has failed."""
        self._is_proven = False
        self._allowed = 1
