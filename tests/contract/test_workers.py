"""Workers and their jobs: who is known, who is given up, and that no task is left without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from pulpit.domain.outcomes import Finished, Progress, Update
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.workers import Vacancy, Worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.errors import Fenced, WorkerNameTaken
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, new_task
from pulpit.services.workers import Reaper, Workers
from pulpit.storage.database import SqlTransaction
from pulpit.testing import FrozenClock, expect_events
from tests.contract.databases import (
    NOW,
    Database,
    MakeDatabase,
    memory_database,
    postgresql_database,
    submit,
)

#: Longer than any test takes; and a time that has passed for whoever beats now.
HOUR, PASSED = 3600.0, -1.0
#: Of the worker that the rule of grants is tried with.
SLOTS = 3


def _worker(name: str = "w1", *, timeout: float = HOUR, slots: int = 9) -> Worker:
    """Return a process that has told nobody of itself."""
    return Worker(
        name=name,
        incarnation=str(uuid4()),
        slots=slots,
        timeout=timeout,
        started=NOW,
        heartbeat=NOW,
    )


def _task(*resources: str) -> Task:
    """Return a task that nobody has handed in."""
    return new_task(
        now=NOW,
        task_type="pulp.test",
        operation="test",
        arguments={},
        tags=[],
        resources=resources,
    )


@pytest.fixture(params=["memory", "postgresql"])
def make_shared(request: pytest.FixtureRequest) -> MakeDatabase:
    """Return what makes databases that workers share."""
    if request.param == "memory":
        return memory_database
    return postgresql_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def shared(make_shared: MakeDatabase, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database that workers share."""
    made = make_shared(tmp_path)
    yield made
    made.close()


# ---------------------------------------------------------------------- the store of workers


def test_a_name_is_one_workers_at_a_time(database: Database) -> None:
    """A second process of the name is refused until the first is forgotten."""
    first, second = _worker(), _worker()
    with database.write() as transaction:
        assert transaction.workers.add(first)
        assert not transaction.workers.add(second)
        assert not transaction.workers.remove(second.name, second.incarnation)
    with database.write() as transaction:
        assert [worker.incarnation for worker in transaction.workers.list()] == [first.incarnation]
        assert transaction.workers.remove(first.name, first.incarnation)
        assert transaction.workers.add(second)


def test_only_a_worker_that_is_known_beats(database: Database) -> None:
    """A heartbeat counts for the process that is known by the name, and its clock is not ours."""
    worker = _worker()
    with database.write() as transaction:
        transaction.workers.add(worker)
    with database.write_beside() as transaction:
        (before,) = transaction.workers.list()
        assert transaction.workers.beat(worker.name, worker.incarnation)
        assert not transaction.workers.beat(worker.name, str(uuid4()))
        assert not transaction.workers.beat("another", worker.incarnation)
        (after,) = transaction.workers.list()
    assert NOW < before.heartbeat <= after.heartbeat
    assert (after.started, after.slots) == (before.started, 9)


def test_silence_is_measured_by_the_database(database: Database) -> None:
    """Those whose heartbeat is older than they said are silent, sorted by name."""
    with database.write() as transaction:
        for name in ("w3", "w2", "w1"):
            worker = _worker(name, timeout=HOUR if name == "w2" else PASSED)
            transaction.workers.add(worker)
        assert [worker.name for worker in transaction.workers.silent()] == ["w1", "w3"]
        assert [worker.timeout for worker in transaction.workers.list()] == [PASSED, HOUR, PASSED]


