"""The life of tasks: each change is told, each end is final, resources are never shared."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pulpit.domain.events import Event, EventKind
from pulpit.domain.outcomes import Failed, Finished, Lost, Outcome, Progress, Update
from pulpit.domain.tasks import PURGEABLE, Task, TaskState, task_report
from pulpit.errors import DatabaseFailed, Fenced, MissingResource
from pulpit.ports import Transaction
from pulpit.services.changes import Changes, changes_in
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, new_task
from pulpit.testing import FrozenClock, RecordingEngine, expect_events
from tests.contract.databases import NOW, Database, MakeDatabase, new_repository

OUTCOMES: list[Outcome] = [
    Finished(result={"added_count": 3}, report={"done": True}),
    Finished(),
    Failed(error={"code": "RPM1004", "description": "d", "data": {}, "sub_errors": []}),
    Lost(reason="killed by signal 9"),
]


def _task(*resources: str, operation: str = "sync") -> Task:
    """Return a task that nobody has handed in."""
    return new_task(
        now=NOW,
        task_type="pulp.test",
        operation=operation,
        arguments={},
        tags=[f"pulp:repository:{name}" for name in resources],
        resources=resources,
    )


def _update(task: Task, news: Progress | Outcome) -> Update:
    """Return what an attempt tells."""
    return Update(task_id=task.id, attempt=task.attempt, news=news)


class _House:
    """The services of tasks on a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FrozenClock(NOW)
        self.engine = RecordingEngine()
        #: Whether the database has room for the end of an unlucky task.
        self.room = False
        self.tasks = Tasks(database, clock=self.clock, engine=self.engine)
        self.lifecycle = Lifecycle(
            database,
            clock=self.clock,
            completions={
                "refusing": self._refuse,
                "broken": self._break,
                "unlucky": self._fail,
                "spawning": self._spawn,
            },
            offer=self.engine.offer,
        )

    @staticmethod
    def _refuse(changes: Changes, task: Task, outcome: Outcome) -> list[str]:
        """Complete an operation whose end can't be written."""
        if isinstance(outcome, Finished):
            raise MissingResource(repo_id=task.id)
        return []

    def _break(self, changes: Changes, task: Task, outcome: Outcome) -> list[str]:
        """Write half of an end, then fail as only a defect does."""
        changes.transaction.repositories.add(new_repository(task.id))
        self.engine.offer(changes.transaction)
        changes.add(_task("half"))
        if isinstance(outcome, Finished):
            return [task.arguments["no such key"]]
        changes.transaction.repositories.remove(task.id)
        raise ZeroDivisionError

    @staticmethod
    def _spawn(changes: Changes, task: Task, outcome: Outcome) -> list[str]:
        """Hand in another task at the end."""
        return [changes.add(_task(*task.resources)).id] if isinstance(outcome, Finished) else []

    def _fail(self, changes: Changes, task: Task, outcome: Outcome) -> list[str]:
        """Write an end for which the database has no room, once."""
        del changes, task, outcome
        if self.room:
            return []
        self.room = True
        raise DatabaseFailed

    def submit(self, *resources: str, operation: str = "sync") -> Task:
        """Hand in a task."""
        return self.tasks.submit(_task(*resources, operation=operation))

    def tell(self, task: Task, news: Progress | Outcome) -> None:
        """Let an attempt tell something."""
        self.lifecycle.record([_update(task, news)])

    def events(self) -> list[Event]:
        """Return all events there are."""
        return list(self.database.events.read(0, 100_000))


@pytest.fixture
def house(database: Database) -> _House:
    """Return the services on an empty database."""
    return _House(database)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_change_is_told(house: _House, outcome: Outcome) -> None:
    """A task that waits, runs and ends tells each step with the report as it is then."""
    end = "finished" if isinstance(outcome, Finished) else "error"
    with expect_events(house.database.events, "waiting", "running", "progress", end) as events:
        house.submit("zoo")
        [running] = house.lifecycle.claim("w1", 5)
        house.tell(running, Progress(report={"yum_importer": {"state": "IN_PROGRESS"}}))
        house.tell(running, outcome)
    ended = house.tasks.get(running.id)
    assert json.loads(events[-1].body) == json.loads(json.dumps(task_report(ended)))
    assert [event.revision for event in events] == [1, 2, 3, 4]
    assert ended.revision == 4
    assert house.lifecycle.claim("w1", 5) == []


