"""A journal in memory, and events to fill it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Condition

from pulpit.domain.events import Event, EventKind
from pulpit.domain.tasks import TaskState
from pulpit.errors import EventsGone

__all__ = ["MemoryCursors", "MemoryJournal", "make_event"]

_MORNING = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_event(
    sequence: int,
    *,
    task: int = 0,
    revision: int | None = None,
    kind: EventKind = EventKind.STATUS,
    body: bytes | None = None,
) -> Event:
    """Return an event with this number, of a task that is numbered too."""
    revision = sequence if revision is None else revision
    return Event(
        sequence=sequence,
        id=f"event-{sequence}",
        kind=kind,
        type=f"pulpit.task.{kind.value}.v1",
        task_id=f"00000000-0000-4000-8000-{task:012d}",
        revision=revision,
        previous=revision - 1,
        state=TaskState.RUNNING,
        tags=("pulp:action:sync",),
        time=_MORNING + timedelta(seconds=sequence),
        body=b'{"revision": %d}' % revision if body is None else body,
    )


class MemoryJournal:
    """An event source that tests append to."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._events = list(events)
        self._floor = 0
        self._changed = Condition()
        self._subscribers: list[Callable[[], None]] = []
        #: The calls of read: (after, limit).
        self.reads: list[tuple[int, int]] = []

    def append(self, *events: Event) -> None:
        """Commit events and announce them."""
        with self._changed:
            self._events += events
            self._changed.notify_all()
            subscribers = list(self._subscribers)
        for wake in subscribers:
            wake()

    def forget(self, up_to: int) -> None:
        """Delete the events up to this number, as retention does."""
        with self._changed:
            self._events = [event for event in self._events if event.sequence > up_to]
            self._floor = up_to

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        with self._changed:
            self.reads.append((after, limit))
            if after < self._floor or after > self.head():
                raise EventsGone(since=after, oldest=self._floor + 1, head=self.head())
            # numbers are mostly contiguous: begin near the place
            start = max(after - self._floor, 0)
            while start and self._at(start - 1) > after:
                start -= 1
            while start < len(self._events) and self._at(start) <= after:
                start += 1
            return self._events[start : start + limit]

    def _at(self, index: int) -> int:
        """Return the number of the event at *index*; beyond the end it is past all others."""
        if index >= len(self._events):
            return self.head() + 1
        return self._events[index].sequence

    def head(self) -> int:
        return self._events[-1].sequence if self._events else self._floor

    def oldest(self) -> int:
        return self._floor

    def wait(self, after: int, timeout: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.head() > after, timeout)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        self._subscribers.append(wake)

        def unsubscribe() -> None:
            """End it; doing so twice does no harm."""
            with suppress(ValueError):
                self._subscribers.remove(wake)

        return unsubscribe


class MemoryCursors:
    """A cursor store that remembers every save."""

    def __init__(self, **saved: int) -> None:
        self._saved = {name.replace("_", "-"): number for name, number in saved.items()}
        #: The numbers saved, in order.
        self.history: list[int] = []

    def load(self, name: str) -> int | None:
        return self._saved.get(name)

    def save(self, name: str, sequence: int) -> None:
        self._saved[name] = sequence
        self.history.append(sequence)

    def drop(self, name: str) -> None:
        self._saved.pop(name, None)