def test_the_silent_are_removed_and_returned(database: Database) -> None:
    """Of the names that are asked for, or of all; who is heard of stays."""
    lost = [_worker(name, timeout=PASSED) for name in ("w2", "w1")]
    with database.write() as transaction:
        for worker in (*lost, _worker("w3")):
            transaction.workers.add(worker)
        assert transaction.workers.remove_silent(["w3", "w4"]) == []
        (first,) = transaction.workers.remove_silent(["w2", "w3"])
        assert (first.name, first.incarnation) == ("w2", lost[0].incarnation)
        transaction.workers.add(lost[0])
        assert [worker.name for worker in transaction.workers.remove_silent()] == ["w1", "w2"]
        assert [worker.name for worker in transaction.workers.list()] == ["w3"]
        assert not transaction.workers.beat("w1", lost[1].incarnation)


def test_the_fence_holds_off_strangers(database: Database) -> None:
    """Who is not known, or is another process of the name, begins nothing."""
    worker = _worker()
    with database.write() as transaction:
        transaction.workers.add(worker)
        transaction.workers.fence(worker.name, worker.incarnation)
        with pytest.raises(Fenced):
            transaction.workers.fence(worker.name, str(uuid4()))
        with pytest.raises(Fenced):
            transaction.workers.fence("another", worker.incarnation)


# ---------------------------------------------------------------------- jobs


def _jobs(database: Database) -> list[str]:
    """Return the tasks of the jobs that wait to be fetched, in the order in which they are."""
    with database.read() as transaction:
        if isinstance(transaction, SqlTransaction):
            statement = text(
                "SELECT args->>'task_id' FROM procrastinate_jobs WHERE status = 'todo' "
                "ORDER BY priority DESC, id"
            )
            return list(transaction.connection.execute(statement).scalars())
        state = transaction.state  # type: ignore[attr-defined]
        waiting = [state.tasks[job.task] for job in state.jobs.values() if not job.is_lost]
        return [task.id for task in sorted(waiting, key=lambda task: -task.priority)]


def _lose(database: Database, task_id: str) -> None:
    """Let the job be fetched by a process that dies."""
    with database.write() as transaction:
        if isinstance(transaction, SqlTransaction):
            transaction.connection.execute(
                text(
                    "UPDATE procrastinate_jobs SET status = 'doing' WHERE args->>'task_id' = :task"
                ),
                {"task": task_id},
            )
        else:
            transaction.jobs.lose(task_id)  # type: ignore[attr-defined]


def _finish(database: Database, task_id: str) -> None:
    """Let the job be done, whatever its task is."""
    with database.write() as transaction:
        if isinstance(transaction, SqlTransaction):
            transaction.connection.execute(
                text("DELETE FROM procrastinate_jobs WHERE args->>'task_id' = :task"),
                {"task": task_id},
            )
        else:
            transaction.jobs.finish(task_id)  # type: ignore[attr-defined]


class _House:
    """The services of the distributed engine on a database."""

    def __init__(self, database: Database, *, slots: int = 9) -> None:
        self.database = database
        self.clock = FrozenClock(NOW)
        engine = DistributedEngine()
        self.tasks = Tasks(database, clock=self.clock, engine=engine)
        self.lifecycle = Lifecycle(database, clock=self.clock, completions={}, offer=engine.offer)
        self.workers = Workers(database, clock=self.clock, offer=engine.offer)
        self.reaper = Reaper(database, self.workers, timeout=HOUR)
        self.worker = _worker(slots=slots)
        self.workers.register(self.worker)

    def lose(self) -> None:
        """Let the worker be silent for too long."""
        with self.database.write() as transaction:
            transaction.workers.remove(self.worker.name, self.worker.incarnation)
            transaction.workers.add(replace(self.worker, timeout=PASSED))

    def submit(self, *resources: str) -> Task:
        """Hand in a task."""
        return self.tasks.submit(_task(*resources))

    def begin(self, *task_ids: str) -> list[Task]:
        """Let the worker begin tasks, as it does for the jobs that it has fetched."""
        return list(self.lifecycle.begin(self.worker, task_ids))

    def end(self, *tasks: Task, free: int = 0, worker: Worker | None = None) -> list[Task]:
        """Let tasks finish, and the next ones begin in slots that are free then."""
        vacancy = Vacancy(worker=worker or self.worker, slots=free) if free else None
        ends = [Update(task_id=task.id, attempt=task.attempt, news=Finished()) for task in tasks]
        return list(self.lifecycle.record(ends, vacancy))


