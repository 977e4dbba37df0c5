"""The journal: one order, no gap untold, and readers that are woken."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
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
from pulpit.testing import expect_events
from tests.contract.databases import (
    NOW,
    Database,
    MakeDatabase,
    append,
    new_event,
    submit,
)

#: Retention that deletes nothing.
FOREVER: dict[str, Any] = {
    "now": NOW,
    "status_days": 10_000,
    "status_rows": 1_000_000,
    "progress_hours": 1_000_000,
    "progress_rows": 1_000_000,
    "keep_after": None,
    "limit": 1_000_000,
}


def _compact(database: Database, **changes: Any) -> int:
    with database.write() as transaction:
        return transaction.journal.compact(**FOREVER | changes)


def _numbers(events: Sequence[Event]) -> list[int]:
    return [event.sequence for event in events]


def _progress(revision: int, **changes: Any) -> NewEvent:
    return new_event(kind=EventKind.PROGRESS, revision=revision, **changes)


def test_events_come_back_whole_and_in_order(database: Database) -> None:
    """Every field of an event is kept, and numbers are contiguous from 1."""
    new = [
        new_event(),
        _progress(2, state=TaskState.RUNNING, body='{"ü":\0}'.encode()),
        new_event(
            kind=EventKind.REPOSITORY,
            type="repo.sync.start",
            task_id=None,
            revision=0,
            state=None,
            tags=(),
            time=NOW.replace(microsecond=123_456),
        ),
    ]
    assert append(database, *new) == [1, 2, 3]
    events = database.events.read(0, 10)
    assert _numbers(events) == [1, 2, 3]
    for event, given in zip(events, new, strict=True):
        for field in NewEvent.__slots__:
            assert getattr(event, field) == getattr(given, field)
        assert event.previous == given.revision - 1
    assert len({event.id for event in events}) == 3
    assert database.events.read(0, 10) == events


def test_nothing_written_is_nothing(database: Database) -> None:
    """Writing no events gives no numbers; an empty journal reads as empty."""
    assert append(database) == []
    assert database.events.head() == database.events.oldest() == 0
    assert database.events.read(0, 10) == []


def test_reading_goes_page_by_page(database: Database) -> None:
    """A reader gets what follows its number, at most as many as it asks for."""
    append(database, *(new_event(revision=number) for number in range(1, 6)))
    assert _numbers(database.events.read(0, 2)) == [1, 2]
    assert _numbers(database.events.read(2, 2)) == [3, 4]
    assert _numbers(database.events.read(4, 2)) == [5]
    assert database.events.read(5, 2) == []
    assert database.events.head() == 5


def test_a_number_ahead_of_the_head_is_told(database: Database) -> None:
    """Who asks for what was never written is told so, with what there is."""
    append(database, new_event())
    with pytest.raises(EventsGone) as caught:
        database.events.read(2, 10)
    assert (caught.value.since, caught.value.oldest, caught.value.head) == (2, 1, 1)


def test_commits_are_read_at_once_and_in_order(database: Database) -> None:
    """Threads that write at once give one order, and no reader ever skips an event."""
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not (done.is_set() and database.events.head() == len(seen)):
            if database.events.wait(len(seen), 0.1):
                seen.extend(_numbers(database.events.read(len(seen), 3)))

    def write(task_id: str) -> None:
        for revision in range(1, 20, 2):
            append(
                database,
                new_event(task_id=task_id, revision=revision),
                new_event(task_id=task_id, revision=revision + 1),
            )

    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        for writing in [pool.submit(write, str(number)) for number in range(4)]:
            writing.result()
        done.set()
        reading.result()
    assert seen == list(range(1, 81))
    for task_id in "0123":
        revisions = [e.revision for e in database.events.read(0, 100) if e.task_id == task_id]
        assert revisions == list(range(1, 21))


def test_a_reader_may_be_quicker_than_the_signal(database: Database) -> None:
    """Who has read an event before subscribers are told of it is not ahead of the head."""
    pages: list[list[int]] = []

    def read() -> None:
        pages.append(_numbers(database.events.read(0, 10)))
        pages.append(_numbers(database.events.read(1, 10)))

    with database.write() as transaction:
        transaction.after_commit(read)
        transaction.journal.append([new_event()])
    assert pages == [[1], []]


def test_waiting_ends_with_an_event_or_in_time(database: Database) -> None:
    """A reader that waits is woken by a commit; it is not when there is none."""
    assert not database.events.wait(0, 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.events.wait, 0, 10)
        append(database, new_event())
        assert waiting.result()
    assert database.events.wait(0, 0)
    assert not database.events.wait(1, 0)


def test_waiting_ends_when_the_journal_closes(database: Database) -> None:
    """A reader that would wait for ever is let go at the end."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.events.wait, 0, None)
        database.close()
        assert not waiting.result()


