"""Retention: what is old goes, what is needed stays, and what is gone is told."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulpit.domain.deliveries import Attempt, DeliveryState, Verdict
from pulpit.domain.events import Event
from pulpit.domain.outcomes import Finished, Progress, Update
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import EventsGone
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.retention import Keep, Retention
from pulpit.services.tasks import Tasks, new_task
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import FrozenClock, MemoryStorage, RecordingEngine
from tests.contract.databases import new_listener, new_message

_KEEP = Keep(
    status_days=7,
    status_rows=1_000,
    progress_hours=1,
    progress_rows=200,
    task_days=7,
    delivery_days=7,
    unconfirmed_bytes=10**9,
)


class _House:
    """Tasks that come and go, and the retention that follows them."""

    def __init__(self, storage: MemoryStorage | SqliteStorage) -> None:
        self.storage = storage
        self.clock = FrozenClock()
        self.tasks = Tasks(storage, clock=self.clock, engine=RecordingEngine())
        self.lifecycle = Lifecycle(storage, clock=self.clock, completions={}, offer=lambda _: None)

    def retention(self, *readers: str, **keep: Any) -> Retention:
        """Return the service with other bounds."""
        return Retention(
            self.storage,
            self.storage.cursors,
            clock=self.clock,
            keep=dataclasses.replace(_KEEP, **keep),
            readers=readers,
        )

    def begin(self) -> Task:
        """Hand in a task and start it: two status rows."""
        self.tasks.submit(
            new_task(
                now=self.clock(),
                task_type="pulp.test",
                operation="test",
                arguments={},
                tags=[],
                resources=[],
            ),
        )
        (task,) = self.lifecycle.claim("w", 1)
        return task

    def progress(self, task: Task, count: int) -> None:
        """Let the task tell so many updates."""
        news = [Progress(report={"n": number}) for number in range(count)]
        self.lifecycle.record(
            [Update(task_id=task.id, attempt=task.attempt, news=one) for one in news]
        )

    def finish(self, task: Task) -> None:
        """End the task: one status row."""
        self.lifecycle.record(
            [Update(task_id=task.id, attempt=task.attempt, news=Finished(result=None))]
        )

    def events(self) -> list[Event]:
        """Return all that the journal holds."""
        return list(self.storage.events.read(self.storage.events.oldest(), 100_000))

    def revisions(self, task: Task) -> list[tuple[int, int]]:
        """Return (previous, revision) of each event of the task."""
        return [
            (event.previous, event.revision) for event in self.events() if event.task_id == task.id
        ]


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an empty database."""
    return upgrade(tmp_path_factory.mktemp("new"))


@pytest.fixture(params=["memory", "sqlite"])
def house(request: pytest.FixtureRequest, new_database: Path, tmp_path: Path) -> Iterator[_House]:
    """Yield a house over each storage."""
    storage = (
        MemoryStorage()
        if request.param == "memory"
        else SqliteStorage(shutil.copyfile(new_database, tmp_path / "pulpit.db"))
    )
    with storage:
        yield _House(storage)


def _told(house: _House, task: Task) -> None:
    """Check that the events of the task stand for all revisions, without a gap."""
    pairs = house.revisions(task)
    assert [previous for previous, _ in pairs] == [0, *(revision for _, revision in pairs[:-1])]
    assert pairs[-1][1] == house.tasks.get(task.id).revision


def test_nothing_young_goes(house: _House) -> None:
    """Within all bounds the journal stays as it is."""
    task = house.begin()
    house.progress(task, 150)
    house.finish(task)
    house.clock.advance(minutes=59)
    before = house.events()
    assert house.retention().compact_journal() == 0
    assert house.retention().purge_tasks() == 0
    assert house.events() == before
    assert house.storage.events.oldest() == 0


def test_status_goes_by_age(house: _House) -> None:
    """After seven days a status row goes, and reading from before it is told as gone."""
    old = house.begin()
    house.finish(old)
    house.clock.advance(days=6)
    young = house.begin()
    house.clock.advance(days=1, seconds=1)
    assert house.retention().compact_journal() == 3
    assert [event.task_id for event in house.events()] == [young.id] * 2
    with pytest.raises(EventsGone) as gone:
        house.storage.events.read(2, 10)
    assert (gone.value.oldest, gone.value.head) == (4, 5)
    assert len(house.storage.events.read(3, 10)) == 2


def test_status_goes_by_number(house: _House) -> None:
    """No more rows than allowed are kept: the newest."""
    for _ in range(5):
        house.finish(house.begin())
    assert house.retention(status_rows=4).compact_journal() == 11
    assert [event.sequence for event in house.events()] == [12, 13, 14, 15]


def test_progress_goes_an_hour_after_the_end(house: _House) -> None:
    """Progress of a task that ended goes, which is no gap; that of one that runs stays."""
    ended, runs = house.begin(), house.begin()
    house.progress(ended, 5)
    house.progress(runs, 5)
    house.finish(ended)
    house.clock.advance(hours=1, seconds=1)
    assert house.retention().compact_journal() == 5
    assert house.revisions(ended) == [(0, 1), (1, 2), (2, 8)]
    assert len(house.revisions(runs)) == 7
    assert house.storage.events.oldest() == 0
    _told(house, ended)
    _told(house, runs)


