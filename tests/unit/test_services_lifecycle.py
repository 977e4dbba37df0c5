"""What an engine tells when the answer to a commit is lost: it is written once, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.events import EventKind
from pulpit.domain.outcomes import Failed, Finished, Lost, Outcome, Progress, Update, ends
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.workers import Vacancy, new_worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.engine.places import Places
from pulpit.errors import DatabaseFailed
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, new_task
from pulpit.services.workers import Workers
from pulpit.testing import FrozenClock, MemoryStorage
from pulpit.testing.storage import MemoryTransaction


class Commit(Enum):
    """What becomes of a transaction, and of the answer."""

    DONE = auto()
    UNDONE = auto()
    #: Written, but nobody was told.
    UNHEARD = auto()


class _Unreliable(MemoryStorage):
    """A storage whose writing transactions end as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.next = Commit.DONE

    @contextlib.contextmanager
    def write(self) -> Iterator[MemoryTransaction]:
        fate, self.next = self.next, Commit.DONE
        with super().write() as transaction:
            yield transaction
            if fate is Commit.UNDONE:
                raise DatabaseFailed
        if fate is Commit.UNHEARD:
            raise DatabaseFailed


class _House:
    """The services of the distributed engine on an unreliable database."""

    def __init__(self) -> None:
        self.storage = _Unreliable()
        clock, engine = FrozenClock(), DistributedEngine()
        self.now = clock()
        self.tasks = Tasks(self.storage, clock=clock, engine=engine)
        self.lifecycle = Lifecycle(self.storage, clock=clock, completions={}, offer=engine.offer)
        self.workers = Workers(self.storage, clock=clock, offer=engine.offer)
        self.worker = new_worker("w1", slots=9, timeout=30, now=self.now)
        self.workers.register(self.worker)

    def submit(self, *resources: str) -> Task:
        """Hand in a task."""
        return self.tasks.submit(
            new_task(
                now=self.now,
                task_type="pulp.test",
                operation="test",
                arguments={},
                tags=[],
                resources=resources,
            )
        )

    def progress(self, task: Task) -> list[int]:
        """Return what the journal tells of the task's progress."""
        return [
            msgspec.json.decode(event.body)["progress_report"]["n"]
            for event in self.storage.events.read(0, 10_000)
            if event.task_id == task.id and event.kind is EventKind.PROGRESS
        ]

    def states(self, task: Task) -> list[TaskState | None]:
        """Return what the journal tells of the task's states."""
        return [
            event.state
            for event in self.storage.events.read(0, 10_000)
            if event.task_id == task.id and event.kind is EventKind.STATUS
        ]


@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.integers(min_value=0, max_value=2), max_size=4), st.sampled_from(Commit)
        ),
        max_size=8,
    ),
    outcomes=st.lists(
        st.sampled_from([Finished(), Failed(error={}), Lost(reason="killed")]),
        min_size=3,
        max_size=3,
    ),
)
def test_updates_are_written_once(
    batches: Sequence[tuple[Sequence[int], Commit]], outcomes: Sequence[Outcome]
) -> None:
    """However commits end, each update is told once and in order, and each task ends once."""
    house = _House()
    ids = [house.submit(f"r{number}").id for number in range(3)]
    found = {task.id: task for task in house.lifecycle.begin(house.worker, ids)}
    tasks = [found[task_id] for task_id in ids]
    pending: list[Update] = []
    told: dict[str, list[int]] = {task.id: [] for task in tasks}

    def update(task: Task, news: Progress | Outcome) -> Update:
        return Update(task_id=task.id, attempt=task.attempt, news=news)

    def write(fate: Commit) -> None:
        house.storage.next = fate
        with contextlib.suppress(DatabaseFailed):
            house.lifecycle.record(pending)
            pending.clear()

    for position, (numbers, fate) in enumerate(batches):
        for number in numbers:
            pending.append(update(tasks[number], Progress(report={"n": position})))
            told[tasks[number].id].append(position)
        write(fate)
    for task, outcome in zip(tasks, outcomes, strict=True):
        pending.append(update(task, outcome))
        write(Commit.UNHEARD)
        write(Commit.DONE)
    for task, outcome in zip(tasks, outcomes, strict=True):
        assert house.progress(task) == told[task.id]
        end = TaskState.FINISHED if isinstance(outcome, Finished) else TaskState.ERROR
        assert house.states(task) == [TaskState.WAITING, TaskState.RUNNING, end]
    with house.storage.read() as transaction:
        assert transaction.tasks.holding() == []