@pytest.fixture
def house(shared: Database) -> _House:
    """Return the services on an empty database."""
    return _House(shared)


def test_a_task_gets_its_job_when_it_may_run(house: _House) -> None:
    """At once if its resources are free, else with the end of the one before."""
    first, second, other = house.submit("zoo"), house.submit("zoo", "farm"), house.submit("park")
    assert _jobs(house.database) == [first.id, other.id]
    (running,) = house.begin(first.id)
    assert (running.attempt, running.worker_name) == (1, "w1")
    assert house.begin(first.id, second.id) == [running]
    house.end(running)
    _finish(house.database, first.id)
    assert _jobs(house.database) == [other.id, second.id]


def test_an_undone_transaction_gives_no_job(house: _House) -> None:
    """A job is part of the transaction that hands its task in."""

    def undo() -> None:
        with house.database.write() as transaction:
            house.tasks.submit_in(
                transaction,
                [
                    _task("zoo"),
                ],
            )
            assert transaction.jobs.offer() == 0
            raise LookupError

    with suppress(LookupError):
        undo()
    assert _jobs(house.database) == []


def test_canceling_the_first_lets_the_next_run(house: _House) -> None:
    """A waiting task that is canceled gives its place, and its own job leads to nothing."""
    first, second = house.submit("zoo"), house.submit("zoo")
    house.tasks.cancel(first.id)
    assert _jobs(house.database) == [first.id, second.id]
    assert house.begin(first.id) == []
    assert [task.id for task in house.begin(second.id)] == [second.id]


def test_jobs_that_nobody_does_are_given_again(house: _House) -> None:
    """One whose holder died, one that vanished and a task that never had one; each once."""
    lost, vanished, kept = house.submit("a"), house.submit("b"), house.submit("c")
    never = submit(house.database, resources=("d",))
    behind = submit(house.database, resources=("d",))
    _lose(house.database, lost.id)
    _finish(house.database, vanished.id)
    assert house.reaper.run_once().jobs == 3
    assert sorted(_jobs(house.database)) == sorted([lost.id, vanished.id, kept.id, never.id])
    assert behind.id not in _jobs(house.database)
    with house.database.read() as transaction:
        assert not transaction.jobs.astray(seconds=HOUR, all_tasks=True)
    assert house.reaper.run_once().jobs == 0


def test_jobs_of_the_dead_are_noticed_in_every_run(house: _House) -> None:
    """A job whose holder died is given again by the next run of the reaper, thorough or not."""
    house.reaper.run_once()
    lost = house.submit("a")
    _lose(house.database, lost.id)
    assert house.reaper.run_once().jobs == 1
    assert _jobs(house.database) == [lost.id]


def test_a_lost_job_of_a_task_that_runs_is_deleted(house: _House) -> None:
    """A task that was begun needs no job, whatever becomes of it."""
    task = house.submit("a")
    house.begin(task.id)
    _lose(house.database, task.id)
    assert house.reaper.run_once().jobs == 0
    with house.database.read() as transaction:
        assert not transaction.jobs.astray(seconds=HOUR, all_tasks=True)


def test_there_are_jobs_for_free_slots_alone(shared: Database) -> None:
    """Tasks that wait for a slot get a job when there is one: a worker that comes, or a cancel."""
    house = _House(shared, slots=2)
    tasks = [house.submit() for _ in range(5)]
    assert _jobs(house.database) == [task.id for task in tasks[:2]]
    house.tasks.cancel(tasks[1].id)
    assert _jobs(house.database) == [tasks[0].id, tasks[1].id, tasks[2].id]
    house.begin(tasks[0].id, tasks[2].id)
    house.workers.register(_worker("w2", slots=1))
    assert _jobs(house.database)[-1] == tasks[3].id
    assert tasks[4].id not in _jobs(house.database)
    with house.database.read() as transaction:
        assert not transaction.jobs.astray(seconds=HOUR, all_tasks=True)