def test_subscribers_are_woken_after_each_commit(database: Database) -> None:
    """A subscriber can read what it is woken for; only commits that wrote events wake it."""
    seen: list[int] = []
    end = database.events.subscribe(lambda: seen.append(database.events.head()))
    another: list[int] = []
    database.events.subscribe(lambda: another.append(len(database.events.read(0, 10))))
    append(database, new_event(), new_event(revision=2))
    submit(database)
    append(database, new_event(revision=3))
    assert (seen, another) == ([2, 3], [2, 3])
    end()
    end()
    append(database, new_event(revision=4))
    assert (seen, another) == ([2, 3], [2, 3, 4])


def test_the_size_is_that_of_the_bodies(database: Database) -> None:
    """The size of the journal is the bytes of its bodies."""
    append(database, new_event(body=b"123"), new_event(body="ü".encode()))
    with database.read() as transaction:
        assert transaction.journal.size() == 5


def test_nothing_is_compacted_before_its_time(database: Database) -> None:
    """Retention that nothing has reached deletes nothing."""
    submit(database, id="a", state=TaskState.RUNNING)
    append(database, new_event(), _progress(2), new_event(revision=3))
    assert _compact(database) == 0
    assert _numbers(database.events.read(0, 10)) == [1, 2, 3]


def test_old_progress_of_ended_tasks_goes(database: Database) -> None:
    """Progress of a task that ended long ago goes, and its next event stands for it."""
    hour = timedelta(hours=1)
    submit(database, id="a", state=TaskState.FINISHED, finish_time=NOW - hour)
    submit(database, id="b", state=TaskState.RUNNING)
    append(database, new_event(revision=1), _progress(2), _progress(3), new_event(revision=4))
    append(database, _progress(1, task_id="b"), new_event(revision=5))
    assert _compact(database, now=NOW, progress_hours=1) == 0
    assert _compact(database, now=NOW + hour, progress_hours=1) == 2
    events = database.events.read(0, 10)
    assert _numbers(events) == [1, 4, 5, 6]
    assert [event.previous for event in events] == [0, 1, 0, 4]
    assert [event.folded for event in events] == [0, 2, 0, 0]
    assert database.events.oldest() == 0


def test_progress_of_tasks_that_are_gone_goes(database: Database) -> None:
    """Progress of a task that was purged goes."""
    append(database, new_event(), _progress(2), new_event(revision=3))
    assert _compact(database) == 1
    assert [event.previous for event in database.events.read(0, 10)] == [0, 1]


def test_too_much_progress_of_one_task_goes(database: Database) -> None:
    """Of a running task the newest progress stays."""
    submit(database, id="a", state=TaskState.RUNNING)
    append(database, *(_progress(revision) for revision in range(1, 8)))
    assert _compact(database, progress_rows=3, limit=2) == 2
    assert _compact(database, progress_rows=3) == 2
    events = database.events.read(0, 10)
    assert [(event.previous, event.revision) for event in events] == [(0, 5), (5, 6), (6, 7)]


@pytest.mark.parametrize(
    ("retention", "kept", "oldest"),
    [
        ({"status_rows": 2}, [3, 4], 2),
        ({"status_rows": 2, "limit": 1}, [2, 3, 4], 1),
        ({"status_days": 1, "now": NOW + timedelta(days=1, seconds=2.5)}, [4], 3),
        ({"status_days": 0, "now": NOW + timedelta(days=9)}, [4], 3),
        ({"status_rows": 0, "keep_after": 2}, [3, 4], 2),
    ],
)
def test_status_goes_and_the_gap_is_told(
    database: Database, retention: dict[str, Any], kept: list[int], oldest: int
) -> None:
    """Status past retention goes, except the newest; who has not read it is told."""
    append(
        database,
        *(
            new_event(revision=number + 1, time=NOW + timedelta(seconds=number))
            for number in range(4)
        ),
    )
    assert _compact(database, **retention) == 4 - len(kept)
    assert _numbers(database.events.read(oldest, 10)) == kept
    assert (database.events.oldest(), database.events.head()) == (oldest, 4)
    with pytest.raises(EventsGone) as caught:
        database.events.read(oldest - 1, 10)
    assert (caught.value.oldest, caught.value.head) == (oldest + 1, 4)