@pytest.mark.parametrize("fate", [Commit.UNDONE, Commit.UNHEARD])
def test_a_task_is_begun_once(fate: Commit) -> None:
    """A beginning whose answer was lost is found by the next call, and told once."""
    house = _House()
    task = house.submit("zoo")
    house.storage.next = fate
    with pytest.raises(DatabaseFailed):
        house.lifecycle.begin(house.worker, [task.id])
    (begun,) = house.lifecycle.begin(house.worker, [task.id])
    assert begun.attempt == 1
    assert house.states(task) == [TaskState.WAITING, TaskState.RUNNING]


@pytest.mark.parametrize("fate", [Commit.UNDONE, Commit.UNHEARD])
def test_a_task_is_claimed_once(fate: Commit) -> None:
    """The same holds for the embedded engine, which says what it knows to run."""
    house = _House()
    known, task = house.submit("farm"), house.submit("zoo")
    assert [one.id for one in house.lifecycle.claim("here", 1)] == [known.id]
    house.storage.next = fate
    with pytest.raises(DatabaseFailed):
        house.lifecycle.claim("here", 1)
    (claimed,) = house.lifecycle.claim("here", 1, begun=[known.id])
    assert (claimed.id, claimed.attempt) == (task.id, 1)
    assert house.lifecycle.claim("here", 1, begun=[known.id, task.id]) == []
    assert house.states(task) == [TaskState.WAITING, TaskState.RUNNING]


@pytest.mark.parametrize("end", ["cancel", "give_up"])
def test_whoever_is_late_changes_nothing(end: str) -> None:
    """An update that was lost and comes after somebody ended the task is dropped."""
    house = _House()
    task, behind = house.submit("zoo"), house.submit("zoo")
    (begun,) = house.lifecycle.begin(house.worker, [task.id])
    late = [Update(task_id=task.id, attempt=1, news=Progress(report={"n": 1}))]
    house.storage.next = Commit.UNDONE
    with pytest.raises(DatabaseFailed):
        house.lifecycle.record(late)
    ends: dict[str, Callable[[], object]] = {
        "cancel": lambda: house.tasks.cancel(task.id),
        "give_up": lambda: _give_up(house),
    }
    ends[end]()
    house.lifecycle.record([*late, Update(task_id=task.id, attempt=1, news=Finished(result=1))])
    assert house.progress(begun) == []
    assert house.states(task)[-1] is TaskState.CANCELED
    other = new_worker("w2", slots=1, timeout=30, now=house.now)
    house.workers.register(other)
    assert [one.id for one in house.lifecycle.begin(other, [behind.id])] == [behind.id]


def _give_up(house: _House) -> None:
    """Let the worker be lost."""
    with house.storage.write() as transaction:
        transaction.workers.remove(house.worker.name, house.worker.incarnation)
    house.workers.give_up()


@pytest.mark.parametrize("fate", [Commit.UNDONE, Commit.UNHEARD])
def test_what_begins_with_an_end_is_begun_once(fate: Commit) -> None:
    """The same updates, written again, end nothing twice and find what began, and fill the rest."""
    house = _House()
    first, second, third = house.submit("zoo"), house.submit("farm"), house.submit("zoo")
    (begun,) = house.lifecycle.begin(house.worker, [first.id])
    over = [Update(task_id=first.id, attempt=1, news=Finished())]
    house.storage.next = fate
    with pytest.raises(DatabaseFailed):
        house.lifecycle.record(over, Vacancy(worker=house.worker, slots=1))
    again = Vacancy(worker=house.worker, slots=2, begun=[begun.id])
    found = house.lifecycle.record(over, again)
    assert [(task.id, task.attempt) for task in found] == [(second.id, 1), (third.id, 1)]
    assert house.states(first) == [TaskState.WAITING, TaskState.RUNNING, TaskState.FINISHED]
    assert house.states(second) == [TaskState.WAITING, TaskState.RUNNING]


