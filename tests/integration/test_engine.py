"""The engines with real processes and real databases."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState, task_report
from pulpit.errors import DatabaseFailed
from pulpit.storage.database import SqlTransaction
from pulpit.storage.postgresql import PostgresStorage, PostgresTransaction
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.integration.engines import (
    Bench,
    EmbeddedBench,
    Kind,
    MakeBench,
    WorkerBench,
    make_bench,
)
from tests.services import until
from tests.services.postgresql import PostgresServer


@pytest.fixture(params=list(Kind))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeBench:
    """Return what makes benches of one kind of engine on one database."""
    return make_bench(request.param, tmp_path, lambda: request.getfixturevalue("postgresql_url"))


@pytest.fixture
def bench(make: MakeBench) -> Iterator[Bench]:
    """Yield an engine that runs."""
    bench = make()
    bench.engine.start()
    yield bench
    bench.engine.stop()
    bench.close()


def test_body_that_returns_finishes_its_task(bench: Bench) -> None:
    """The result, the last progress and every event are there, in order."""
    task = bench.wait(bench.submit("count", times=50), TaskState.FINISHED)
    assert task.result == {"counted": 50}
    assert task.progress == {"step": {"state": "FINISHED", "done": 50}}
    assert task.error is None
    assert task.worker_name == "worker@test"
    events = bench.events(task)
    assert [event.revision for event in events] == list(range(1, 54))
    assert [event.state for event in events if event.kind is EventKind.STATUS] == [
        "waiting",
        "running",
        "finished",
    ]
    done = [
        json.loads(event.body)["progress_report"]["step"]["done"]
        for event in events
        if event.kind is EventKind.PROGRESS
    ]
    assert done == list(range(1, 51))


def test_last_event_is_the_report_that_get_returns(bench: Bench) -> None:
    """The event's body and the task as it is read are one document."""
    task = bench.wait(bench.submit("count", times=1), TaskState.FINISHED)
    assert json.loads(bench.events(task)[-1].body) == task_report(task)


@pytest.mark.parametrize(
    ("operation", "code", "words"),
    [
        ("refuse", "RPM1005", "no feed"),
        ("break", "PLP0001", "ZeroDivisionError: unexpected"),
        ("die", "PLP0049", "SIGKILL"),
        ("leave", "PLP0049", "exit code 3"),
        ("eat", "PLP0001", "memory"),
    ],
)
def test_body_that_fails_ends_its_task_in_error(
    bench: Bench, operation: str, code: str, words: str
) -> None:
    """Whatever ends the body, the task is in state error, says why, and tells it."""
    task = bench.wait(bench.submit(operation), TaskState.ERROR)
    assert task.error is not None
    assert task.error["code"] == code
    assert words in task.error["description"]
    assert bench.events(task)[-1].state == TaskState.ERROR
    assert task.id in bench.cleaned


@pytest.mark.alone
def test_cancel_ends_a_busy_task_within_a_second(bench: Bench, tmp_path: Path) -> None:
    """The state changes at once, the process ends, and its resource is free again."""
    mark = tmp_path / "mark"
    busy = bench.submit("spin", "repository:zoo", mark=str(mark))
    until(lambda: mark.exists() and mark.read_text())
    until(lambda: bench.tasks.get(busy.id).progress)
    pid = int(mark.read_text())
    behind = bench.submit("count", "repository:zoo", times=1)
    began = time.monotonic()
    bench.tasks.cancel(busy.id)
    canceled = bench.tasks.get(busy.id)
    assert canceled.state is TaskState.CANCELED
    assert canceled.progress == {"step": {"state": "CANCELLED"}}
    bench.wait(behind, TaskState.FINISHED)
    assert time.monotonic() - began < 1
    assert not Path(f"/proc/{pid}").exists()
    assert bench.tasks.get(busy.id).state is TaskState.CANCELED