def test_a_slot_that_lacks_a_job_is_noticed_in_every_run(shared: Database) -> None:
    """Whatever has freed the slot without a word, the reaper gives the next task a job."""
    house = _House(shared, slots=1)
    first, second = house.submit("a"), house.submit("b")
    (running,) = house.begin(first.id)
    assert house.reaper.run_once().jobs == 0
    with house.database.write() as transaction:
        transaction.tasks.update([replace(running, state=TaskState.FINISHED)])
    assert house.reaper.run_once().jobs == 1
    assert second.id in _jobs(house.database)


# ---------------------------------------------------------------------- the next task of a slot


def test_the_end_of_a_task_begins_the_next(house: _House) -> None:
    """In one transaction, told in order; the job that nobody has fetched is gone."""
    first, second, behind = house.submit("zoo"), house.submit("farm"), house.submit("zoo")
    (running,) = house.begin(first.id)
    with expect_events(house.database.events, "finished", "running", "running"):
        begun = house.end(running, free=3)
    assert [(task.id, task.attempt, task.worker_name) for task in begun] == [
        (second.id, 1, "w1"),
        (behind.id, 1, "w1"),
    ]
    assert [house.tasks.get(task.id) for task in begun] == begun
    assert _jobs(house.database) == [first.id]
    assert house.begin(second.id) == begun[:1]


def test_the_next_one_goes_by_priority_then_by_age(shared: Database) -> None:
    """Whether it had a job, waited for one, or may run since this very end."""
    house = _House(shared, slots=1)
    with shared.write() as transaction:
        ranked = {
            rank: transaction.tasks.add(replace(_task(*resources), priority=priority, revision=1))
            for rank, priority, resources in [
                (0, 0, ["zoo"]),
                (4, 0, ["a"]),
                (2, 5, ["b"]),
                (5, 0, ["c"]),
                (3, 5, ["d"]),
                (1, 9, ["zoo"]),
            ]
        }
        transaction.jobs.offer()
    (running,) = house.begin(ranked[0].id)
    for rank in range(1, 6):
        (begun,) = house.end(running, free=1)
        assert begun.id == ranked[rank].id
        running = begun
    assert house.end(running, free=1) == []


def test_what_is_begun_while_its_job_is_fetched_is_let_go(house: _House) -> None:
    """Who has fetched it finds that it runs elsewhere, and the job is there until then."""
    first, second = house.submit("zoo"), house.submit("farm")
    (running,) = house.begin(first.id)
    _lose(house.database, second.id)
    assert [task.id for task in house.end(running, free=1)] == [second.id]
    other = _worker("w2")
    house.workers.register(other)
    assert house.lifecycle.begin(other, [second.id]) == []
    with house.database.read() as transaction:
        assert transaction.jobs.astray(seconds=HOUR, all_tasks=False)


def test_a_worker_that_is_given_up_ends_tasks_and_begins_none(house: _House) -> None:
    """Neither does another process of its name; who is known is woken for what waits."""
    first, second = house.submit("zoo"), house.submit("zoo")
    (running,) = house.begin(first.id)
    stranger = replace(house.worker, incarnation=str(uuid4()))
    with expect_events(house.database.events, "finished"):
        assert house.end(running, free=1, worker=stranger) == []
    assert second.id in _jobs(house.database)
    unsure = Vacancy(worker=stranger, slots=1, begun=())
    assert not house.lifecycle.record([], unsure)


def test_a_task_of_the_next_slot_dies_with_its_worker(house: _House) -> None:
    """The reaper finds what was begun so, as all else that runs there."""
    first, second, behind = house.submit("zoo"), house.submit("farm"), house.submit("farm")
    (running,) = house.begin(first.id)
    house.end(running, free=1)
    house.workers.register(_worker("w2"))
    house.lose()
    assert [task.id for task in house.reaper.run_once().tasks] == [second.id]
    assert behind.id in _jobs(house.database)


