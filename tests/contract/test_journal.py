"""The journal: one order, no gap untold, and readers that are woken."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from pulpit.domain.events import LISTENER_DISABLED, Event, EventKind, NewEvent
from pulpit.domain.tasks import TaskState
from pulpit.errors import EventsGone
from pulpit.testing import expect_events
from tests.contract.databases import NOW, Database, append, compact, new_event, submit
from tests.services import until


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
            kind=EventKind.LISTENER,
            type=LISTENER_DISABLED,
            task_id=None,
            revision=1,
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


def test_a_transaction_sees_its_own_head(database: Database) -> None:
    """The head is of the transaction's snapshot, whatever is committed meanwhile."""
    with database.read() as transaction:
        assert transaction.journal.head() == 0
    append(database, new_event(), new_event())
    with database.read() as transaction:
        assert transaction.journal.head() == 2
        append(database, new_event())
        submit(database)
        assert transaction.journal.head() == 2
        assert transaction.tasks.with_tags(()) == []
    with database.write() as transaction:
        transaction.journal.append([new_event()])
        assert transaction.journal.head() == 4
    compact(database, status_rows=0)
    with database.read() as transaction:
        assert transaction.journal.head() == 4


@pytest.mark.parametrize(
    ("most_bytes", "expected"), [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (10_000, 40)]
)
def test_a_read_may_be_bounded_by_bytes(database: Database, most_bytes: int, expected: int) -> None:
    """The event that brings the bodies to the bound is the last one; there is always one."""
    append(database, *[new_event(body=b'"12345678"')] * 40)
    assert len(database.events.read(0, 1_000, most_bytes=most_bytes)) == expected
    assert _numbers(database.events.read(38, 1_000, most_bytes=most_bytes))[0] == 39
    assert len(database.events.read(0, 2, most_bytes=most_bytes)) == min(2, expected)
    assert database.events.read(40, 1_000, most_bytes=most_bytes) == []


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


def test_events_of_some_tasks_are_read_alone(database: Database) -> None:
    """In order, bounded, from any number, and with the same gaps as all events."""
    for task_id in "tutvut":
        append(database, new_event(task_id=task_id, body=b"12345"))
    read = database.events.read_tasks
    assert _numbers(read(0, 10, {"t", "u"})) == [1, 2, 3, 5, 6]
    assert _numbers(read(1, 2, {"t", "u"})) == [2, 3]
    assert _numbers(read(0, 10, {"t", "u"}, most_bytes=6)) == [1, 2]
    assert _numbers(read(3, 10, {"t"})) == [6]
    assert list(read(0, 10, {"none"})) == []
    with pytest.raises(EventsGone):
        read(7, 10, {"t"})
    compact(database, status_rows=2)
    with pytest.raises(EventsGone):
        read(3, 10, {"t"})
    assert _numbers(read(4, 10, {"t"})) == [6]


def test_progress_before_a_number_is_that_since_the_last_status(database: Database) -> None:
    """Of tasks whose newest event up to there is progress; from after the change of status."""
    for task_id in "tu":
        append(
            database,
            new_event(task_id=task_id, revision=1),
            _progress(2, task_id=task_id),
            new_event(task_id=task_id, revision=3),
            _progress(4, task_id=task_id),
            _progress(5, task_id=task_id),
            new_event(task_id=task_id, revision=6),
        )
    before = database.events.progress_before
    assert before(0) == before(1) == before(3) == before(6) == before(12) == {}
    assert before(2) == {"t": (1, 2)}
    assert before(5) == {"t": (3, 5)}
    assert before(10) == {"u": (3, 4)}
    assert before(100) == {}


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
    until(lambda: (seen, another) == ([2], [2]), "both are woken")
    submit(database)
    append(database, new_event(revision=3))
    until(lambda: (seen, another) == ([2, 3], [2, 3]), "both are woken once more")
    end()
    end()
    append(database, new_event(revision=4))
    until(lambda: another == [2, 3, 4], "the one who stayed is woken")
    assert seen == [2, 3]