def test_canceled_while_waiting_never_runs(bench: Bench, tmp_path: Path) -> None:
    """A waiting task that is canceled is passed over, with its one event."""
    gate, lines = tmp_path / "gate", tmp_path / "lines"
    first = bench.submit("await_file", "repository:zoo", file=str(gate))
    second = bench.submit("note", "repository:zoo", file=str(lines), line="second")
    third = bench.submit("note", "repository:zoo", file=str(lines), line="third")
    bench.tasks.cancel(second.id)
    gate.touch()
    bench.wait(third, TaskState.FINISHED)
    assert lines.read_text() == "third\n"
    assert [event.state for event in bench.events(second)] == ["waiting", "canceled"]
    assert bench.tasks.get(first.id).state is TaskState.FINISHED


def test_cancel_leaves_a_complete_task_alone(bench: Bench) -> None:
    """Canceling what is over changes nothing and tells nothing."""
    task = bench.wait(bench.submit("count", times=1), TaskState.FINISHED)
    bench.tasks.cancel(task.id)
    assert bench.tasks.get(task.id) == task


def test_one_resource_is_served_in_order_of_submission(bench: Bench, tmp_path: Path) -> None:
    """Tasks on the same repository run one after the other, as they came."""
    lines = tmp_path / "lines"
    tasks = [
        bench.submit("note", "repository:zoo", file=str(lines), line=number) for number in range(12)
    ]
    bench.wait(tasks[-1], TaskState.FINISHED)
    assert lines.read_text().split() == [str(number) for number in range(12)]


def test_different_resources_run_at_the_same_time(bench: Bench, tmp_path: Path) -> None:
    """Tasks on two repositories overlap."""
    gate = tmp_path / "gate"
    marks = [tmp_path / "left", tmp_path / "right"]
    left, right = (
        bench.submit("await_file", f"repository:{mark.name}", file=str(gate), mark=str(mark))
        for mark in marks
    )
    for mark in marks:
        until(mark.exists)
    gate.touch()
    ends = [bench.wait(task, TaskState.FINISHED).result for task in (left, right)]
    assert max(end["began"] for end in ends) < min(end["ended"] for end in ends)


def test_blocked_task_holds_up_only_who_shares_a_resource(bench: Bench, tmp_path: Path) -> None:
    """A task that waits for two repositories does not hold up one on a third."""
    gate = tmp_path / "gate"
    holder = bench.submit("await_file", "a", file=str(gate))
    blocked = bench.submit("count", "a", "b", times=1)
    behind = bench.submit("count", "b", times=1)
    free = bench.submit("count", "c", times=1)
    bench.wait(free, TaskState.FINISHED)
    assert bench.tasks.get(blocked.id).state is TaskState.WAITING
    assert bench.tasks.get(behind.id).state is TaskState.WAITING
    gate.touch()
    for task in (holder, blocked, behind):
        bench.wait(task, TaskState.FINISHED)


def test_stop_cancels_what_runs_and_keeps_what_waits(make: MakeBench, tmp_path: Path) -> None:
    """After a stop nothing runs, the waiting task waits, and the next start runs it."""
    bench = make(slots=1)
    bench.engine.start()
    mark = tmp_path / "mark"
    running = bench.submit("spin", mark=str(mark))
    waiting = bench.submit("count", times=1)
    until(lambda: mark.exists() and mark.read_text())
    pid = int(mark.read_text())
    bench.engine.stop()
    assert bench.tasks.get(running.id).state is TaskState.CANCELED
    assert bench.events(running)[-1].state is TaskState.CANCELED
    assert bench.tasks.get(waiting.id).state is TaskState.WAITING
    assert not Path(f"/proc/{pid}").exists()
    bench.close()

    again = make(slots=1)
    again.engine.start()
    again.wait(waiting, TaskState.FINISHED)
    again.engine.stop()
    again.close()


def test_many_tasks_all_end(bench: Bench) -> None:
    """A hundred tasks on a few resources all finish, each with contiguous revisions."""
    tasks = [bench.submit("count", f"repository:{n % 5}", times=3) for n in range(100)]
    for task in tasks:
        bench.wait(task, TaskState.FINISHED)
    for task in tasks:
        revisions = [event.revision for event in bench.events(task)]
        assert revisions == list(range(1, len(revisions) + 1))


