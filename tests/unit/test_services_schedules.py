"""Schedules by a frozen clock: each time is run once, what was missed once, and failures count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pulpit.content.registry import Registry
from pulpit.content.rpm.distributor import YumDistributor
from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.outcomes import Failed, Finished, Update
from pulpit.domain.schedules import Schedule, Scheduled, ScheduleKind, schedule_document
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import InvalidValue, MissingResource, NoFeed
from pulpit.services.importers import SYNC
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.operations import COMPLETIONS
from pulpit.services.repositories import Repositories
from pulpit.services.schedules import Schedules
from pulpit.services.tasks import Tasks
from pulpit.testing import FrozenClock, MemoryStorage, RecordingEngine

OF = Scheduled(kind=ScheduleKind.SYNC, repo_id="zoo", plugin_id="yum_importer")
_FAILED = Failed(error=NoFeed().to_dict())


class _House:
    """A repository with its schedules, over a clock that stands still."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.clock = FrozenClock()
        self.engine = RecordingEngine()
        self.tasks = Tasks(self.storage, clock=self.clock, engine=self.engine)
        self.types = Registry(importers=[YumImporter()], distributors=[YumDistributor()])
        self.schedules = self.another()
        self.lifecycle = Lifecycle(
            self.storage, clock=self.clock, completions=COMPLETIONS, offer=self.engine.offer
        )
        repositories = Repositories(
            self.storage, clock=self.clock, tasks=self.tasks, types=self.types
        )
        repositories.create({"id": "zoo", "importer_type_id": "yum_importer"})

    def another(self) -> Schedules:
        """Return what another server has of the schedules."""
        return Schedules(self.storage, clock=self.clock, tasks=self.tasks, types=self.types)

    def create(self, schedule: str, **more: Any) -> Schedule:
        """Create a schedule of the repository's syncs."""
        return self.schedules.create(OF, {"schedule": schedule, **more})

    def now(self, schedule: Schedule) -> Schedule:
        """Return the schedule as it is kept."""
        return self.schedules.get(OF, schedule.id)

    def run(self, outcome: Finished | Failed | None = None) -> Sequence[Task]:
        """Hand in what is due, and let it end so; return it."""
        begun = self.schedules.run_due()
        for task in self.lifecycle.claim("here", 10):
            news = outcome or Finished(result=None)
            self.lifecycle.record([Update(task_id=task.id, attempt=task.attempt, news=news)])
        return begun


@pytest.fixture
def house() -> _House:
    """Return a house of its own for each test."""
    return _House()


def test_what_is_due_is_handed_in_once(house: _House) -> None:
    """By the ordinary task, with the schedule's configuration; however many servers look."""
    schedule = house.create("PT1H", override_config={"max_speed": 7})
    (task,) = house.schedules.run_due()
    assert house.another().run_due() == []
    assert (task.operation, task.state) == (SYNC, TaskState.WAITING)
    assert task.arguments["override_config"] == {"max_speed": 7}
    assert "pulp:action:sync" in task.tags
    kept = house.now(schedule)
    assert kept.next_run == house.clock.advance(hours=1)
    assert (kept.total_run_count, kept.last_task_id) == (1, task.id)


def test_missed_times_are_made_good_by_one_run(house: _House) -> None:
    """The next run is on the grid again, wherever the server was meanwhile."""
    schedule = house.create("2026-01-01T00:30:00Z/PT1H")
    assert house.run() == []
    house.clock.advance(hours=10)
    assert len(house.run()) == 1
    assert house.run() == []
    next_run = house.now(schedule).next_run
    assert next_run is not None
    assert next_run.isoformat() == "2026-01-01T10:30:00+00:00"


def test_a_run_waits_for_the_one_before(house: _House) -> None:
    """A sync that takes longer than its interval piles up nothing."""
    house.create("PT1M")
    assert len(house.schedules.run_due()) == 1
    house.clock.advance(minutes=30)
    assert house.schedules.run_due() == []
    house.run()
    assert len(house.schedules.run_due()) == 1


def test_runs_are_counted_down(house: _House) -> None:
    """The last one ends the schedule."""
    schedule = house.create("R2/PT1M")
    for left in (1, 0):
        assert len(house.run()) == 1
        assert house.now(schedule).remaining_runs == left
        house.clock.advance(minutes=1)
    assert house.run() == []
    kept = house.now(schedule)
    assert (kept.enabled, kept.next_run, kept.total_run_count) == (False, None, 2)


