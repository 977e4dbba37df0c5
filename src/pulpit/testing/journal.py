"""The journal in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Protocol, Self

from pulpit.domain.events import Event, EventKind, NewEvent
from pulpit.errors import EventsGone, Fenced
from pulpit.ports import Clock, ToldBefore
from pulpit.testing.leases import is_held
from pulpit.testing.state import State

__all__ = ["MemoryCursorStore", "MemoryJournal", "MemoryJournalStore"]


class MemoryJournalStore:
    """Implements ``pulpit.ports.JournalStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def append(self, events: Sequence[NewEvent]) -> Sequence[int]:
        numbers = []
        for event in events:
            self._state.last_event += 1
            number = self._state.last_event
            self._state.journal[number] = Event(
                sequence=number,
                id=f"{self._state.journal_id}:{number}",
                kind=event.kind,
                type=event.type,
                task_id=event.task_id,
                revision=event.revision,
                previous=event.revision - 1,
                state=event.state,
                tags=event.tags,
                time=event.time,
                body=event.body,
            )
            numbers.append(number)
        return numbers

    def head(self) -> int:
        return self._state.last_event

    def compact(
        self,
        *,
        now: datetime,
        status_days: float,
        status_rows: int,
        progress_hours: float,
        progress_rows: int,
        keep_after: int | None,
        keep_bytes: int,
        limit: int,
    ) -> int:
        progress = self._old_progress(now - timedelta(hours=progress_hours), progress_rows)[:limit]
        for event in progress:
            # it may stand for earlier ones by now
            self._tell_compaction(self._state.journal.pop(event.sequence))
        lasting = self._old_status(now - timedelta(days=status_days), status_rows)
        if keep_after is not None:
            above = [event for event in lasting if event.sequence > keep_after]
            if sum(len(event.body) for event in above) <= keep_bytes:
                lasting = [event for event in lasting if event.sequence <= keep_after]
        for event in lasting[:limit]:
            del self._state.journal[event.sequence]
            self._state.floor = max(self._state.floor, event.sequence)
        return len(progress) + len(lasting[:limit])

    def _old_progress(self, ended_before: datetime, rows: int) -> list[Event]:
        """Return progress of tasks that ended long ago or are gone, and what is too much of it."""
        tasks = {task.id: task for task in self._state.tasks.values()}
        newer: defaultdict[str | None, int] = defaultdict(int)
        newest: set[str | None] = set()
        old = []
        for event in reversed(self._state.journal.values()):
            # what comes after a task's newest event will not say that it stands for it
            is_newest = event.task_id not in newest
            newest.add(event.task_id)
            if event.kind is not EventKind.PROGRESS:
                continue
            newer[event.task_id] += 1
            task = tasks.get(event.task_id or "")
            ended = task is None or (
                task.state.is_complete
                and task.finish_time is not None
                and task.finish_time < ended_before
            )
            if (ended or newer[event.task_id] > rows) and not is_newest:
                old.append(event)
        return old[::-1]

    def _tell_compaction(self, gone: Event) -> None:
        """Let the next event of the task stand for one that is gone."""
        for event in self._state.journal.values():
            if event.task_id == gone.task_id and event.sequence > gone.sequence:
                # where revisions don't meet, a status event is gone that nobody may stand for
                if event.previous == gone.revision:
                    self._state.journal[event.sequence] = dataclasses.replace(
                        event, previous=gone.previous
                    )
                return

    def _old_status(self, before: datetime, rows: int) -> list[Event]:
        """Return status and repository events that are too old or too many; never the newest."""
        lasting = [
            event for event in self._state.journal.values() if event.kind is not EventKind.PROGRESS
        ]
        surplus = {event.sequence for event in lasting[: max(len(lasting) - rows, 0)]}
        return [
            event
            for event in lasting
            if (event.sequence in surplus or event.time < before)
            and event.sequence < self._state.last_event
        ]


class MemoryJournal:
    """Implements ``pulpit.ports.EventHistory``.

    Args:
        state: returns what is committed.
    """

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._changed = threading.Condition()
        self._closed = False
        self._wakes: dict[object, Callable[[], None]] = {}

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        return _bounded(self._after(after), limit, most_bytes)

    def read_tasks(
        self, after: int, limit: int, task_ids: Collection[str], *, most_bytes: int | None = None
    ) -> Sequence[Event]:
        ours = [event for event in self._after(after) if event.task_id in task_ids]
        return _bounded(ours, limit, most_bytes)

    def progress_before(self, after: int) -> Mapping[str, ToldBefore]:
        found: dict[str, ToldBefore] = {}
        for event in self._state().journal.values():
            if event.sequence > after or event.task_id is None:
                continue
            if event.kind is EventKind.PROGRESS:
                first = found.get(event.task_id, event)
                found[event.task_id] = ToldBefore(first.previous, event.revision)
            else:
                found.pop(event.task_id, None)
        return found

    def _after(self, after: int) -> Sequence[Event]:
        """Return all events after a number, or raise EventsGone."""
        state = self._state()
        if after < state.floor or after > state.last_event:
            raise EventsGone(since=after, oldest=state.floor + 1, head=state.last_event)
        return [event for event in state.journal.values() if event.sequence > after]

    def head(self) -> int:
        return self._state().last_event

    def oldest(self) -> int:
        return self._state().floor

    def wait(self, after: int, timeout: float | None) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.head() > after, timeout)
            return self.head() > after

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        key = object()
        with self._changed:
            self._wakes[key] = wake

        def unsubscribe() -> None:
            with self._changed:
                self._wakes.pop(key, None)

        return unsubscribe

    def tell(self) -> None:
        """Wake those who wait, after a commit."""
        with self._changed:
            self._changed.notify_all()
            wakes = tuple(self._wakes.values())
        for wake in wakes:
            wake()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _bounded(events: Sequence[Event], limit: int, most_bytes: int | None) -> Sequence[Event]:
    """Return the first events, up to so many and up to the one that brings so many bytes."""
    found = events[:limit]
    if most_bytes is None:
        return found
    sizes = accumulate(len(event.body) for event in found)
    return found[: 1 + sum(1 for size in sizes if size < most_bytes)]


class _Transaction(Protocol):
    """What the cursors need of a transaction."""

    @property
    def state(self) -> State: ...


class _Storage(Protocol):
    """What the cursors need of the storage."""

    def write(self) -> AbstractContextManager[_Transaction]: ...
    def read(self) -> AbstractContextManager[_Transaction]: ...


class MemoryCursorStore:
    """Implements ``pulpit.ports.SharedCursorStore``.

    Args:
        storage: where they are.
        clock: of the database.
        lease: a lease and who must have it to write, if that is asked for.
    """

    def __init__(
        self, storage: _Storage, clock: Clock, lease: tuple[str, str] | None = None
    ) -> None:
        self._storage, self._clock, self._lease = storage, clock, lease

    def fenced(self, lease: str, holder: str) -> Self:
        return type(self)(self._storage, self._clock, (lease, holder))

    def load(self, name: str) -> int | None:
        with self._storage.read() as transaction:
            return transaction.state.cursors.get(name)

    def save(self, name: str, sequence: int) -> None:
        with self._writing() as state:
            state.cursors[name] = sequence

    def drop(self, name: str) -> None:
        with self._writing() as state:
            state.cursors.pop(name, None)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[State]:
        """Open a transaction, which is refused without the lease."""
        with self._storage.write() as transaction:
            if self._lease and not is_held(transaction.state, *self._lease, self._clock):
                raise Fenced
            yield transaction.state