def test_what_began_unheard_may_be_over() -> None:
    """A task that somebody canceled before its worker asked again is not returned."""
    house = _House()
    first, second = house.submit("zoo"), house.submit("farm")
    house.lifecycle.begin(house.worker, [first.id])
    over = [Update(task_id=first.id, attempt=1, news=Finished())]
    house.storage.next = Commit.UNHEARD
    with pytest.raises(DatabaseFailed):
        house.lifecycle.record(over, Vacancy(worker=house.worker, slots=1))
    house.tasks.cancel(second.id)
    again = Vacancy(worker=house.worker, slots=1, begun=[first.id])
    assert not house.lifecycle.record(over, again)


def test_a_change_of_the_worker_leaves_what_the_next_one_began() -> None:
    """Who was given up and is unsure gets nothing of what runs under its name by now."""
    house = _House()
    old, task = house.worker, house.submit("zoo")
    house.workers.unregister(old)
    following = new_worker(old.name, slots=1, timeout=30, now=house.now)
    house.workers.register(following)
    house.lifecycle.begin(following, [task.id])
    assert not house.lifecycle.record([], Vacancy(worker=old, slots=1, begun=()))


class _Engine:
    """A worker's engine with the slots of the real one, whose processes are only noted."""

    def __init__(self, house: _House, *, slots: int) -> None:
        self.house, self.places, self.slots = house, Places(slots), slots
        self.places.open()
        self.processes: dict[str, Task] = {}
        self.pending: list[Update] = []
        #: How often each task got a process.
        self.runs: dict[str, int] = {}

    def begin_handed(self) -> None:
        """Begin what was handed on."""
        wanted = self.places.begin_handed(self.slots - len(self.processes))
        if wanted:
            begin = self.house.lifecycle.begin
            self._settle(lambda: begin(self.house.worker, wanted), dropped=wanted)

    def end(self, numbers: Sequence[int]) -> None:
        """Let some processes end."""
        for number in numbers:
            if number < len(self.processes):
                task = self.processes.pop(sorted(self.processes)[number])
                self.pending.append(Update(task_id=task.id, attempt=1, news=Finished()))

    def write(self) -> None:
        """Write what is pending, and begin more."""
        if not self.pending:
            return
        ended = ends(self.pending)
        free = self.slots - len(self.processes)
        vacancy = self.places.begin_others(self.house.worker, free, ending=ended)
        record = self.house.lifecycle.record
        is_sure = vacancy is not None
        if self._settle(lambda: record(self.pending, vacancy), ended=ended, is_sure=is_sure):
            self.pending.clear()

    def _settle(self, act: Callable[[], Sequence[Task]], **kept: Any) -> bool:
        """Do something that begins tasks; False if it is not known what has become of it."""
        try:
            begun = act()
        except DatabaseFailed:
            self.places.fail()
            return False
        ids = [task.id for task in begun]
        self.places.settle(begun=ids, **kept)
        for task in begun:
            self.runs[task.id] = self.runs.get(task.id, 0) + 1
            self.processes[task.id] = task
        assert len(self.processes) <= self.slots
        return True


@given(
    resources=st.lists(st.sampled_from("abcdef"), min_size=4, max_size=9),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["write", "hand", "begin", "write"]),
            st.lists(st.integers(min_value=0, max_value=2), min_size=1, max_size=2),
            st.sampled_from(Commit),
        ),
        max_size=20,
    ),
)
def test_each_task_gets_one_process(
    resources: Sequence[str], steps: Sequence[tuple[str, Sequence[int], Commit]]
) -> None:
    """However jobs come and commits end, no slot is filled twice and no task is forgotten."""
    house = _House()
    engine = _Engine(house, slots=3)
    tasks = [house.submit(resource) for resource in resources]

    def do(step: str, fate: Commit) -> None:
        waiting = [task for task in tasks if house.tasks.get(task.id).state is TaskState.WAITING]
        if step == "hand" and waiting and engine.places.reserve():
            engine.places.hand(waiting[0].id)
        house.storage.next = fate
        if step == "begin":
            engine.begin_handed()
        elif step == "write":
            engine.write()
        house.storage.next = Commit.DONE

    for step in ("hand", "begin") * 3:
        do(step, Commit.DONE)
    for step, ending, fate in steps:
        engine.end(ending)
        do(step, fate)
    for _ in range(3 * len(tasks)):
        for step in ("hand", "begin", "write"):
            do(step, Commit.DONE)
            engine.end([0])
    engine.write()
    assert engine.runs == dict.fromkeys((task.id for task in tasks), 1)
    assert {house.tasks.get(task.id).state for task in tasks} == {TaskState.FINISHED}
