"""A clock that tells the time it was told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["FrozenClock"]


class FrozenClock:
    """Implements ``pulpit.ports.Clock``; the time stands still until it is moved.

    Args:
        now: aware; the first second of 2026 if left out.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now

    def __call__(self) -> datetime:
        """Return the time."""
        return self._now

    def advance(self, **by: float) -> datetime:
        """Move the time on, by ``seconds=``, ``hours=`` and so on; return it."""
        self._now += timedelta(**by)
        return self._now
