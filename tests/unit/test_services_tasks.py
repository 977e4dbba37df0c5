"""Tasks from hand-in to their end: one change, one event, and whoever is late changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pulpit.domain.criteria import parse_criteria
from pulpit.domain.events import Event, EventKind
from pulpit.domain.outcomes import Failed, Finished, Lost, Outcome, Progress, Update
from pulpit.domain.tasks import Task, TaskState, task_report
from pulpit.errors import (
    InvalidValue,
    MissingResource,
    PurgeOfState,
    PurgeWithoutState,
    Unavailable,
)
from pulpit.services.changes import Changes
from pulpit.services.lifecycle import Completions, Lifecycle
from pulpit.services.tasks import Tasks, new_task
from pulpit.testing import FrozenClock, MemoryStorage, RecordingEngine, expect_events

ZOO = "repository:zoo"


class _House:
    """Storage with the services of tasks around it."""

    def __init__(self, completions: Completions | None = None) -> None:
        self.storage = MemoryStorage()
        self.clock = FrozenClock()
        self.engine = RecordingEngine()
        #: The states that tasks came to, in order, as observers are told.
        self.observed: list[TaskState] = []
        self.tasks = Tasks(
            self.storage, clock=self.clock, engine=self.engine, observe=self._observe
        )
        self.lifecycle = Lifecycle(
            self.storage,
            clock=self.clock,
            completions=completions or {},
            offer=self.engine.offer,
            observe=self._observe,
        )

    def _observe(self, tasks: Sequence[Task]) -> None:
        self.observed += [task.state for task in tasks]

    def submit(self, *resources: str, operation: str = "test") -> Task:
        """Hand in a task."""
        return self.tasks.submit(_new(self.clock, *resources, operation=operation))

    def running(self, *resources: str, operation: str = "test") -> Task:
        """Hand in a task and give it to a worker."""
        self.submit(*resources, operation=operation)
        return self.lifecycle.claim("w", 100)[-1]

    def record(self, task: Task, *news: Progress | Outcome) -> None:
        """Record what an attempt tells."""
        self.lifecycle.record(
            [Update(task_id=task.id, attempt=task.attempt, news=one) for one in news]
        )

    def events(self, task_id: str | None = None) -> list[Event]:
        """Return the events of a task, or all."""
        found = self.storage.events.read(0, 10_000)
        return [event for event in found if task_id in (None, event.task_id)]


def _new(clock: FrozenClock, *resources: str, operation: str = "test") -> Task:
    return new_task(
        now=clock(),
        task_type="pulp.test",
        operation=operation,
        arguments={},
        tags=["t"],
        resources=resources,
    )


def test_a_new_task_waits_and_is_told() -> None:
    """Handing in writes the task, its first event, and offers it to the engine."""
    house = _House()
    with expect_events(house.storage.events, "waiting") as events:
        task = house.submit(ZOO)
    assert (task.state, task.revision, task.attempt) == (TaskState.WAITING, 1, 0)
    assert house.engine.offers == 1
    assert msgspec.json.decode(events[0].body) == task_report(house.tasks.get(task.id))


def test_a_claim_starts_those_that_may_run() -> None:
    """As many as asked for, in order of submission, each with its event."""
    house = _House()
    first, second, blocked, free = (house.submit(*names) for names in ((ZOO,), (), (ZOO,), ("b",)))
    house.clock.advance(seconds=1)
    with expect_events(house.storage.events, "running", "running"):
        claimed = house.lifecycle.claim("w", 2)
    assert [task.id for task in claimed] == [first.id, second.id]
    assert {(task.worker_name, task.attempt, task.start_time) for task in claimed} == {
        ("w", 1, house.clock())
    }
    assert [task.id for task in house.lifecycle.claim("w", 9)] == [free.id]
    assert house.lifecycle.claim("w", 9) == []
    assert house.tasks.get(blocked.id).state is TaskState.WAITING


def test_progress_and_outcome_are_kept_in_order() -> None:
    """A batch of news of one task becomes one event each, and the task ends as the last says."""
    house = _House()
    task = house.running(ZOO)
    waits = house.submit(ZOO)
    offers = house.engine.offers
    with expect_events(house.storage.events, "progress", "progress", "finished") as events:
        house.record(
            task,
            Progress(report={"n": 1}),
            Progress(report={"n": 2}),
            Finished(result=7, report={"n": 3}),
        )
    assert [event.revision for event in events] == [3, 4, 5]
    reports = [msgspec.json.decode(event.body)["progress_report"] for event in events]
    assert reports == [{"n": 1}, {"n": 2}, {"n": 3}]
    ended = house.tasks.get(task.id)
    assert (ended.state, ended.result, ended.progress) == (TaskState.FINISHED, 7, {"n": 3})
    assert house.engine.offers == offers + 1
    assert [one.id for one in house.lifecycle.claim("w", 9)] == [waits.id]


@pytest.mark.parametrize(
    ("outcome", "state", "code"),
    [
        (Finished(), TaskState.FINISHED, None),
        (Failed(error={"code": "X"}, traceback="T"), TaskState.ERROR, "X"),
        (Lost(reason="killed by signal 9"), TaskState.ERROR, "PLP0049"),
    ],
)
def test_outcomes_end_the_task(outcome: Outcome, state: TaskState, code: str | None) -> None:
    """Each outcome makes its state, keeps the progress told so far, and frees the resource."""
    house = _House()
    task = house.running(ZOO)
    house.record(task, Progress(report={"n": 1}), outcome)
    ended = house.tasks.get(task.id)
    assert (ended.state, ended.progress, ended.finish_time) == (state, {"n": 1}, house.clock())
    assert (ended.error or {}).get("code") == code
    with house.storage.read() as transaction:
        assert transaction.tasks.holding() == []


def test_an_old_attempt_changes_nothing() -> None:
    """News of an attempt that is over write no row and no event, and free nothing."""
    house = _House()
    task = house.running(ZOO)
    with expect_events(house.storage.events):
        for attempt in (0, 2):
            house.lifecycle.record(
                [
                    Update(task_id=task.id, attempt=attempt, news=Progress(report={"n": 1})),
                    Update(task_id=task.id, attempt=attempt, news=Finished(result="late")),
                ],
            )
        house.lifecycle.record([Update(task_id="none", attempt=1, news=Finished())])
        house.lifecycle.record([])
    assert house.tasks.get(task.id) == task
    with house.storage.read() as transaction:
        assert [one.id for one in transaction.tasks.holding()] == [task.id]


def test_a_canceled_task_stays_canceled() -> None:
    """Its process may say what it will; only its end is heard, which frees the resource."""
    house = _House()
    task = house.running(ZOO)
    house.record(task, Progress(report={"step": {"state": "IN_PROGRESS"}}))
    with expect_events(house.storage.events, "canceled"):
        house.tasks.cancel(task.id)
        house.tasks.cancel(task.id)
    assert house.engine.canceled == [task.id]
    canceled = house.tasks.get(task.id)
    assert canceled.progress == {"step": {"state": "CANCELLED"}}
    with expect_events(house.storage.events):
        house.record(task, Progress(report={}))
        with house.storage.read() as transaction:
            assert transaction.tasks.holding() != []
        house.record(task, Finished(result=1))
    assert house.tasks.get(task.id) == canceled
    with house.storage.read() as transaction:
        assert transaction.tasks.holding() == []


def test_the_second_of_two_ends_is_not_heard() -> None:
    """A task that has finished can't fail afterwards."""
    house = _House()
    task = house.running()
    with expect_events(house.storage.events, "finished"):
        house.record(task, Finished(result=1), Lost(reason="late"), Progress(report={"n": 1}))
    assert house.tasks.get(task.id).result == 1


