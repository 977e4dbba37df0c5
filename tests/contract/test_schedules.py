"""Schedules are kept, found when they are due, and go with what they are for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from pulpit.content.registry import Registry
from pulpit.content.rpm.distributor import YumDistributor
from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.repositories import Repository
from pulpit.domain.schedules import Schedule, Scheduled, ScheduleKind
from pulpit.domain.tasks import Task
from pulpit.errors import MissingResource
from pulpit.services.schedules import Schedules
from pulpit.services.tasks import Tasks
from pulpit.testing import FrozenClock, RecordingEngine
from tests.contract.databases import NOW, Database, new_importer

SYNC = Scheduled(kind=ScheduleKind.SYNC, repo_id="zoo", plugin_id="yum_importer")
PUBLISH = Scheduled(kind=ScheduleKind.PUBLISH, repo_id="zoo", plugin_id="web")
_HOUR = timedelta(hours=1)


def _schedule(number: int = 1, of: Scheduled = SYNC, **changes: Any) -> Schedule:
    values: dict[str, Any] = {
        "id": f"{number:024x}",
        "of": of,
        "text": "PT1H",
        "first_run": NOW,
        "next_run": NOW,
        "last_updated": NOW,
    }
    return Schedule(**values | changes)


def _add(database: Database, *schedules: Schedule) -> None:
    with database.write() as transaction:
        for repo_id in sorted({each.of.repo_id for each in schedules}):
            transaction.repositories.add(
                Repository(id=repo_id, oid="0" * 24, display_name=repo_id, created=NOW)
            )
        for schedule in schedules:
            transaction.schedules.add(schedule)


def test_a_schedule_is_kept_as_it_is(database: Database) -> None:
    """With all that it may have, and with next to nothing."""
    full = _schedule(
        enabled=False,
        failure_threshold=3,
        consecutive_failures=2,
        override={"max_speed": 1000, "proxy_password": "é"},
        next_run=None,
        last_run_at=NOW,
        remaining_runs=0,
        total_run_count=7,
        last_task_id="00000000-0000-4000-8000-000000000001",
    )
    bare = _schedule(2)
    _add(database, full, bare)
    with database.read() as transaction:
        assert transaction.schedules.get(full.id) == full
        assert transaction.schedules.find(bare.id) == bare
        assert transaction.schedules.find("f" * 24) is None
        with pytest.raises(MissingResource):
            transaction.schedules.get("f" * 24)


def test_schedules_are_listed_by_what_they_are_for(database: Database) -> None:
    """Those of other plugins and repositories are left out."""
    elsewhere = Scheduled(kind=ScheduleKind.SYNC, repo_id="ark", plugin_id="yum_importer")
    _add(database, _schedule(2), _schedule(1), _schedule(3, PUBLISH), _schedule(4, elsewhere))
    with database.read() as transaction:
        found = transaction.schedules.list(SYNC)
    assert [each.id for each in found] == [f"{1:024x}", f"{2:024x}"]


def test_those_that_are_due_are_found(database: Database) -> None:
    """In the order of their times; disabled ones, and those without a next time, are not."""
    _add(
        database,
        _schedule(1, next_run=NOW),
        _schedule(2, next_run=NOW - _HOUR),
        _schedule(3, next_run=NOW + _HOUR),
        _schedule(4, next_run=None),
        _schedule(5, next_run=NOW - _HOUR, enabled=False),
    )
    with database.read() as transaction:
        due = transaction.schedules.due(NOW)
    assert [each.id for each in due] == [f"{2:024x}", f"{1:024x}"]


def test_those_that_ran_later_than_now_are_found(database: Database) -> None:
    """A clock that was ahead has let them run."""
    _add(
        database,
        _schedule(1, last_run_at=NOW),
        _schedule(2, last_run_at=NOW + _HOUR),
        _schedule(3, last_run_at=NOW + _HOUR, enabled=False),
        _schedule(4),
    )
    with database.read() as transaction:
        assert [each.id for each in transaction.schedules.ran_after(NOW)] == [f"{2:024x}"]


def test_schedules_are_changed_and_removed(database: Database) -> None:
    """What is gone is not written again."""
    _add(database, _schedule(1), _schedule(2), _schedule(3, PUBLISH))
    changed = _schedule(1, enabled=False, next_run=NOW + _HOUR)
    with database.write() as transaction:
        transaction.schedules.update(changed)
        transaction.schedules.remove(_schedule(2).id)
        transaction.schedules.remove(_schedule(2).id)
        transaction.schedules.update(_schedule(2))
    with database.write() as transaction:
        assert transaction.schedules.list(SYNC) == [changed]
        transaction.schedules.remove_of(SYNC)
        assert transaction.schedules.list(SYNC) == []
        assert transaction.schedules.list(PUBLISH) == [_schedule(3, PUBLISH)]


def test_two_servers_run_each_schedule_once(database: Database) -> None:
    """Both look at the same time, and what one has handed in the other does not."""
    wanted = {_schedule(number).id for number in range(150)}
    _add(database, *(_schedule(number) for number in range(150)))
    with database.write() as transaction:
        transaction.repositories.set_importer(new_importer("zoo"))
    types = Registry(importers=[YumImporter()], distributors=[YumDistributor()])
    start = threading.Barrier(2)

    def serve() -> Sequence[Task]:
        tasks = Tasks(database, clock=FrozenClock(NOW), engine=RecordingEngine())
        own = Schedules(database, clock=FrozenClock(NOW), tasks=tasks, types=types)
        start.wait()
        return own.run_due()

    with ThreadPoolExecutor(2) as threads:
        first, second = (each.result() for each in [threads.submit(serve) for _ in range(2)])
    ran = [task.arguments["schedule_id"] for task in (*first, *second)]
    assert len(ran) == len(wanted)
    assert {*ran} == wanted
    with database.read() as transaction:
        assert transaction.schedules.due(NOW) == []
        assert len(transaction.tasks.with_tags(["pulp:action:sync"])) == len(wanted)


def test_schedules_go_with_their_repository(database: Database) -> None:
    """A repository that is deleted is synced no longer."""
    _add(database, _schedule(1), _schedule(2, PUBLISH))
    with database.write() as transaction:
        transaction.repositories.remove("zoo")
    with database.read() as transaction:
        assert transaction.schedules.due(NOW) == []
