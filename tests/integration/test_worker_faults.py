"""Workers in processes of their own, killed, frozen and cut off; nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulpit.domain.clock import utc_now
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.workers import new_worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.workers import Reaper
from pulpit.storage.postgresql import PostgresStorage
from tests.integration.engines import Bench, WorkerBench, workers_of
from tests.integration.worker_process import started
from tests.services import until
from tests.services.postgresql import PostgresServer

#: The shortest that is allowed, in seconds.
TIMEOUT = 3.0


class Office(Bench):
    """Where tasks are handed in and workers watched; it runs no tasks itself."""

    def __init__(self, url: str) -> None:
        super().__init__(PostgresStorage(url), DistributedEngine())
        self.workers = workers_of(self.storage)
        self._reaper = Reaper(self.storage, self.workers, timeout=TIMEOUT)

    @contextmanager
    def reaping(self) -> Iterator[None]:
        """Run the reaper while the block runs, as the leader does."""
        stop = threading.Event()
        failures: list[BaseException] = []

        def reap() -> None:
            while not stop.wait(0.2):
                try:
                    self._reaper.run_once()
                except Exception as error:  # noqa: BLE001 - shown by the test
                    failures.append(error)

        thread = threading.Thread(target=reap)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert failures == []

    def spin(self, folder: Path, *resources: str) -> tuple[Task, int]:
        """Hand in a task that never ends; return it with its process once it runs."""
        mark = folder / f"mark-{len(list(folder.iterdir()))}"
        task = self.submit("spin", *resources, mark=str(mark))
        until(lambda: mark.exists() and mark.read_text())
        return task, int(mark.read_text())

    def names(self) -> list[str]:
        """Return the workers that are known."""
        return [worker.name for worker in self.workers.known()]


@pytest.fixture
def office(postgresql_url: str) -> Iterator[Office]:
    """Yield an office at an empty database."""
    office = Office(postgresql_url)
    yield office
    office.close()


def _is_gone(pid: int) -> bool:
    """Tell whether the process is no more, apart from what its parent has not asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_one_repository_is_served_in_order_by_many_workers(
    office: Office, postgresql_url: str, tmp_path: Path
) -> None:
    """A hundred tasks on one repository run one by one, as they came; no slot waits for a poll."""
    lines = tmp_path / "lines"
    with started(postgresql_url, tmp_path, "w1", "w2", "w3", slots=10, timeout=30.0):
        tasks = [
            office.submit("note", "repository:zoo", file=str(lines), line=number)
            for number in range(100)
        ]
        office.wait(tasks[-1], TaskState.FINISHED)
    assert lines.read_text().split() == [str(number) for number in range(100)]
    ends = [office.tasks.get(task.id) for task in tasks]
    assert {task.state for task in ends} == {TaskState.FINISHED}
    assert {task.attempt for task in ends} == {1}
    order = [
        json.loads(event.body)["task_id"]
        for event in office.storage.events.read(0, 1_000)
        if event.state is TaskState.RUNNING and event.kind is EventKind.STATUS
    ]
    assert order == [task.id for task in tasks]


def test_a_killed_worker_is_missed_and_its_repository_goes_on(
    office: Office, postgresql_url: str, tmp_path: Path
) -> None:
    """Its child dies with it, its task is canceled with the event, and the next one runs."""
    with (
        started(postgresql_url, tmp_path, "w1", slots=2, timeout=TIMEOUT) as (victim,),
        office.reaping(),
    ):
        task, child = office.spin(tmp_path, "repository:zoo")
        behind = office.submit("count", "repository:zoo", times=1)
        with started(postgresql_url, tmp_path, "w2", slots=2, timeout=TIMEOUT):
            victim.kill()
            until(lambda: _is_gone(child))
            office.wait(task, TaskState.CANCELED)
            ended = office.wait(behind, TaskState.FINISHED)
            assert ended.worker_name == "w2"
            assert office.names() == ["w2"]
    assert [event.state for event in office.events(task)][-1] is TaskState.CANCELED