def test_recovery_cancels_what_ran() -> None:
    """After a crash what ran is canceled, what waits goes on, and resources are free."""
    house = _House()
    mine = house.running(ZOO)
    waits = house.submit(ZOO)
    halted = house.running("repository:b")
    house.tasks.cancel(halted.id)
    offers = house.engine.offers
    with expect_events(house.storage.events, "canceled"):
        lost = house.lifecycle.recover()
    assert [task.id for task in lost] == [mine.id]
    assert house.tasks.get(mine.id).state is TaskState.CANCELED
    assert house.engine.offers == offers + 1
    with house.storage.read() as transaction:
        assert [task.id for task in transaction.tasks.holding()] == [waits.id]
    with expect_events(house.storage.events):
        house.record(mine, Finished(result="from the grave"))


def test_recovery_of_one_worker_leaves_the_others() -> None:
    """Only what ran on the named workers is lost."""
    house = _House()
    house.submit("a")
    (lost,) = house.lifecycle.claim("lost", 1)
    house.submit("b")
    (lives,) = house.lifecycle.claim("lives", 1)
    house.tasks.cancel(lives.id)
    house.submit("c")
    (works,) = house.lifecycle.claim("lives", 1)
    assert [task.id for task in house.lifecycle.recover(["lost"])] == [lost.id]
    assert house.tasks.get(works.id).state is TaskState.RUNNING
    with house.storage.read() as transaction:
        assert [task.id for task in transaction.tasks.holding()] == [lives.id, works.id]


