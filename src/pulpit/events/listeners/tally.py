"""Counts of attempts, for whoever watches; they outlast those who deliver."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

from pulpit.domain.deliveries import Verdict
from pulpit.domain.listeners import NotifierType

__all__ = ["DURATIONS", "Tally"]

#: Upper bounds of what an attempt takes, in seconds.
DURATIONS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Tally:
    """What attempts came to and how long they took; written by one thread, read by any."""

    def __init__(self) -> None:
        #: (notifier type, verdict) to how many.
        self.attempts: Counter[tuple[NotifierType, Verdict]] = Counter()
        #: By notifier type: how many took at most each of ``DURATIONS``, and longer, and the sum.
        self.durations: dict[NotifierType, list[int]] = {}
        self.seconds: dict[NotifierType, float] = dict.fromkeys(NotifierType, 0.0)

    def count(self, kind: NotifierType, verdict: Verdict, seconds: float) -> None:
        """Count an attempt."""
        self.attempts[kind, verdict] += 1
        buckets = self.durations.setdefault(kind, [0] * (len(DURATIONS) + 1))
        buckets[bisect_left(DURATIONS, seconds)] += 1
        self.seconds[kind] += seconds