def test_a_killed_child_is_an_error(office: Office, postgresql_url: str, tmp_path: Path) -> None:
    """The worker goes on; the task says what ended its process."""
    with started(postgresql_url, tmp_path, "w1", slots=1, timeout=TIMEOUT):
        task, child = office.spin(tmp_path, "repository:zoo")
        behind = office.submit("count", "repository:zoo", times=1)
        os.kill(child, signal.SIGKILL)
        failed = office.wait(task, TaskState.ERROR)
        office.wait(behind, TaskState.FINISHED)
    assert failed.error is not None
    assert "SIGKILL" in failed.error["description"]


def test_a_worker_frozen_past_its_lease_changes_nothing_when_woken(
    office: Office, postgresql_url: str, tmp_path: Path
) -> None:
    """Its processes end before they do anything else; it registers anew and takes tasks again."""
    with (
        started(postgresql_url, tmp_path, "w1", slots=2, timeout=TIMEOUT) as (frozen,),
        office.reaping(),
    ):
        ticks = tmp_path / "ticks"
        task = office.submit("tick", "repository:zoo", file=str(ticks))
        until(lambda: ticks.exists() and ticks.stat().st_size > 10)
        frozen.send_all(signal.SIGSTOP)
        office.wait(task, TaskState.CANCELED)
        told, size = office.tasks.get(task.id), ticks.stat().st_size
        frozen.send_all(signal.SIGCONT)
        until(lambda: office.names() == ["w1"])
        behind = office.wait(office.submit("count", "repository:zoo", times=1), TaskState.FINISHED)
        assert behind.worker_name == "w1"
        assert office.tasks.get(task.id) == told
        assert ticks.stat().st_size == size


def test_children_of_a_frozen_worker_end_before_others_get_their_repository(
    office: Office, postgresql_url: str, tmp_path: Path
) -> None:
    """They see by themselves that their worker's lease has run out."""
    with (
        started(postgresql_url, tmp_path, "w1", slots=2, timeout=TIMEOUT) as (frozen,),
        office.reaping(),
    ):
        task, child = office.spin(tmp_path, "repository:zoo")
        frozen.send(signal.SIGSTOP)
        until(lambda: _is_gone(child))
        # the lease is shorter than the timeout
        assert office.tasks.get(task.id).state is TaskState.RUNNING
        assert office.names() == ["w1"]
        office.wait(task, TaskState.CANCELED)
        frozen.send(signal.SIGCONT)
        office.wait(office.submit("count", "repository:zoo", times=1), TaskState.FINISHED)


def test_cancel_reaches_a_worker_within_a_second(
    office: Office, postgresql_url: str, tmp_path: Path
) -> None:
    """The process of the task ends, wherever it runs, and the next one gets its resource."""
    with started(postgresql_url, tmp_path, "w1", "w2", slots=1, timeout=30.0):
        task, child = office.spin(tmp_path, "repository:zoo")
        behind = office.submit("count", "repository:zoo", times=1)
        office.tasks.cancel(task.id)
        until(lambda: _is_gone(child), seconds=1)
        office.wait(behind, TaskState.FINISHED)


