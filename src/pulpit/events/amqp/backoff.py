"""Waiting longer each time that something fails, and never in step with others."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Delays that double, each shortened at random by up to a half.

    Args:
        first: seconds of the first delay.
        longest: seconds that no delay exceeds.
    """

    def __init__(self, *, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._delay = first

    def next(self) -> float:
        """Return the seconds to wait now."""
        delay = self._delay
        self._delay = min(delay * 2, self._longest)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, guards nothing

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._delay = self._first
