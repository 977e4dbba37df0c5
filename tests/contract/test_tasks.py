"""Tasks: kept whole, found by id, tag, state and criteria, and queued for their resources."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

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

from pulpit.domain.criteria import parse_criteria
from pulpit.domain.tasks import COMPLETE, Task, TaskState
from pulpit.errors import Fenced, MissingResource
from tests.contract.databases import NOW, OID, Database, MakeDatabase, new_task, submit

LATER = NOW + timedelta(minutes=5)


def _get(database: Database, task_id: str) -> Task:
    with database.read() as transaction:
        return transaction.tasks.get(task_id)


def _ids(tasks: Any) -> list[str]:
    return [task.id for task in tasks]


def test_a_task_comes_back_whole(database: Database) -> None:
    """Every field of a task is kept."""
    task = new_task(
        arguments={"repo_id": "zoo", "deep": [1, {"x": None}]},
        tags=("pulp:repository:zoo", "ünïcode"),
        resources=("repository:zoo",),
        progress={"a": {"state": "IN_PROGRESS"}},
        group_id="8f7d4f0e-0000-0000-0000-000000000000",
    )
    added = submit(database, **{field: getattr(task, field) for field in task.__slots__})
    assert added == replace(task, number=added.number)
    assert _get(database, task.id) == added


def test_arguments_are_found_by_id(database: Database) -> None:
    """Those of any number of tasks, of which some may be gone."""
    tasks = [submit(database, arguments={"n": n, "deep": [{"x": None}]}) for n in range(3)]
    with database.read() as transaction:
        found = transaction.tasks.arguments([tasks[0].id, tasks[2].id, "gone"])
        assert transaction.tasks.arguments([]) == {}
    assert found == {task.id: task.arguments for task in (tasks[0], tasks[2])}


@pytest.mark.parametrize("result", [None, 5, 1.5, True, "5", "", [], {"a": [1]}, "ü"])
def test_an_update_writes_what_changes(database: Database, result: Any) -> None:
    """An update writes state, times, progress, result, error, spawned, revision and attempt."""
    task = submit(database, tags=("a",), resources=("r",))
    changed = replace(
        task,
        state=TaskState.ERROR,
        start_time=NOW,
        finish_time=LATER.replace(microsecond=123_456),
        progress={"a": [1, 2]},
        result=result,
        error={"code": "PLP0001", "description": "ü", "data": {}, "sub_errors": []},
        traceback="Traceback …",
        worker_name="w@h",
        spawned=("x", "y"),
        revision=3,
        attempt=2,
    )
    with database.write() as transaction:
        transaction.tasks.update([changed])
    assert _get(database, task.id) == changed


def test_an_update_leaves_the_rest(database: Database) -> None:
    """An update writes nothing else, and no task that is not there."""
    task = submit(database, tags=("a",))
    with database.write() as transaction:
        transaction.tasks.update([replace(task, tags=("b",), arguments={"x": 1}, attempt=1)])
        transaction.tasks.update([new_task(id="unknown", number=99)])
        transaction.tasks.update([])
    assert _get(database, task.id) == replace(task, attempt=1)
    with database.read() as transaction:
        assert len(transaction.tasks.with_tags([])) == 1


def test_what_is_kept_is_a_copy(database: Database) -> None:
    """Changing an object after it was handed over changes nothing."""
    progress: dict[str, Any] = {"n": 1}
    task = submit(database, progress=progress)
    progress["n"] = 2
    assert _get(database, task.id).progress == {"n": 1}


def test_numbers_grow_and_are_never_given_twice(database: Database) -> None:
    """A task gets a number above all before it, whether they are still there or not."""
    first, second = submit(database), submit(database, state=TaskState.FINISHED)
    assert first.number < second.number
    with database.write() as transaction:
        assert transaction.tasks.purge([TaskState.FINISHED]) == 1
    assert submit(database).number > second.number


def test_many_are_kept_as_one_is(database: Database) -> None:
    """Their numbers are in their order, and each has its own tags and resources."""
    new = [new_task(tags=(f"t{n}", "all"), resources=("zoo", f"r{n}")) for n in range(1_200)]
    with database.write() as transaction:
        assert transaction.tasks.add_all([]) == []
        added = transaction.tasks.add_all(new)
    numbers = [task.number for task in added]
    assert numbers == sorted(set(numbers))
    assert [replace(task, number=0) for task in added] == [replace(task, number=0) for task in new]
    with database.write() as transaction:
        assert transaction.tasks.with_tags(["all", "t7"]) == [added[7]]
        assert transaction.tasks.grantable(5) == [added[0]]
        transaction.tasks.release([added[0].id])
        assert transaction.tasks.grantable(5, among=[added[1].id, added[2].id]) == [added[1]]
        assert transaction.tasks.holding() == added[1:]


def test_unknown_tasks_are_missing(database: Database) -> None:
    """Getting an unknown task raises, finding skips it."""
    task = submit(database)
    with database.read() as transaction:
        with pytest.raises(MissingResource) as caught:
            transaction.tasks.get("unknown")
        assert caught.value.resources == {"task_id": "unknown"}
        assert transaction.tasks.find(["unknown", task.id]) == {task.id: task}
        assert transaction.tasks.find([]) == {}


def test_a_fence_lets_only_the_running_attempt_through(database: Database) -> None:
    """Writes of another attempt, of an ended task or of an unknown one are refused."""
    task = submit(database, state=TaskState.RUNNING, attempt=2)
    ended = submit(database, state=TaskState.CANCELED, attempt=1)
    with database.read() as transaction:
        transaction.tasks.fence(task.id, 2)
        for task_id, attempt in [(task.id, 1), (task.id, 3), (ended.id, 1), ("unknown", 1)]:
            with pytest.raises(Fenced):
                transaction.tasks.fence(task_id, attempt)


def test_states_and_tags_select(database: Database) -> None:
    """Tasks are found by any of some states, and by all of some tags."""
    submit(database, id="1", tags=("a", "b"))
    submit(database, id="2", tags=("b",), state=TaskState.RUNNING)
    submit(database, id="3", tags=("b", "a", "a"), state=TaskState.FINISHED)
    with database.read() as transaction:
        tasks = transaction.tasks
        assert _ids(tasks.in_states([TaskState.WAITING, TaskState.FINISHED])) == ["1", "3"]
        assert _ids(tasks.in_states([])) == []
        assert _ids(tasks.with_tags(["a", "b", "a"])) == ["1", "3"]
        assert _ids(tasks.with_tags(["b"])) == ["1", "2", "3"]
        assert _ids(tasks.with_tags([])) == ["1", "2", "3"]
        assert _ids(tasks.with_tags(["c"])) == []


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, ["1", "2", "3"]),
        ({"filters": {"state": "running"}}, ["2"]),
        ({"filters": {"state": {"$in": ["finished", "waiting"]}}}, ["1", "3"]),
        ({"filters": {"task_id": "2"}}, ["2"]),
        ({"filters": {"_id": {"$oid": OID}}}, ["1", "2", "3"]),
        ({"filters": {"id": {"$ne": OID}}}, []),
        ({"filters": {"tags": "b"}}, ["1", "2"]),
        ({"filters": {"tags": {"$nin": ["b"]}}}, ["3"]),
        ({"filters": {"tags": {"$regex": "^a"}}}, ["1", "3"]),
        ({"filters": {"tags": []}}, []),
        ({"filters": {"finish_time": None}}, ["1", "2"]),
        ({"filters": {"finish_time": {"$gte": "2026-03-01T12:05:00Z"}}}, ["3"]),
        ({"filters": {"finish_time": {"$lt": {"$date": "2026-03-01T12:05:00Z"}}}}, []),
        ({"filters": {"progress_report.yum.state": "FAILED"}}, ["3"]),
        ({"filters": {"result.n": {"$gt": 1}}}, ["3"]),
        ({"filters": {"result": 7}}, ["2"]),
        ({"filters": {"error.code": {"$exists": True}}}, ["3"]),
        ({"filters": {"worker_name": {"$regex": "@HOST$", "$options": "i"}}}, ["2"]),
        ({"sort": [["state", "descending"]]}, ["1", "2", "3"]),
        ({"sort": [["finish_time", "descending"]]}, ["3", "1", "2"]),
        ({"sort": [["result.n", "ascending"]], "limit": 1, "skip": 2}, ["3"]),
        ({"limit": 2, "skip": 1}, ["2", "3"]),
    ],
)
def test_criteria_select(database: Database, criteria: dict[str, Any], expected: list[str]) -> None:
    """Criteria find tasks by every field of the report that searches use."""
    submit(database, id="1", tags=("a", "b"))
    submit(database, id="2", tags=("b",), state=TaskState.RUNNING, worker_name="w@host", result=7)
    submit(
        database,
        id="3",
        tags=("a",),
        state=TaskState.FINISHED,
        finish_time=LATER.replace(microsecond=500_000),
        progress={"yum": {"state": "FAILED"}},
        result={"n": 2},
        error={"code": "RPM1004"},
    )
    with database.read() as transaction:
        assert _ids(transaction.tasks.search(parse_criteria(criteria))) == expected


def test_purge_deletes_by_state_and_time(database: Database) -> None:
    """A purge deletes tasks in some states, if asked those only that ended before a time."""
    submit(database, id="old", state=TaskState.FINISHED, finish_time=NOW)
    submit(database, id="new", state=TaskState.FINISHED, finish_time=LATER, tags=("t",))
    submit(database, id="error", state=TaskState.ERROR, finish_time=NOW)
    submit(database, id="waits")
    with database.write() as transaction:
        assert transaction.tasks.purge([TaskState.FINISHED], before=LATER) == 1
        assert _ids(transaction.tasks.with_tags([])) == ["new", "error", "waits"]
        assert transaction.tasks.purge([TaskState.FINISHED, TaskState.ERROR]) == 2
        assert _ids(transaction.tasks.with_tags([])) == ["waits"]
        assert _ids(transaction.tasks.with_tags(["t"])) == []


RESOURCES = ["a", "b", "c"]


def test_pages_of_tasks(database: Database) -> None:
    """By id, tags and states, after a number, in order of submission."""
    submit(database, id="a", tags=("x", "y"))
    submit(database, id="b", tags=("x",), state=TaskState.RUNNING)
    submit(database, id="c", tags=("y",), state=TaskState.FINISHED)
    last = submit(database, id="d", tags=("x", "y"), state=TaskState.FINISHED)

    def page(after: int = 0, limit: int = 10, **wanted: Any) -> list[str]:
        asked = {"task_ids": (), "tags": (), "states": set(TaskState)} | wanted
        with database.read() as transaction:
            return _ids(transaction.tasks.page(after=after, limit=limit, **asked))

    assert page() == ["a", "b", "c", "d"]
    assert page(limit=2) == ["a", "b"]
    assert page(after=last.number - 2) == ["c", "d"]
    assert page(after=last.number) == []
    assert page(after=2**63 - 1) == []
    assert page(task_ids=("d", "b", "none")) == ["b", "d"]
    assert page(tags=("x",), limit=2) == ["a", "b"]
    assert page(tags={"x", "y"}) == ["a", "d"]
    assert page(tags={"x", "none"}) == []
    assert page(states={TaskState.FINISHED}, tags={"x"}) == ["d"]
    assert page(states=set()) == []


class ReservationQueue(RuleBasedStateMachine):
    """Tasks come, run and end in any order; a model in plain lists says who may run."""

    make: MakeDatabase

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="pulpit-")
        self.database = type(self).make(Path(self.folder.name))
        #: (task, its resources), those that wait, in order of submission.
        self.waiting: list[Task] = []
        #: Those that hold what they reserved.
        self.running: list[Task] = []

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def may_run(self) -> list[str]:
        """Return who waits for nobody: each waits for earlier ones that share a resource."""
        free: list[str] = []
        taken = {name for task in self.running for name in task.resources}
        for task in self.waiting:
            if not taken.intersection(task.resources):
                free.append(task.id)
            taken.update(task.resources)
        return free

    @rule(resources=st.lists(st.sampled_from(RESOURCES), max_size=3))
    def hand_in(self, resources: list[str]) -> None:
        """Somebody hands in a task."""
        self.waiting.append(submit(self.database, resources=tuple(resources)))

    @precondition(lambda self: self.may_run())
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """The engine starts one that may run."""
        chosen = data.draw(st.sampled_from(self.may_run()))
        task = next(task for task in self.waiting if task.id == chosen)
        started = task.started(worker_name="w", now=NOW)
        with self.database.write() as transaction:
            transaction.tasks.update([started])
        self.waiting.remove(task)
        self.running.append(started)

    @precondition(lambda self: self.running or self.waiting)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A task ends, or is canceled while it waits."""
        task = data.draw(st.sampled_from(self.running + self.waiting))
        with self.database.write() as transaction:
            transaction.tasks.update([task.canceled(now=NOW)])
            transaction.tasks.release([task.id])
        (self.running if task in self.running else self.waiting).remove(task)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A running task is canceled, but holds what it reserved until its process is gone."""
        task = data.draw(st.sampled_from(self.running))
        with self.database.write() as transaction:
            transaction.tasks.update([task.canceled(now=NOW)])

    @rule()
    def purge(self) -> None:
        """Old tasks are deleted, which frees what nobody gave back."""
        with self.database.write() as transaction:
            ended = {task.id for task in transaction.tasks.in_states(COMPLETE)}
            transaction.tasks.purge(COMPLETE)
        self.running = [task for task in self.running if task.id not in ended]

    @invariant()
    def those_may_run_who_wait_for_nobody(self) -> None:
        """The store grants as the model says, in order, up to the limit."""
        expected = self.may_run()
        with self.database.read() as transaction:
            assert _ids(transaction.tasks.grantable(100)) == expected
            assert _ids(transaction.tasks.grantable(2)) == expected[:2]

    @invariant()
    def those_hold_who_reserved(self) -> None:
        """The queues hold those that wait or run, unless they reserve nothing."""
        expected = [task for task in self.running + self.waiting if task.resources]
        with self.database.read() as transaction:
            assert set(_ids(transaction.tasks.holding())) == {task.id for task in expected}


def test_reservations_are_served_in_order(make_database: MakeDatabase) -> None:
    """The same resource is served in order, others at once; a blocked task blocks no stranger."""
    machine = type("Machine", (ReservationQueue,), {"make": staticmethod(make_database)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )


def test_grantable_among_some(database: Database) -> None:
    """Of the tasks that are asked for, those are returned that may run."""
    first, second, other = (submit(database, resources=(name,)) for name in ("a", "a", "b"))
    with database.read() as transaction:
        among = [second.id, other.id, "none"]
        assert [task.id for task in transaction.tasks.grantable(9, among=among)] == [other.id]
        assert transaction.tasks.grantable(9, among=[]) == []
        found = transaction.tasks.grantable(1, among=[other.id, first.id])
        assert [task.id for task in found] == [first.id]


def test_holding_in_some_states(database: Database) -> None:
    """Of the tasks that stand in queues, those in the states are returned."""
    waits = submit(database, resources=("a",))
    with database.write() as transaction:
        transaction.tasks.update([replace(waits, state=TaskState.CANCELED)])
    later = submit(database, resources=("a",))
    submit(database)
    with database.read() as transaction:
        assert [task.id for task in transaction.tasks.holding()] == [waits.id, later.id]
        (canceled,) = transaction.tasks.holding([TaskState.CANCELED])
        assert canceled.id == waits.id
