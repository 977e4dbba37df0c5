"""How many progress updates of a task are kept."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ProgressGate"]


class ProgressGate:
    """A token bucket: a burst is kept whole, then so many updates a second.

    Args:
        burst: updates kept at once.
        per_second: updates kept in each second after that; 0 keeps all.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, *, burst: int, per_second: float, now: Callable[[], float]) -> None:
        self._burst = float(max(burst, 1))
        self._per_second = per_second
        self._now = now
        self._tokens = self._burst
        self._filled = now()

    def keeps(self, *, boundary: bool) -> bool:
        """Tell whether to keep an update; the first and last of a step always are."""
        if self._per_second <= 0:
            return True
        now = self._now()
        gained = (now - self._filled) * self._per_second
        self._tokens = min(self._burst, self._tokens + gained)
        self._filled = now
        if self._tokens < 1 and not boundary:
            return False
        self._tokens = max(self._tokens - 1, 0.0)
        return True