def _spawning(changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
    """Hand in a task after one that finished."""
    if not isinstance(outcome, Finished):
        return ()
    return [changes.add(_new(FrozenClock(), ZOO)).id]


def test_a_completion_hands_in_tasks_with_the_end() -> None:
    """The new task's first event stands in the same transaction as the end that names it."""
    house = _House({"sync": _spawning})
    task = house.running(ZOO, operation="sync")
    with expect_events(house.storage.events, "waiting", "finished") as events:
        house.record(task, Finished())
    ended = house.tasks.get(task.id)
    assert ended.spawned == (events[0].task_id,)
    assert house.tasks.get(ended.spawned[0]).state is TaskState.WAITING
    failing = house.running(ZOO)
    assert failing.id == ended.spawned[0]


def test_a_failed_task_hands_in_nothing() -> None:
    """The completion hears of the failure and may do nothing."""
    house = _House({"sync": _spawning})
    task = house.running(ZOO, operation="sync")
    with expect_events(house.storage.events, "error"):
        house.record(task, Failed(error={"code": "X"}))
    assert house.tasks.get(task.id).spawned == ()


def test_an_error_of_the_completion_is_the_tasks() -> None:
    """What can't become true with the end is the error of the task, its progress kept."""

    def refuse(changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
        raise Unavailable("not now")

    house = _House({"publish": refuse})
    task = house.running(ZOO, operation="publish")
    with expect_events(house.storage.events, "error"):
        house.record(task, Finished(result=1, report={"n": 9}))
    ended = house.tasks.get(task.id)
    assert ended.error == Unavailable("not now").to_dict()
    assert (ended.result, ended.progress) == (None, {"n": 9})
    with house.storage.read() as transaction:
        assert transaction.tasks.holding() == []


def test_a_completion_that_breaks_is_undone() -> None:
    """An error that nobody thought of is the task's; nothing else of its end is kept or told."""

    def break_down(changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
        changes.add(_new(FrozenClock()))
        raise ZeroDivisionError

    house = _House({"publish": break_down})
    task = house.running(ZOO, operation="publish")
    with expect_events(house.storage.events, "error"):
        house.record(task, Finished(result=1))
    ended = house.tasks.get(task.id)
    assert ended.state is TaskState.ERROR
    assert house.tasks.tagged([]) == [ended]
    assert house.observed == [TaskState.WAITING, TaskState.RUNNING, TaskState.ERROR]


def test_observers_see_each_change_of_state_once_it_is_kept() -> None:
    """Progress is none, and neither is what was rolled back."""
    house = _House()
    task = house.running(ZOO)
    house.record(task, Progress(report={"n": 1}), Finished())
    waiting = house.submit()
    house.tasks.cancel(waiting.id)
    house.running(ZOO)
    house.lifecycle.recover()
    seen = [TaskState.WAITING, TaskState.RUNNING, TaskState.FINISHED]
    seen += [TaskState.WAITING, TaskState.CANCELED]
    seen += [TaskState.WAITING, TaskState.RUNNING, TaskState.CANCELED]
    assert house.observed == seen

    def refuse() -> None:
        with house.storage.write() as transaction:
            house.tasks.submit_in(transaction, [_new(house.clock)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        refuse()
    assert house.observed == seen


def test_many_tasks_are_recorded_at_once() -> None:
    """A batch holds news of several tasks; each gets its own events, in the order of the batch."""
    house = _House()
    for _ in range(3):
        house.submit()
    first, second, third = house.lifecycle.claim("w", 3)
    news: list[tuple[Task, Progress | Outcome]] = [
        (first, Progress(report={"n": 1})),
        (second, Finished()),
        (first, Lost(reason="x")),
        (third, Progress(report={"n": 2})),
    ]
    updates = [Update(task_id=task.id, attempt=1, news=one) for task, one in news]
    with expect_events(house.storage.events, "progress", "finished", "error", "progress") as told:
        house.lifecycle.record(updates)
    assert [event.task_id for event in told] == [first.id, second.id, first.id, third.id]


def test_tasks_are_found_by_tag_and_criteria() -> None:
    """Reading goes by id, by tags or by criteria."""
    house = _House()
    task, other = house.submit(), house.submit(operation="other")
    assert house.tasks.tagged(["t"]) == [task, other]
    assert house.tasks.tagged(["t", "u"]) == []
    criteria = parse_criteria({"filters": {"task_id": other.id}})
    assert house.tasks.search(criteria) == [other]
    with pytest.raises(MissingResource):
        house.tasks.get("none")
    with pytest.raises(MissingResource):
        house.tasks.cancel("none")


@pytest.mark.parametrize(
    ("states", "error"),
    [
        ([], PurgeWithoutState),
        (["nonsense"], InvalidValue),
        (["finished", "nonsense"], InvalidValue),
        (["canceled"], PurgeOfState),
        (["running"], PurgeOfState),
        (["finished", "accepted"], PurgeOfState),
    ],
)
def test_bad_purges_are_refused(states: list[str], error: type[Exception]) -> None:
    """Nothing is deleted then."""
    house = _House()
    house.record(house.running(), Finished())
    with pytest.raises(error):
        house.tasks.purge(states)
    assert len(house.tasks.tagged([])) == 1


def test_purge_says_how_many_went() -> None:
    """Only complete tasks in the states go; their events stay."""
    house = _House()
    house.record(house.running(), Finished())
    house.record(house.running(), Failed(error={}))
    kept = house.running()
    with expect_events(house.storage.events):
        assert house.tasks.purge(["finished", "error", "skipped"]) == 2
    assert [task.id for task in house.tasks.tagged([])] == [kept.id]


_NEXT: Mapping[str | None, set[str]] = {
    None: {"waiting"},
    "waiting": {"running", "canceled"},
    "running": {"finished", "error", "canceled"},
}


class TaskLife(RuleBasedStateMachine):
    """Everything that may happen to tasks, in any order, with late and lost messengers."""

    def __init__(self) -> None:
        super().__init__()
        self.house = _House({"sync": _spawning})
        #: Attempts whose processes live: id to the task as it was claimed.
        self.alive: dict[str, Task] = {}
        #: Attempts that are over, which may still speak.
        self.ghosts: list[Task] = []

    def _any(self, data: st.DataObject, tasks: Sequence[Task]) -> Task:
        return tasks[data.draw(st.integers(0, len(tasks) - 1))]

    @rule(
        resources=st.sets(st.sampled_from(["a", "b", ZOO])),
        operation=st.sampled_from(["test", "sync"]),
    )
    def submit(self, resources: set[str], operation: str) -> None:
        """Somebody hands in a task."""
        self.house.submit(*sorted(resources), operation=operation)

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        """The engine takes tasks."""
        for task in self.house.lifecycle.claim("w", limit):
            assert not any(
                set(task.resources) & set(other.resources) for other in self.alive.values()
            )
            self.alive[task.id] = task

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), count=st.integers(1, 3))
    def progress(self, data: st.DataObject, count: int) -> None:
        """A process tells how far it came."""
        task = self._any(data, list(self.alive.values()))
        self.house.record(task, *(Progress(report={"n": n}) for n in range(count)))

    @precondition(lambda self: self.alive)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            [Finished(result=1), Failed(error={"code": "X"}), Lost(reason="gone")]
        ),
    )
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        """A process ends."""
        task = self._any(data, list(self.alive.values()))
        self.house.record(task, Progress(report={"n": -1}), outcome)
        self.ghosts.append(self.alive.pop(task.id))

    @precondition(lambda self: self.ghosts)
    @rule(data=st.data())
    def haunt(self, data: st.DataObject) -> None:
        """A process that is over speaks all the same."""
        ghost = self._any(data, self.ghosts)
        before = self.house.storage.events.head()
        self.house.record(ghost, Progress(report={"late": 1}), Finished(result="late"))
        assert self.house.storage.events.head() == before

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Somebody cancels a task, whatever its state."""
        if tasks := self.house.tasks.tagged([]):
            self.house.tasks.cancel(self._any(data, tasks).id)

    @rule()
    def crash(self) -> None:
        """The server is lost with all its processes, and starts again."""
        self.ghosts += self.alive.values()
        self.alive = {}
        self.house.lifecycle.recover()
        states = {task.state for task in self.house.tasks.tagged([])}
        assert TaskState.RUNNING not in states

    @invariant()
    def every_change_has_its_event(self) -> None:
        """Revisions are contiguous, states follow each other, and the last event is the truth."""
        told: dict[str | None, list[Event]] = {}
        for event in self.house.events():
            told.setdefault(event.task_id, []).append(event)
        for task in self.house.tasks.tagged([]):
            events = told.pop(task.id)
            assert [event.revision for event in events] == list(range(1, len(events) + 1))
            assert task.revision == len(events)
            assert msgspec.json.decode(events[-1].body) == task_report(task)
            state: str | None = None
            for event in events:
                if event.kind is EventKind.STATUS:
                    assert event.state in _NEXT.get(state, set())
                    state = str(event.state)
                assert event.state == state
        assert told == {}

    @invariant()
    def who_runs_holds_its_resources(self) -> None:
        """Whoever lives, canceled or not, keeps others from what it has."""
        with self.house.storage.read() as transaction:
            holding = {task.id for task in transaction.tasks.holding()}
        for task in self.alive.values():
            assert not task.resources or task.id in holding
        running = {
            task.id for task in self.house.tasks.tagged([]) if task.state is TaskState.RUNNING
        }
        assert running <= self.alive.keys()


TestTaskLife = TaskLife.TestCase
TestTaskLife.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
