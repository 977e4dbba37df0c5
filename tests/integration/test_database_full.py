"""A database without room, in the middle of a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulpit.domain.outcomes import Finished, Outcome, Update
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import DatabaseFailed
from pulpit.services.changes import Changes
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import FrozenClock, RecordingEngine, expect_events
from tests.contract.databases import NOW, new_repository, new_task


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    """Yield an empty database."""
    with SqliteStorage(upgrade(tmp_path)) as made:
        yield made


def _limit(storage: SqliteStorage, pages: int) -> None:
    """Let the writer's database grow by so many pages and no more."""
    with storage.write() as transaction:
        used = transaction.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        transaction.connection.exec_driver_sql(f"PRAGMA max_page_count = {used + pages}")


def _complete(changes: Changes, task: Task, outcome: Outcome) -> list[str]:
    """End a task with more than a small database has room for."""
    del outcome
    notes = {"x": "x" * 200_000}
    changes.transaction.repositories.add(new_repository(f"of-{task.id}", notes=notes))
    return []


def test_a_full_database_ends_no_task_in_error(storage: SqliteStorage) -> None:
    """The end of a task that finds no room is not written, and is as it should be when there is."""
    clock = FrozenClock(NOW)
    tasks = Tasks(storage, clock=clock, engine=RecordingEngine())
    lifecycle = Lifecycle(
        storage, clock=clock, completions={"test": _complete}, offer=lambda _: None
    )
    tasks.submit(new_task())
    [running] = lifecycle.claim("w1", 1)
    ends = [Update(task_id=running.id, attempt=running.attempt, news=Finished(result=1))]
    _limit(storage, 10)
    with expect_events(storage.events), pytest.raises(DatabaseFailed, match="full"):
        lifecycle.record(ends)
    assert tasks.get(running.id) == running
    _limit(storage, 1_000)
    with expect_events(storage.events, "finished"):
        lifecycle.record(ends)
    assert tasks.get(running.id).state is TaskState.FINISHED