def test_an_end_that_cannot_be_written_is_an_error(house: _House) -> None:
    """A completion that is refused turns the end of the task into an error that says why."""
    house.submit("zoo", operation="refusing")
    [running] = house.lifecycle.claim("w1", 5)
    house.tell(running, Finished())
    ended = house.tasks.get(running.id)
    assert ended.state is TaskState.ERROR
    assert ended.error is not None
    assert ended.error["code"] == "PLP0009"


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_defect_ends_its_own_task_alone(house: _House, outcome: Outcome) -> None:
    """A completion that breaks undoes itself and ends its task; others of the batch go on."""
    for name in ("zoo", "farm", "park"):
        house.submit(name, operation="broken" if name == "farm" else "sync")
    before, broken, after = house.lifecycle.claim("w1", 5)
    offers = house.engine.offers
    with expect_events(house.database.events, "progress", "finished", "error", "progress"):
        house.lifecycle.record(
            [
                _update(before, Progress(report={"n": 1})),
                _update(before, Finished()),
                _update(broken, outcome),
                _update(after, Progress(report={"n": 2})),
            ]
        )
    ended = house.tasks.get(broken.id)
    assert ended.state is TaskState.ERROR
    assert ended.error is not None
    assert ended.error["code"] == "PLP0001"
    assert "Error" in ended.error["description"]
    assert "Traceback" in (ended.traceback or "")
    with house.database.read() as transaction:
        assert transaction.repositories.list() == []
    assert len(house.tasks.tagged([])) == 3
    # for the freed resources, and not for what was undone
    assert house.engine.offers == offers + 1
    assert house.tasks.get(after.id).progress == {"n": 2}


@pytest.mark.parametrize(
    "news",
    [
        Progress(report={"stage": {None: 1}}),
        Finished(result={(1, 2): 3}, report={"n": 1}),
        Finished(result=1, report={"stage": {(1,): 1}}),
    ],
)
def test_what_can_not_be_told_is_an_error(house: _House, news: Progress | Outcome) -> None:
    """A report that is no JSON ends its task, whose resource is free once its process is gone."""
    house.submit("zoo")
    other = house.submit("farm")
    second = house.submit("zoo")
    bad, _ = house.lifecycle.claim("w1", 5)
    with expect_events(house.database.events, "error", "progress"):
        house.lifecycle.record(
            [_update(bad, news), _update(replace(other, attempt=1), Progress(report={"n": 1}))]
        )
    if isinstance(news, Progress):
        assert house.lifecycle.claim("w1", 5) == []
        house.tell(bad, Finished())
    assert [task.id for task in house.lifecycle.claim("w1", 5)] == [second.id]
    assert house.tasks.get(bad.id).state is TaskState.ERROR


def test_a_database_that_fails_is_no_defect_of_a_task(house: _House) -> None:
    """Nothing of the batch is kept, and the same batch can be written later."""
    house.submit("zoo", operation="unlucky")
    [running] = house.lifecycle.claim("w1", 5)
    with expect_events(house.database.events), pytest.raises(DatabaseFailed):
        house.tell(running, Finished())
    with expect_events(house.database.events, "finished"):
        house.tell(running, Finished())


def test_a_canceled_task_holds_until_its_process_is_gone(house: _House) -> None:
    """After a cancel the engine is told, and the resource is free once the attempt has ended."""
    house.submit("zoo")
    second = house.submit("zoo")
    [first] = house.lifecycle.claim("w1", 5)
    house.tasks.cancel(first.id)
    assert house.engine.canceled == [first.id]
    assert house.tasks.get(first.id).state is TaskState.CANCELED
    assert house.lifecycle.claim("w1", 5) == []
    with expect_events(house.database.events):
        house.tell(first, Finished(result=1))
    assert house.tasks.get(first.id).state is TaskState.CANCELED
    assert [task.id for task in house.lifecycle.claim("w1", 5)] == [second.id]


@pytest.mark.parametrize("attempt", [0, 2])
@pytest.mark.parametrize("news", [Progress(report={"n": 1}), *OUTCOMES])
def test_another_attempt_changes_nothing(
    house: _House, attempt: int, news: Progress | Outcome
) -> None:
    """What an attempt tells that is not the task's is neither kept nor told, and frees nothing."""
    house.submit("zoo")
    house.submit("zoo")
    [running] = house.lifecycle.claim("w1", 5)
    with expect_events(house.database.events):
        house.tell(replace(running, attempt=attempt), news)
        house.tell(replace(running, id="unknown"), news)
    assert house.tasks.get(running.id) == running
    assert house.lifecycle.claim("w1", 5) == []


def test_what_fails_to_commit_is_not_told(house: _House) -> None:
    """A transaction that is rolled back leaves neither change nor event."""
    house.submit("zoo")
    with contextlib.suppress(Fenced), house.database.write() as transaction:
        with changes_in(transaction, now=NOW) as changes:
            changes.add(_task("other"))
        raise Fenced
    assert len(house.events()) == 1
    assert len(house.tasks.tagged([])) == 1


OPERATIONS = ["sync", "refusing", "broken", "spawning"]