def test_progress_goes_by_number(house: _House) -> None:
    """A task keeps its newest updates; the next event stands for those that went."""
    task = house.begin()
    house.progress(task, 30)
    assert house.retention(progress_rows=10).compact_journal() == 20
    _told(house, task)
    house.progress(task, 5)
    assert house.retention(progress_rows=10).compact_journal() == 5
    house.finish(task)
    assert house.revisions(task)[:3] == [(0, 1), (1, 2), (2, 28)]
    _told(house, task)


def test_progress_of_the_last_update_stays_while_it_is_newest(house: _House) -> None:
    """The journal's newest row stays, so that its number is never given twice."""
    task = house.begin()
    house.progress(task, 3)
    house.retention(progress_rows=0).compact_journal()
    assert house.revisions(task) == [(0, 1), (1, 2), (2, 5)]
    head = house.storage.events.head()
    house.finish(task)
    assert house.storage.events.head() == head + 1


def test_much_goes_in_short_transactions(house: _House) -> None:
    """One call takes all that is due, however much that is."""
    task = house.begin()
    house.progress(task, 4_500)
    house.finish(task)
    house.clock.advance(hours=2)
    assert house.retention().compact_journal() == 4_500
    _told(house, task)


def test_unconfirmed_status_stays(house: _House) -> None:
    """What the broker has not confirmed outlives its age, progress does not."""
    for _ in range(3):
        house.finish(house.begin())
    house.storage.cursors.save("amqp", 4)
    house.clock.advance(days=30)
    assert house.retention("amqp").compact_journal() == 4
    assert [event.sequence for event in house.events()] == [5, 6, 7, 8, 9]
    house.storage.cursors.save("amqp", 9)
    assert house.retention("amqp").compact_journal() == 4
    assert [event.sequence for event in house.events()] == [9]


def test_what_one_of_several_has_not_read_stays(house: _House) -> None:
    """The one that is furthest behind holds it; one that never came so far holds nothing."""
    for _ in range(3):
        house.finish(house.begin())
    house.storage.cursors.save("amqp", 9)
    house.storage.cursors.save("listeners", 4)
    house.clock.advance(days=30)
    assert house.retention("amqp", "listeners", "new").compact_journal() == 4
    house.storage.cursors.save("listeners", 9)
    house.storage.cursors.save("amqp", 5)
    assert house.retention("amqp", "listeners", "new").compact_journal() == 1
    assert [event.sequence for event in house.events()] == [6, 7, 8, 9]


def test_past_the_cap_unconfirmed_status_goes(house: _House) -> None:
    """A broker that stays away must not fill the disk: past the cap the gap is told."""
    for _ in range(3):
        house.finish(house.begin())
    house.storage.cursors.save("amqp", 0)
    house.clock.advance(days=30)
    assert house.retention("amqp").compact_journal() == 0
    assert house.retention("amqp", unconfirmed_bytes=100).compact_journal() == 8
    with pytest.raises(EventsGone):
        house.storage.events.read(0, 10)


def test_without_a_publisher_no_cursor_holds(house: _House) -> None:
    """The cursor of a publisher that was switched off keeps nothing."""
    house.finish(house.begin())
    house.storage.cursors.save("amqp", 0)
    house.clock.advance(days=30)
    assert house.retention().compact_journal() == 2


def test_ended_tasks_go_by_age(house: _House) -> None:
    """Tasks that ended more than seven days ago go, whatever their final state; others stay."""
    finished, canceled, runs = house.begin(), house.begin(), house.begin()
    house.finish(finished)
    house.tasks.cancel(canceled.id)
    house.clock.advance(days=7)
    assert house.retention().purge_tasks() == 0
    house.clock.advance(seconds=1)
    assert house.retention().purge_tasks() == 2
    assert [task.id for task in house.tasks.tagged([])] == [runs.id]
    assert house.tasks.get(runs.id).state is TaskState.RUNNING


def test_progress_of_purged_tasks_goes(house: _House) -> None:
    """With the task its progress is of no use any more."""
    task = house.begin()
    house.progress(task, 5)
    house.finish(task)
    house.tasks.purge(["finished"])
    assert house.retention().compact_journal() == 5
    assert house.revisions(task) == [(0, 1), (1, 2), (2, 8)]


def test_deliveries_that_are_over_go_by_age(house: _House) -> None:
    """In parts, with their messages; what is still to be delivered stays however old."""
    with house.storage.write() as transaction:
        transaction.listeners.add(new_listener("a" * 24))
        wanted = [(new_message(number), ["a" * 24]) for number in range(2_500)]
        transaction.deliveries.add(wanted, now=house.clock())
        *tried, left = transaction.deliveries.pending("a" * 24, after=0, limit=2_500)
        attempt = Attempt(time=house.clock(), duration=0, verdict=Verdict.DELIVERED)
        over = [each.tried(attempt, state=DeliveryState.DELIVERED, due=None) for each in tried]
        transaction.deliveries.settle(over)
    house.clock.advance(days=7)
    assert house.retention().purge_deliveries() == 0
    house.clock.advance(seconds=1)
    assert house.retention().purge_deliveries() == 2 * 2_499
    with house.storage.read() as transaction:
        assert transaction.deliveries.get(left.id) == left
        assert len(transaction.deliveries.messages([left.message, tried[0].message])) == 1


def test_bounds_without_end_are_understood(house: _House) -> None:
    """Whoever keeps for a million years keeps all."""
    house.finish(house.begin())
    house.clock.advance(days=3_000)
    retention = house.retention(
        status_days=4e8, progress_hours=1e10, task_days=4e8, delivery_days=4e8
    )
    assert retention.compact_journal() == 0
    assert retention.purge_deliveries() == 0
    assert retention.purge_tasks() == 0