def test_failures_in_a_row_disable(house: _House) -> None:
    """A success in between begins the count anew; enabling forgets it."""
    schedule = house.create("PT1M", failure_threshold=2)
    for outcome, failures, enabled in (
        (_FAILED, 1, True),
        (None, 0, True),
        (_FAILED, 1, True),
        (_FAILED, 2, False),
    ):
        assert len(house.run(outcome)) == 1
        kept = house.now(schedule)
        assert (kept.consecutive_failures, kept.enabled) == (failures, enabled)
        house.clock.advance(minutes=1)
    assert house.run() == []
    house.schedules.update(OF, schedule.id, {"enabled": True})
    assert house.now(schedule).consecutive_failures == 0
    assert house.run() == []
    house.clock.advance(minutes=1)
    assert len(house.run()) == 1


def test_a_clock_that_was_ahead_puts_nothing_off(house: _House) -> None:
    """What ran at a time that is yet to come runs again at the times that are left out."""
    schedule = house.create("PT1H")
    house.clock.advance(days=400)
    assert len(house.run()) == 1
    house.clock.advance(days=-400)
    assert house.another().run_due() == []
    kept = house.now(schedule)
    assert kept.next_run is not None
    assert kept.next_run <= house.clock.advance(hours=1)


def test_a_disabled_schedule_does_not_run(house: _House) -> None:
    """Nor does one that is deleted; its task that runs ends all the same."""
    schedule = house.create("PT1M", enabled=False)
    assert house.run() == []
    house.schedules.update(OF, schedule.id, {"enabled": True})
    house.clock.advance(minutes=1)
    (task,) = house.schedules.run_due()
    house.schedules.delete(OF, schedule.id)
    house.run()
    assert house.tasks.get(task.id).state is TaskState.FINISHED
    house.clock.advance(minutes=5)
    assert house.run() == []


def test_a_schedule_of_nothing_goes(house: _House) -> None:
    """One that was made while its importer was taken away hands in nothing, and is gone."""
    schedule = house.create("PT1M")
    with house.storage.write() as transaction:
        transaction.repositories.remove_importer("zoo")
    assert house.run() == []
    with house.storage.read() as transaction:
        assert transaction.schedules.find(schedule.id) is None


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"schedule": "now and then"}, "schedule"),
        ({"schedule": "PT1H", "failure_threshold": 0}, "failure_threshold"),
        ({"schedule": "PT1H", "failure_threshold": 2**40}, "failure_threshold"),
        ({"schedule": "PT1H", "enabled": "yes"}, "enabled"),
        ({"schedule": "PT1H", "override_config": {"feed": "gopher://x/"}}, "feed"),
    ],
)
def test_bad_schedules_are_refused(house: _House, document: dict[str, Any], name: str) -> None:
    """By the name of what is wrong."""
    with pytest.raises(InvalidValue) as caught:
        house.schedules.create(OF, document)
    assert caught.value.names == (name,)


def test_schedules_are_of_what_is_there(house: _House) -> None:
    """An importer that the repository lacks has none."""
    other = Scheduled(kind=ScheduleKind.SYNC, repo_id="zoo", plugin_id="iso_importer")
    with pytest.raises(MissingResource):
        house.schedules.create(other, {"schedule": "PT1H"})
    schedule = house.create("PT1H")
    with pytest.raises(MissingResource):
        house.schedules.get(other, schedule.id)


def test_the_document_is_pulp_2s(house: _House) -> None:
    """With every key that its clients know, and no secret."""
    override = {"proxy_password": "hush", "max_speed": 7}
    schedule = house.create("R3/2026-02-01T00:00:00Z/P1D", override_config=override)
    document = schedule_document(schedule)
    href = "/pulp/api/v2/repositories/zoo/importers/yum_importer/schedules/sync/"
    assert document["_href"] == f"{href}{schedule.id}/"
    assert document["kwargs"] == {"overrides": {"proxy_password": "*****", "max_speed": 7}}
    assert document["next_run"] == document["first_run"] == "2026-02-01T00:00:00Z"
    assert document.keys() == {
        "_id",
        "_href",
        "schedule",
        "enabled",
        "failure_threshold",
        "consecutive_failures",
        "first_run",
        "next_run",
        "last_run_at",
        "last_updated",
        "remaining_runs",
        "total_run_count",
        "args",
        "kwargs",
        "resource",
        "task",
    }
