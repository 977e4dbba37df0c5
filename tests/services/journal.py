"""A journal in memory, and events to fill it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pulpit.domain.events import Event, EventKind
from pulpit.domain.tasks import TaskState
from pulpit.testing.journal import MemoryJournal as StoreJournal
from pulpit.testing.state import State

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


class MemoryJournal(StoreJournal):
    """An event source that tests append to, without tasks that make the events."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._held = State()
        super().__init__(lambda: self._held)
        #: The calls of read: (after, limit).
        self.reads: list[tuple[int, int]] = []
        self.append(*events)

    def append(self, *events: Event) -> None:
        """Commit events and announce them."""
        if not events:
            return
        # readers in other threads walk over the one that was there
        self._held = replace(
            self._held,
            journal=self._held.journal | {event.sequence: event for event in events},
            last_event=events[-1].sequence,
        )
        self.tell()

    def forget(self, up_to: int) -> None:
        """Delete the events up to this number, as retention does."""
        kept = {number: event for number, event in self._held.journal.items() if number > up_to}
        self._held = replace(self._held, journal=kept, floor=up_to)

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        self.reads.append((after, limit))
        return super().read(after, limit, most_bytes=most_bytes)


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
