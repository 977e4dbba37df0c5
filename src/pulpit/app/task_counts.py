"""Counting tasks as they come and go."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

from pulpit.app.metrics import Histogram, Samples, Values
from pulpit.domain.tasks import Task, TaskState

__all__ = ["TaskCounts"]

#: Upper bounds of the classes of times, in seconds.
_BOUNDS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
#: Different types of tasks that are told apart; there are a few, but nothing is unbounded here.
_MOST_TYPES = 64
_OTHER = "other"

_Labels = tuple[str, ...]


class _Times:
    """How long things took, in classes."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(_BOUNDS, seconds)] += 1
        self._total += seconds

    def histogram(self) -> Histogram:
        """Return what was counted."""
        names = [*(str(bound) for bound in _BOUNDS), "+Inf"]
        return Histogram(
            buckets=list(zip(names, accumulate(self._counts), strict=True)), total=self._total
        )


class TaskCounts:
    """Counts tasks as they are handed in, start and end; may be used by any thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._submitted: Counter[_Labels] = Counter()
        self._ended: Counter[_Labels] = Counter()
        self._waits: dict[_Labels, _Times] = {}
        self._durations: dict[_Labels, _Times] = {}

    def observe(self, tasks: Sequence[Task]) -> None:
        """Count tasks that have just changed their state."""
        with self._turn:
            for task in tasks:
                self._count(task, self._type(task))

    def samples(self, now: Mapping[tuple[str, str], int] | None) -> Samples:
        """Return the metrics of tasks.

        Args:
            now: (state, type) to how many wait and run, or None if that is not known.
        """
        with self._turn:
            told: dict[str, Values] = {
                "pulpit_tasks_submitted_total": dict(self._submitted),
                "pulpit_tasks_ended_total": dict(self._ended),
                "pulpit_task_wait_seconds": _histograms(self._waits),
                "pulpit_task_duration_seconds": _histograms(self._durations),
            }
            known = {*self._submitted, *self._waits}
        if now is not None:
            states = TaskState.WAITING.value, TaskState.RUNNING.value
            # a type that was there once does not vanish when none is left
            shown: dict[_Labels, float] = dict.fromkeys(
                ((state, *labels) for labels in known for state in states), 0
            )
            shown.update(sorted(now.items(), key=lambda item: -item[1])[: 2 * _MOST_TYPES])
            told["pulpit_tasks"] = shown
        return told

    def _type(self, task: Task) -> _Labels:
        """Return the label of the task's type."""
        labels = (task.task_type,)
        known = labels in self._submitted or labels in self._waits
        return labels if known or len(self._submitted) < _MOST_TYPES else (_OTHER,)

    def _count(self, task: Task, labels: _Labels) -> None:
        """Count one task."""
        if task.state is TaskState.WAITING:
            self._submitted[labels] += 1
        elif task.state is TaskState.RUNNING and task.start_time:
            waited = (task.start_time - task.created).total_seconds()
            self._waits.setdefault(labels, _Times()).add(waited)
        elif task.state.is_complete:
            self._ended[(task.state.value, *labels)] += 1
            if task.start_time and task.finish_time:
                took = (task.finish_time - task.start_time).total_seconds()
                self._durations.setdefault(labels, _Times()).add(took)


def _histograms(times: Mapping[_Labels, _Times]) -> dict[_Labels, float | Histogram]:
    return {labels: each.histogram() for labels, each in times.items()}