def test_a_gap_behind_progress_is_told(database: Database) -> None:
    """Status that is gone is told before what follows it, even if progress before it is there."""
    submit(database, id="a", state=TaskState.RUNNING)
    append(database, _progress(1), new_event(revision=2), new_event(revision=3))
    assert _compact(database, status_rows=1) == 1
    for after in (0, 1):
        with pytest.raises(EventsGone):
            database.events.read(after, 10)
    assert _numbers(database.events.read(2, 10)) == [3]


def test_the_floor_never_sinks(database: Database) -> None:
    """A clock that went back lets no gap be forgotten."""
    late, early = NOW, NOW - timedelta(days=2)
    append(database, new_event(time=late), new_event(time=early), new_event(time=late))
    assert _compact(database, status_days=1) == 1
    assert database.events.oldest() == 2
    assert _compact(database, status_days=1, now=NOW + timedelta(days=2)) == 1
    assert database.events.oldest() == 2


def test_numbers_are_never_given_twice(database: Database) -> None:
    """The head stays where it was when all before it is gone."""
    append(database, new_event(), _progress(2))
    assert _compact(database, status_rows=0, progress_rows=0) == 1
    assert database.events.head() == 2
    assert append(database, new_event(revision=3)) == [3]


def test_cursors_are_kept(database: Database) -> None:
    """A channel's number is kept by name until it is dropped."""
    cursors = database.cursors
    assert cursors.load("amqp") is None
    cursors.save("amqp", 5)
    cursors.save("http", 2**40)
    cursors.save("amqp", 3)
    assert (cursors.load("amqp"), cursors.load("http")) == (3, 2**40)
    cursors.drop("amqp")
    cursors.drop("amqp")
    assert (cursors.load("amqp"), cursors.load("http")) == (None, 2**40)


def test_expected_events_are_checked(database: Database) -> None:
    """A test says in words which events a block writes."""
    append(database, new_event())
    with expect_events(database.events, "running", "progress", "repo.sync.start") as events:
        append(
            database,
            new_event(revision=2, state=TaskState.RUNNING),
            _progress(3),
            new_event(kind=EventKind.REPOSITORY, type="repo.sync.start", task_id=None),
        )
    assert _numbers(events) == [2, 3, 4]
    with (
        pytest.raises(AssertionError, match=r"\['error'\], found \['waiting'\]"),
        expect_events(database.events, "error"),
    ):
        append(database, new_event())


@dataclass
class _Reader:
    """A channel that reads on from a number, and what it knows of each task."""

    after: int
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
        self.readers = [_Reader(after=0, revisions={}) for _ in range(2)]

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

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
        status_rows=st.sampled_from([0, 2, 1_000]),
        keep_after=st.none() | st.integers(0, 20),
        limit=st.sampled_from([1, 3, 100]),
    )
    def compact(
        self, hours: int, rows: int, status_rows: int, keep_after: int | None, limit: int
    ) -> None:
        """Retention runs."""
        before, size = self._kept(), self._size()
        gone = _compact(
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
        # each body has five bytes
        assert size - self._size() == 5 * gone
        for number in set(before) - set(kept):
            event = self.written[number]
            assert event.kind is EventKind.PROGRESS or keep_after is None or number <= keep_after

    def _kept(self) -> list[int]:
        """Return the numbers of all events that can be read."""
        return _numbers(self.database.events.read(self.database.events.oldest(), 10_000))

    def _size(self) -> int:
        with self.database.read() as transaction:
            return transaction.journal.size()

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
            self.readers[index] = _Reader(after=self.database.events.head(), revisions={})
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
        known = reader.revisions.get(task_id, event.previous)
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
        machine, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