# ---------------------------------------------------------------------- workers that are lost


def test_a_worker_that_is_given_up_begins_nothing(house: _House) -> None:
    """It is told so, and may register anew."""
    task = house.submit("zoo")
    house.lose()
    house.workers.give_up()
    with pytest.raises(Fenced):
        house.begin(task.id)
    assert not house.workers.beat(house.worker)
    house.worker = _worker()
    house.workers.register(house.worker)
    assert [one.id for one in house.begin(task.id)] == [task.id]


def test_the_tasks_of_a_lost_worker_are_canceled_and_told(house: _House) -> None:
    """Its row goes, its tasks are canceled with their events, and who waits behind them may run."""
    task, behind = house.submit("zoo"), house.submit("zoo")
    (running,) = house.begin(task.id)
    alive = _worker("alive")
    house.workers.register(alive)
    (lives,) = house.lifecycle.begin(alive, [house.submit("farm").id])
    with house.database.write() as transaction:
        transaction.workers.remove("w1", house.worker.incarnation)
    with expect_events(house.database.events, "canceled"):
        reaped = house.reaper.run_once()
    assert [one.id for one in reaped.tasks] == [task.id]
    assert house.tasks.get(lives.id).state is TaskState.RUNNING
    assert behind.id in _jobs(house.database)
    # what the lost one says later changes nothing
    with expect_events(house.database.events):
        house.lifecycle.record(
            [
                Update(task_id=task.id, attempt=running.attempt, news=Progress(report={"n": 1})),
                Update(task_id=task.id, attempt=running.attempt, news=Finished(result=1)),
            ]
        )
    assert house.tasks.get(task.id).result is None
    assert house.lifecycle.strays({running.id: 1, lives.id: 1, "gone": 1}) == {running.id, "gone"}


def test_a_reaper_that_dies_between_its_steps_is_followed_up(house: _House) -> None:
    """What one leader has canceled, the next one frees."""
    task, behind = house.submit("zoo"), house.submit("zoo")
    house.begin(task.id)
    house.lose()
    lost, canceled = house.workers.give_up()
    assert [worker.name for worker in lost] == ["w1"]
    assert [one.id for one in canceled] == [task.id]
    house.workers.register(_worker("w2"))
    assert behind.id not in _jobs(house.database)
    house.reaper.run_once()
    assert behind.id in _jobs(house.database)


def test_the_next_of_a_name_takes_over_what_the_lost_one_left(house: _House) -> None:
    """Its running task is canceled and its resource is free, before the next one takes tasks."""
    task, behind = house.submit("zoo"), house.submit("zoo")
    house.begin(task.id)
    with pytest.raises(WorkerNameTaken, match="--name"):
        house.workers.register(_worker())
    house.lose()
    house.workers.register(_worker())
    assert house.tasks.get(task.id).state is TaskState.CANCELED
    assert behind.id in _jobs(house.database)


def test_the_given_up_frees_what_it_held_when_it_returns(house: _House) -> None:
    """A worker that registers anew before the reaper's second step does that step for itself."""
    task, behind = house.submit("zoo"), house.submit("zoo")
    house.begin(task.id)
    house.lose()
    house.workers.give_up()
    house.workers.register(_worker())
    assert house.tasks.get(task.id).state is TaskState.CANCELED
    assert behind.id in _jobs(house.database)


def test_a_worker_that_stops_hands_its_jobs_back(house: _House) -> None:
    """What it had fetched and not begun is done by others."""
    task = house.submit("zoo")
    _finish(house.database, task.id)
    house.workers.unregister(house.worker)
    assert house.workers.known() == []
    house.workers.register(_worker("w2"))
    assert _jobs(house.database) == [task.id]


