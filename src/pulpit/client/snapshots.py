"""The state of tasks at one number of the journal, to go on from without a gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from pulpit.client.events import TASKS_AT_ONCE, EventFilter
from pulpit.client.reports import TaskReport
from pulpit.client.requests import SNAPSHOT_PATH, Request

__all__ = ["KnownTask", "Snapshot", "SnapshotPages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """A task as a snapshot tells of it."""

    #: Events of the task up to this revision are told by the report already.
    revision: int
    report: TaskReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Tasks as they were when the journal had come to a number, or a little later."""

    #: The events after this number tell all that may be missing here.
    sequence: int
    #: In order of submission.
    tasks: tuple[KnownTask, ...]


class _Known(msgspec.Struct):
    revision: int
    task: Any


class _Page(msgspec.Struct):
    """One page, as it comes."""

    sequence: int
    tasks: list[_Known]
    next: str | None = None


class SnapshotPages:
    """Reads a snapshot page after page; does no I/O of its own.

    Args:
        wanted: which tasks, by id, tags and repository; kind and type mean nothing here.
        states: the states in which they are told; none: those that are not complete.
    """

    def __init__(self, wanted: EventFilter, *, states: Sequence[str] = ()) -> None:
        self._queries = [
            {**part.params(), "state": list(states)} if states else part.params()
            for part in _parts(replace(wanted, kind=None, state=(), type=()))
        ]
        self._token: str | None = None
        self._sequence: int | None = None
        self._tasks: dict[str, KnownTask] = {}

    def request(self) -> Request[Snapshot] | None:
        """Return what is to be asked next; None when all is read."""
        if not self._queries:
            return None
        params = self._queries[0] | ({"page": self._token} if self._token else {})
        return Request(method="GET", path=SNAPSHOT_PATH, params=params, read=self._take)

    @property
    def snapshot(self) -> Snapshot:
        """What was read."""
        return Snapshot(sequence=self._sequence or 0, tasks=tuple(self._tasks.values()))

    def _take(self, answer: Any) -> Snapshot:
        """Take in a page, and return all that was read so far."""
        try:
            page = msgspec.convert(answer, _Page)
        except msgspec.ValidationError as error:
            raise ValueError(f"no page of a snapshot: {error}") from None
        for known in page.tasks:
            report = TaskReport.from_document(known.task)
            self._tasks[report.task_id] = KnownTask(revision=known.revision, report=report)
        # of several requests the first came first, and nothing after it may be missed
        if self._sequence is None:
            self._sequence = page.sequence
        self._token = page.next
        if not page.next:
            del self._queries[0]
        return self.snapshot


def _parts(wanted: EventFilter) -> Iterator[EventFilter]:
    """Yield filters of which each names no more tasks than one request can."""
    tasks = wanted.tasks
    if len(tasks) <= TASKS_AT_ONCE:
        yield wanted
        return
    for start in range(0, len(tasks), TASKS_AT_ONCE):
        yield replace(wanted, task=tasks[start : start + TASKS_AT_ONCE])