def test_nothing_is_compacted_before_its_time(database: Database) -> None:
    """Retention that nothing has reached deletes nothing."""
    submit(database, id="a", state=TaskState.RUNNING)
    append(database, new_event(), _progress(2), new_event(revision=3))
    assert compact(database) == 0
    assert _numbers(database.events.read(0, 10)) == [1, 2, 3]


def test_old_progress_of_ended_tasks_goes(database: Database) -> None:
    """Progress of a task that ended long ago goes, and its next event stands for it."""
    hour = timedelta(hours=1)
    submit(database, id="a", state=TaskState.FINISHED, finish_time=NOW - hour)
    submit(database, id="b", state=TaskState.RUNNING)
    append(database, new_event(revision=1), _progress(2), _progress(3), new_event(revision=4))
    append(database, _progress(1, task_id="b"), new_event(revision=5))
    assert compact(database, now=NOW, progress_hours=1) == 0
    assert compact(database, now=NOW + hour, progress_hours=1) == 2
    events = database.events.read(0, 10)
    assert _numbers(events) == [1, 4, 5, 6]
    assert [event.previous for event in events] == [0, 1, 0, 4]
    assert [event.folded for event in events] == [0, 2, 0, 0]
    assert database.events.oldest() == 0


def test_progress_of_tasks_that_are_gone_goes(database: Database) -> None:
    """Progress of a task that was purged goes."""
    append(database, new_event(), _progress(2), new_event(revision=3))
    assert compact(database) == 1
    assert [event.previous for event in database.events.read(0, 10)] == [0, 1]


def test_too_much_progress_of_one_task_goes(database: Database) -> None:
    """Of a running task the newest progress stays."""
    submit(database, id="a", state=TaskState.RUNNING)
    append(database, *(_progress(revision) for revision in range(1, 8)))
    assert compact(database, progress_rows=3, limit=2) == 2
    assert compact(database, progress_rows=3) == 2
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
        ({"status_rows": 0, "keep_after": 2, "keep_bytes": 0}, [4], 3),
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
    assert compact(database, **retention) == 4 - len(kept)
    assert _numbers(database.events.read(oldest, 10)) == kept
    assert (database.events.oldest(), database.events.head()) == (oldest, 4)
    with pytest.raises(EventsGone) as caught:
        database.events.read(oldest - 1, 10)
    assert (caught.value.oldest, caught.value.head) == (oldest + 1, 4)


def test_a_gap_behind_progress_is_told(database: Database) -> None:
    """Status that is gone is told before what follows it, even if progress before it is there."""
    submit(database, id="a", state=TaskState.RUNNING)
    append(database, _progress(1), new_event(revision=2), new_event(revision=3))
    assert compact(database, status_rows=1) == 1
    for after in (0, 1):
        with pytest.raises(EventsGone):
            database.events.read(after, 10)
    assert _numbers(database.events.read(2, 10)) == [3]


def test_the_floor_never_sinks(database: Database) -> None:
    """A clock that went back lets no gap be forgotten."""
    late, early = NOW, NOW - timedelta(days=2)
    append(database, new_event(time=late), new_event(time=early), new_event(time=late))
    assert compact(database, status_days=1) == 1
    assert database.events.oldest() == 2
    assert compact(database, status_days=1, now=NOW + timedelta(days=2)) == 1
    assert database.events.oldest() == 2


def test_numbers_are_never_given_twice(database: Database) -> None:
    """The head stays where it was when all before it is gone."""
    append(database, new_event(), _progress(2))
    assert compact(database, status_rows=0, progress_rows=0) == 1
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
    with expect_events(database.events, "running", "progress", LISTENER_DISABLED) as events:
        append(
            database,
            new_event(revision=2, state=TaskState.RUNNING),
            _progress(3),
            new_event(kind=EventKind.LISTENER, type=LISTENER_DISABLED, task_id=None),
        )
    assert _numbers(events) == [2, 3, 4]
    with (
        pytest.raises(AssertionError, match=r"\['error'\], found \['waiting'\]"),
        expect_events(database.events, "error"),
    ):
        append(database, new_event())
