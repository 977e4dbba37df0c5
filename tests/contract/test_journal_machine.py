"""The journal under writing, retention and reading in any order."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pulpit.domain.events import Event, EventKind, NewEvent
from pulpit.domain.tasks import TaskState
from pulpit.errors import EventsGone
from tests.contract.databases import NOW, MakeDatabase, append, compact, new_event, submit


def _numbers(events: Sequence[Event]) -> list[int]:
    return [event.sequence for event in events]


@dataclass
class _Reader:
    """A channel that reads on from a number, and what it knows of each task."""

    after: int
    #: Task to the newest revision that it knows of.
    revisions: dict[str, int]


class Journal(RuleBasedStateMachine):
    """Events are written, compacted and read in any order; readers judge what they get."""

    make: MakeDatabase

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="pulpit-")
        self.database = type(self).make(Path(self.folder.name))
        self.tasks = {
            task_id: submit(self.database, id=task_id, state=TaskState.RUNNING)
            for task_id in ("a", "b")
        }
        self.now = NOW
        #: Number to what was written.
        self.written: dict[int, NewEvent] = {}
        self.readers = [self._join() for _ in range(2)]

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def _join(self) -> _Reader:
        """Return a reader that starts now, from a snapshot of the tasks."""
        revisions = {task_id: task.revision for task_id, task in self.tasks.items()}
        return _Reader(after=self.database.events.head(), revisions=revisions)

    def _new(self, task_id: str, kind: EventKind) -> NewEvent:
        task = self.tasks[task_id]
        self.tasks[task_id] = replace(task, revision=task.revision + 1)
        return new_event(
            task_id=task_id, kind=kind, revision=task.revision + 1, time=self.now, body=b"12345"
        )

    @rule(
        kinds=st.lists(
            st.tuples(
                st.sampled_from(["a", "b"]),
                st.sampled_from([EventKind.STATUS, EventKind.PROGRESS, EventKind.PROGRESS]),
            ),
            max_size=4,
        )
    )
    def write(self, kinds: list[tuple[str, EventKind]]) -> None:
        """One transaction writes events."""
        events = [self._new(task_id, kind) for task_id, kind in kinds]
        numbers = append(self.database, *events)
        self.written |= dict(zip(numbers, events, strict=True))

    @rule(minutes=st.integers(-10, 60))
    def pass_time(self, minutes: int) -> None:
        """Time goes on; at times the clock is set back."""
        self.now += timedelta(minutes=minutes)

    @rule(task_id=st.sampled_from(["a", "b"]))
    def end(self, task_id: str) -> None:
        """A task ends."""
        ended = self.tasks[task_id].finished(result=None, spawned=(), now=self.now)
        with self.database.write() as transaction:
            transaction.tasks.update([ended])

    @rule(
        hours=st.integers(0, 3),
        rows=st.integers(0, 5),
        status_rows=st.sampled_from([0, 2, *[1_000] * 6]),
        keep_after=st.none() | st.integers(0, 20),
        limit=st.sampled_from([1, 3, 100]),
    )
    def compact(
        self, hours: int, rows: int, status_rows: int, keep_after: int | None, limit: int
    ) -> None:
        """Retention runs."""
        before = self._kept()
        gone = compact(
            self.database,
            now=self.now,
            status_days=hours / 24,
            status_rows=status_rows,
            progress_hours=hours,
            progress_rows=rows,
            keep_after=keep_after,
            limit=limit,
        )
        kept = self._kept()
        # above a gap not all can be seen
        assert self.database.events.oldest() or len(before) - len(kept) == gone
        for number in set(before) - set(kept):
            event = self.written[number]
            assert event.kind is EventKind.PROGRESS or keep_after is None or number <= keep_after

    def _kept(self) -> list[int]:
        """Return the numbers of all events that can be read."""
        return _numbers(self.database.events.read(self.database.events.oldest(), 10_000))

    @rule(index=st.integers(0, 1), limit=st.integers(1, 4))
    def read(self, index: int, limit: int) -> None:
        """A reader reads on; it is told of every status change, or of the gap."""
        reader = self.readers[index]
        oldest = self.database.events.oldest()
        events: Sequence[Event] = ()
        # before the gap there may be progress to read, but nobody gets past it
        with contextlib.suppress(EventsGone) if reader.after < oldest else contextlib.nullcontext():
            events = self.database.events.read(reader.after, limit)
        if reader.after < oldest and (not events or events[-1].sequence >= oldest):
            assert not events
            self.readers[index] = self._join()
            return
        passed = range(reader.after + 1, (events[-1].sequence if events else 0) + 1)
        lasting = [n for n in passed if self.written[n].kind is EventKind.STATUS]
        assert set(lasting) <= set(_numbers(events))
        for event in events:
            self._judge(reader, event)
        if events:
            reader.after = events[-1].sequence

    def _judge(self, reader: _Reader, event: Event) -> None:
        """Check that an event is as it was written, and joins those before it."""
        written, task_id = self.written[event.sequence], event.task_id or ""
        assert (event.task_id, event.revision, event.body) == (
            written.task_id,
            written.revision,
            written.body,
        )
        known = reader.revisions[task_id]
        # what it stands for reaches back to what the reader has seen
        assert event.previous <= known < event.revision
        reader.revisions[task_id] = event.revision
        for other in self.written.values():
            if other.task_id == task_id and event.previous < other.revision < event.revision:
                assert other.kind is EventKind.PROGRESS

    @invariant()
    def the_head_is_the_newest(self) -> None:
        """The head is the number of the last event ever written."""
        assert self.database.events.head() == max(self.written, default=0)

    @invariant()
    def the_newest_is_kept(self) -> None:
        """Retention leaves the newest event where it is."""
        newest = max(self.written, default=0)
        assert not newest or newest in self._kept()


def test_readers_are_told_everything(make_database: MakeDatabase) -> None:
    """However writing, retention and reading interleave, no status change is skipped silently."""
    machine = type("Machine", (Journal,), {"make": staticmethod(make_database)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=20, stateful_step_count=25, deadline=None)
    )