class _Watched:
    """A database that has each commit judged as it left things."""

    def __init__(self, database: Database, judge: Callable[[], None]) -> None:
        self._database, self._judge = database, judge

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._database.write() as transaction:
            yield transaction
        self._judge()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


RESOURCES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True)


class Life(RuleBasedStateMachine):
    """Users and engines do what they may, in any order."""

    make: MakeDatabase
    #: Tasks as some attempt knows them; several may know the same task.
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="pulpit-")
        watched = _Watched(type(self).make(Path(self.folder.name)), self.every_change_is_told)
        self.house = _House(cast("Database", watched))
        #: Processes that are there, by task.
        self.processes: dict[str, Task] = {}

    def teardown(self) -> None:
        self.drain()
        self.house.database.close()
        self.folder.cleanup()

    def drain(self) -> None:
        """Let everything end: nothing may be stuck, whatever happened before."""
        for _ in range(100):
            for task in list(self.processes.values()):
                self.end(task, Finished())
            self.claim("w1", 10)
            if not self.processes:
                break
        assert all(task.state.is_complete for task in self.house.tasks.tagged([]))
        self.every_change_is_told()

    @rule(resources=RESOURCES, operation=st.sampled_from(OPERATIONS))
    def submit(self, resources: list[str], operation: str) -> None:
        """A user hands in a task."""
        self.house.submit(*resources, operation=operation)

    @rule(target=attempts, worker=st.sampled_from(["w1", "w2"]), limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> Any:
        """An engine takes tasks, and starts a process for each."""
        claimed = self.house.lifecycle.claim(worker, limit)
        assert len(claimed) <= limit
        self.processes |= {task.id: task for task in claimed}
        return claimed[0] if claimed else None

    @rule(task=attempts, n=st.integers(0, 9))
    def progress(self, task: Task | None, n: int) -> None:
        """An attempt, which may be over, tells that it got on."""
        if task:
            self.house.tell(task, Progress(report={"stage": {"state": "IN_PROGRESS", "n": n}}))

    @rule(task=attempts, outcome=st.sampled_from(OUTCOMES))
    def end(self, task: Task | None, outcome: Outcome) -> None:
        """The process of an attempt is gone."""
        if task and self.processes.pop(task.id, None):
            self.house.tell(task, outcome)

    @rule(tasks=st.lists(attempts, min_size=1, max_size=3), outcome=st.sampled_from(OUTCOMES))
    def group(self, tasks: list[Task | None], outcome: Outcome) -> None:
        """One transaction holds what several attempts tell, ends and what comes after them too."""
        updates = []
        for number, task in enumerate(task for task in tasks if task):
            updates.append(_update(task, Progress(report={"stage": {"n": number}})))
            if number != 1 and task.id in self.processes:
                del self.processes[task.id]
                updates.append(_update(task, outcome))
                updates.append(_update(task, Progress(report={"late": True})))
        self.house.lifecycle.record(updates)

    @rule()
    def restart(self) -> None:
        """The server is killed with all processes, and starts again."""
        self.processes.clear()
        self.house.lifecycle.recover()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A user cancels any task."""
        if tasks := self.house.tasks.tagged([]):
            chosen = data.draw(st.sampled_from(range(len(tasks))))
            self.house.tasks.cancel(tasks[chosen].id)

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def lose(self, worker: str) -> None:
        """A worker is lost with all its processes, and somebody notices."""
        self.processes = {
            task_id: task for task_id, task in self.processes.items() if task.worker_name != worker
        }
        self.house.lifecycle.recover([worker])

    @rule()
    def purge(self) -> None:
        """A user deletes what is over."""
        self.house.tasks.purge(PURGEABLE)

    @invariant()
    def every_change_is_told(self) -> None:
        """A task's events are contiguous, its last one is its report, and ends are final."""
        told: dict[str, list[Event]] = {}
        for event in self.house.events():
            told.setdefault(event.task_id or "", []).append(event)
        for events in told.values():
            assert [event.revision for event in events] == list(range(1, len(events) + 1))
            ends = [event for event in events if event.state and event.state.is_complete]
            assert ends in ([], events[-1:])
            for before, event in pairwise(events):
                assert (event.kind is EventKind.STATUS) == (event.state is not before.state)
        for task in self.house.tasks.tagged([]):
            assert json.loads(told[task.id][-1].body) == json.loads(json.dumps(task_report(task)))

    @invariant()
    def resources_are_never_shared(self) -> None:
        """No two processes work on the same resource."""
        taken = [name for task in self.processes.values() for name in task.resources]
        assert len(taken) == len(set(taken))


def test_life_goes_on(make_database: MakeDatabase) -> None:
    """However users, engines and losses interleave, all is told, ends, and never collides."""
    machine = type("Machine", (Life,), {"make": staticmethod(make_database)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