# ---------------------------------------------------------------------- the rule of grants


class Grants(RuleBasedStateMachine):
    """Users hand in and cancel, workers begin and end; no slot lacks a job that it could have."""

    make: MakeDatabase

    def __init__(self) -> None:
        super().__init__()
        self.house = _House(type(self).make(Path()), slots=SLOTS)
        #: Tasks that have not ended, in order; the names of those that run.
        self.queue: list[Task] = []
        self.running: dict[str, Task] = {}

    def teardown(self) -> None:
        """Let go of the database."""
        self.house.database.close()

    def _may_run(self) -> set[str]:
        """Return the tasks that wait and have nobody before them in any of their queues."""
        taken: set[str] = set()
        free = set()
        for task in self.queue:
            if not taken & set(task.resources) and task.id not in self.running:
                free.add(task.id)
            taken |= set(task.resources)
        return free

    @rule(
        resources=st.sets(st.sampled_from(["a", "b", "c"])),
        priority=st.integers(min_value=-100, max_value=100),
    )
    def submit(self, resources: set[str], priority: int) -> None:
        """A user hands in a task of some priority."""
        with self.house.database.write() as transaction:
            task = replace(_task(*sorted(resources)), priority=priority)
            self.queue.append(transaction.tasks.add(task))
            transaction.jobs.offer()

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A user cancels a task that waits."""
        task = data.draw(st.sampled_from(self.queue))
        if task.id not in self.running:
            self.house.tasks.cancel(task.id)
            self.queue.remove(task)

    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """A worker begins some of the tasks, whether they may run or not."""
        wanted = [task.id for task in self.queue if data.draw(st.booleans())]
        wanted = wanted[: SLOTS - len(self.running)]
        free = self._may_run() & set(wanted)
        begun = {task.id: task for task in self.house.begin(*wanted)}
        assert begun.keys() == free | (self.running.keys() & set(wanted))
        self.running |= begun

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A task that runs ends."""
        task = self.running.pop(data.draw(st.sampled_from(sorted(self.running))))
        self.house.end(task)
        self.queue = [one for one in self.queue if one.id != task.id]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), idle=st.integers(min_value=0, max_value=SLOTS))
    def go_on(self, data: st.DataObject, idle: int) -> None:
        """Tasks that run end, and the next ones begin in their slots, or in idle ones as well."""
        ending = [task for task in self.running.values() if data.draw(st.booleans())]
        for task in ending:
            del self.running[task.id]
            self.queue.remove(self._queued(task))
        free = min(len(ending) + idle, SLOTS - len(self.running))
        may_run = [task for task in self.queue if task.id in self._may_run()]
        may_run.sort(key=lambda task: (-task.priority, task.number))
        begun = self.house.end(*ending, free=free)
        assert [task.id for task in begun] == [task.id for task in may_run[:free]]
        self.running |= {task.id: task for task in begun}

    def _queued(self, task: Task) -> Task:
        """Return the task as it was handed in."""
        return next(one for one in self.queue if one.id == task.id)

    @invariant()
    def free_slots_have_jobs(self) -> None:
        """No look through all tasks is ever needed to find who may run."""
        with self.house.database.read() as transaction:
            grantable = transaction.tasks.grantable(1_000)
            assert not transaction.jobs.astray(seconds=HOUR, all_tasks=True)
        free = {task.id for task in grantable}
        assert free == self._may_run()
        jobs = free & set(_jobs(self.house.database))
        assert len(jobs) >= min(SLOTS - len(self.running), len(free))
        assert grantable == sorted(grantable, key=lambda task: (-task.priority, task.number))


def test_grants_are_first_come_first_served(make_shared: MakeDatabase) -> None:
    """However users and workers interleave, who is first in its queues may run, and only he."""
    machine = type("Machine", (Grants,), {"make": staticmethod(make_shared)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=20, stateful_step_count=25, deadline=None)
    )