def test_a_restart_of_the_database_ends_no_task(
    office: Office, postgresql: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    """What children tell meanwhile is written afterwards, once; then tasks go on as before."""
    gate = tmp_path / "gate"
    with started(postgresql_url, tmp_path, "w1", slots=2, timeout=30.0):
        running = office.submit("await_file", "repository:zoo", file=str(gate))
        behind = office.submit("count", "repository:zoo", times=1)
        office.wait(running, TaskState.RUNNING)
        postgresql.stop()
        gate.touch()
        postgresql.start()
        assert office.wait(running, TaskState.FINISHED).attempt == 1
        office.wait(behind, TaskState.FINISHED)
        assert [event.state for event in office.events(running)] == [
            "waiting",
            "running",
            "finished",
        ]
        others = [office.submit("count", f"repository:{n}", times=1) for n in range(4)]
        for task in others:
            office.wait(task, TaskState.FINISHED)


def test_a_full_worker_leaves_jobs_to_others_after_a_restart_of_the_database(
    office: Office, postgresql: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    """Its slots are taken though their jobs went with the connection; then it fetches again."""
    gate = tmp_path / "gate"
    with started(postgresql_url, tmp_path, "w1", slots=1, timeout=30.0):
        running = office.submit("await_file", "repository:zoo", file=str(gate))
        office.wait(running, TaskState.RUNNING)
        postgresql.restart()
        with started(postgresql_url, tmp_path, "w2", slots=1, timeout=30.0):
            for _ in range(3):
                other = office.submit("count", "repository:farm", times=1)
                assert office.wait(other, TaskState.FINISHED).worker_name == "w2"
        waits = office.submit("count", "repository:farm", times=1)
        gate.touch()
        assert office.wait(waits, TaskState.FINISHED).worker_name == "w1"
        assert office.tasks.get(running.id).state is TaskState.FINISHED


def test_an_outage_longer_than_the_lease_ends_what_runs(
    office: Office, postgresql: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    """A worker that can't renew its lease ends its processes, and goes on when it can.

    The log tells of the outage, and not of each attempt.
    """
    with started(postgresql_url, tmp_path, "w1", slots=2, timeout=TIMEOUT) as (worker,):
        task, child = office.spin(tmp_path, "repository:zoo")
        postgresql.stop()
        until(lambda: _is_gone(child))
        assert worker.tasks == []
        postgresql.start()
        with office.reaping():
            ended = office.wait(task, TaskState.ERROR, TaskState.CANCELED)
            if ended.error is not None:
                assert "cut off from the database" in ended.error["description"]
            office.wait(office.submit("count", "repository:zoo", times=1), TaskState.FINISHED)
        log = (tmp_path / "w1.log").read_text()
        assert log.count("heartbeat can't be written") == 1
        assert log.count("heartbeat can be written again") == 1
        # as it is shut down, away, and started
        assert 1 <= log.count("jobs can't be fetched") <= 3


def test_a_worker_stops_while_the_database_is_away(
    office: Office, postgresql: PostgresServer, postgresql_url: str, tmp_path: Path
) -> None:
    """Its processes end and so does it; what it leaves is canceled by the reaper."""
    with started(postgresql_url, tmp_path, "w1", slots=2, timeout=TIMEOUT) as (worker,):
        task, child = office.spin(tmp_path, "repository:zoo")
        postgresql.stop()
        assert worker.end() == 0
        assert _is_gone(child)
        postgresql.start()
        with office.reaping():
            office.wait(task, TaskState.CANCELED)
            until(lambda: office.names() == [])


def test_a_worker_that_stops_cancels_what_runs_and_leaves_what_waits(
    office: Office, postgresql_url: str, tmp_path: Path
) -> None:
    """It is forgotten at once, and others run what it has not begun."""
    with started(postgresql_url, tmp_path, "w1", slots=1, timeout=30.0) as (worker,):
        task, child = office.spin(tmp_path, "repository:zoo")
        behind = office.submit("count", "repository:zoo", times=1)
        assert worker.end() == 0
        assert _is_gone(child)
        assert office.tasks.get(task.id).state is TaskState.CANCELED
        assert office.names() == []
        with started(postgresql_url, tmp_path, "w1", slots=1, timeout=30.0):
            office.wait(behind, TaskState.FINISHED)


def test_a_worker_that_was_given_up_leaves_the_next_one_of_its_name_alone(
    postgresql_url: str, tmp_path: Path
) -> None:
    """Its end cancels nothing that runs there, and frees no repository."""
    bench, mark = WorkerBench(postgresql_url, slots=1), tmp_path / "mark"
    bench.engine.start()
    try:
        bench.submit("spin", "repository:zoo", mark=str(mark))
        until(mark.exists)
        (given_up,) = bench.workers.known()
        with bench.storage.write() as transaction:
            transaction.workers.remove(given_up.name, given_up.incarnation)
        bench.reaper.run_once()
        following = new_worker(given_up.name, slots=1, timeout=30.0, now=utc_now())
        bench.workers.register(following)
        task = bench.submit("spin", "repository:farm", mark=str(mark))
        behind = bench.submit("count", "repository:farm", times=1)
        lifecycle = Lifecycle(
            bench.storage, clock=utc_now, completions={}, offer=DistributedEngine().offer
        )
        assert [one.id for one in lifecycle.begin(following, [task.id, behind.id])] == [task.id]
        bench.engine.stop()
        assert bench.tasks.get(task.id).state is TaskState.RUNNING
        assert lifecycle.begin(following, [behind.id]) == []
        assert [worker.incarnation for worker in bench.workers.known()] == [following.incarnation]
    finally:
        bench.engine.stop()
        bench.close()