class Unheard(SqliteStorage):
    """A database whose answer to the engine's first commit is lost."""

    is_lost = False

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with super().write() as transaction:
            yield transaction
        if threading.current_thread().name == "engine" and not self.is_lost:
            self.is_lost = True
            raise DatabaseFailed


def test_what_was_claimed_unheard_is_run(tmp_path: Path) -> None:
    """The task runs for the database by then, so nobody else would ever begin or end it."""
    bench = EmbeddedBench(Unheard(upgrade(tmp_path)), slots=2)
    bench.engine.start()
    try:
        task, behind = bench.submit("count", "zoo", times=1), bench.submit("count", "zoo", times=1)
        assert bench.wait(task, TaskState.FINISHED).attempt == 1
        bench.wait(behind, TaskState.FINISHED)
    finally:
        bench.engine.stop()
        bench.close()


class OftenUnheard(PostgresStorage):
    """A database that loses every third answer to a commit of the engine."""

    commits = 0

    @contextmanager
    def write(self) -> Iterator[PostgresTransaction]:
        with super().write() as transaction:
            yield transaction
        if threading.current_thread().name == "engine":
            self.commits += 1
            if self.commits % 3 == 0:
                raise DatabaseFailed


def test_what_a_worker_began_unheard_is_run_once(postgresql_url: str) -> None:
    """Whether with the end of another task or for a job, and no slot is lost by it."""
    bench = WorkerBench(postgresql_url, slots=2, storage=OftenUnheard)
    bench.engine.start()
    try:
        tasks = [bench.submit("count", f"repository:{n % 4}", times=1) for n in range(9)]
        ends = [bench.wait(task, TaskState.FINISHED) for task in tasks]
        assert {task.attempt for task in ends} == {1}
        # one for each child that was there
        assert sorted(bench.cleaned) == sorted(task.id for task in tasks)
        for task in ends:
            assert [event.state for event in bench.events(task)].count(TaskState.FINISHED) == 1
        assert bench.engine.figures()["busy"] == 0
    finally:
        bench.engine.stop()
        bench.close()


def test_a_slot_goes_from_task_to_task(postgresql_url: str, tmp_path: Path) -> None:
    """The one slot takes what waits by priority, without a job for each, and then jobs again."""
    bench = WorkerBench(postgresql_url, slots=1)
    bench.engine.start()
    try:
        gate, lines = tmp_path / "gate", tmp_path / "lines"
        mark = tmp_path / "mark"
        first = bench.submit("await_file", file=str(gate), mark=str(mark))
        until(mark.exists)
        tasks = [bench.submit("note", file=str(lines), line=number) for number in range(5)]
        with bench.storage.write() as transaction:
            urgent = "UPDATE tasks SET priority = 9 WHERE id = %s"
            transaction.connection.exec_driver_sql(urgent, (tasks[3].id,))
            jobs = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
            assert transaction.connection.exec_driver_sql(jobs).scalar_one() == 0
        gate.touch()
        bench.wait(first, TaskState.FINISHED)
        for task in tasks:
            bench.wait(task, TaskState.FINISHED)
        assert lines.read_text().split() == ["3", "0", "1", "2", "4"]
        bench.wait(bench.submit("count", times=1), TaskState.FINISHED)
    finally:
        bench.engine.stop()
        bench.close()


def test_the_engine_stops_while_the_database_is_away(
    postgresql: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    """In good order: its processes are gone, and the next start cancels their tasks."""
    mark = tmp_path / "mark"
    bench = EmbeddedBench(PostgresStorage(postgresql_url), slots=1)
    bench.engine.start()
    task = bench.submit("spin", mark=str(mark))
    until(lambda: mark.exists() and mark.read_text())
    postgresql.stop()
    # it fails the test if the engine fails
    bench.engine.stop()
    assert not Path(f"/proc/{mark.read_text()}").exists()
    bench.close()
    postgresql.start()

    again = EmbeddedBench(PostgresStorage(postgresql_url), slots=1)
    again.engine.start()
    assert again.tasks.get(task.id).state is TaskState.CANCELED
    again.engine.stop()
    again.close()
