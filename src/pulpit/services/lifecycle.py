"""What an engine tells of tasks: that they begin, get on and end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from traceback import format_exc
from typing import Any, Protocol

from pulpit.domain.events import EventKind
from pulpit.domain.outcomes import Failed, Finished, Lost, Outcome, Progress, Update
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.workers import Vacancy, Worker
from pulpit.errors import DatabaseFailed, Fenced, PulpitError, TaskLost
from pulpit.ports import Clock, Storage, Transaction
from pulpit.services.changes import Changes, Observe, changes_in, unobserved

__all__ = ["Completion", "Completions", "Lifecycle", "Offer"]

#: Has the tasks run that a transaction lets run; see ``pulpit.ports.Engine.offer``.
Offer = Callable[[Transaction], None]


class Completion(Protocol):
    """What becomes true in the transaction that ends a task of one operation."""

    def __call__(self, changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
        """Write it, and return the ids of the tasks that it handed in.

        Whatever it raises undoes what it has written, and becomes the error of the task.
        """


Completions = Mapping[str, Completion]


class _Unsure:
    """Which updates were written though the answer to a commit was lost; for one thread."""

    def __init__(self) -> None:
        self._updates = 0
        self._revisions: Mapping[str, int] = {}
        self._written: dict[str, int] = {}

    def attempt(self, updates: int, tasks: Collection[Task]) -> None:
        """Note that the first updates are about to be written, and what the tasks are then."""
        self._updates = updates
        self._revisions = {task.id: task.revision for task in tasks}

    def look(self, tasks: Collection[Task]) -> None:
        """See by the tasks as they are whether the last attempt was written."""
        for task in tasks:
            # nobody else lets the revision of a task grow while it runs here
            if self._revisions.get(task.id, task.revision + 1) <= task.revision:
                self._written[task.id] = self._updates

    def is_written(self, task_id: str, position: int) -> bool:
        """Tell whether the update of the task at the position is written."""
        return position < self._written.get(task_id, 0)


class Lifecycle:
    """Implements ``pulpit.ports.TaskLifecycle``.

    Args:
        storage: where tasks and journal are.
        clock: the present time.
        completions: operation to what else ends with it.
        offer: has the tasks run that a transaction has made room for.
        observe: is given tasks that changed their state, after the commit.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        completions: Completions,
        offer: Offer,
        observe: Observe = unobserved,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._completions = completions
        self._offer = offer
        self._observe = observe
        self._unsure = _Unsure()

    def recover(self, worker_names: Collection[str] | None = None) -> Sequence[Task]:
        with self._storage.write() as transaction:
            return self._recover(transaction, worker_names)

    def leave(self, worker: Worker) -> Sequence[Task]:
        with self._storage.write() as transaction:
            transaction.workers.fence(worker.name, worker.incarnation)
            return self._recover(transaction, [worker.name])

    def _recover(
        self, transaction: Transaction, worker_names: Collection[str] | None
    ) -> Sequence[Task]:
        """Cancel what runs on these workers (None: on any), and free what they hold."""
        now = self._clock()
        lost = [
            task
            for task in transaction.tasks.in_states([TaskState.RUNNING])
            if worker_names is None or task.worker_name in worker_names
        ]
        # canceled ones may still hold what nobody will see them give back
        freed = [
            task.id
            for task in transaction.tasks.holding(set(TaskState) - {TaskState.WAITING})
            if worker_names is None or task.worker_name in worker_names
        ]
        transaction.tasks.release(freed)
        with changes_in(transaction, now=now, observe=self._observe) as changes:
            for task in lost:
                changes.tell(task.canceled(now=now), EventKind.STATUS)
        self._offer(transaction)
        return lost

    def claim(
        self, worker_name: str, limit: int, *, begun: Collection[str] | None = None
    ) -> Sequence[Task]:
        now = self._clock()
        if begun is not None:
            # in its turn: the commit whose answer was lost may still be under way
            with self._storage.write() as transaction:
                unheard = _unheard(transaction, worker_name, begun)
            if unheard:
                return unheard
        with self._storage.read() as transaction:
            if not transaction.tasks.grantable(1):
                return []
        with (
            self._storage.write() as transaction,
            changes_in(transaction, now=now, observe=self._observe) as changes,
        ):
            return [
                changes.tell(task.started(worker_name=worker_name, now=now), EventKind.STATUS)
                for task in transaction.tasks.grantable(limit)
            ]

    def begin(self, worker: Worker, task_ids: Collection[str]) -> Sequence[Task]:
        now = self._clock()
        with self._storage.write() as transaction:
            transaction.workers.fence(worker.name, worker.incarnation)
            with changes_in(transaction, now=now, observe=self._observe) as changes:
                begun = [
                    changes.tell(task.started(worker_name=worker.name, now=now), EventKind.STATUS)
                    for task in transaction.tasks.grantable(len(task_ids), among=task_ids)
                ]
                # those that an earlier call has begun, whose answer was lost
                others = set(task_ids) - {task.id for task in begun}
                begun += [
                    task
                    for task in transaction.tasks.find(others).values()
                    if task.state is TaskState.RUNNING and task.worker_name == worker.name
                ]
        return begun

    def record(self, updates: Sequence[Update], vacancy: Vacancy | None = None) -> Sequence[Task]:
        now = self._clock()
        ended: list[str] = []
        begun: Sequence[Task] = ()
        with self._storage.write() as transaction:
            tasks = dict(transaction.tasks.find({update.task_id for update in updates}))
            running = _running(tasks.values())
            self._unsure.look(tasks.values())
            with changes_in(transaction, now=now, observe=self._observe) as changes:
                for position, update in enumerate(updates):
                    task = tasks.get(update.task_id)
                    if task is None or task.attempt != update.attempt:
                        continue
                    if not isinstance(update.news, Progress):
                        ended.append(task.id)
                    is_new = not self._unsure.is_written(task.id, position)
                    if is_new and task.state is TaskState.RUNNING:
                        tasks[task.id] = self._apply(changes, task, update.news)
                if ended:
                    transaction.tasks.release(ended)
                if vacancy is not None:
                    ending = running - _running(tasks.values())
                    begun = self._fill(changes, vacancy, ending=len(ending))
            if ended or begun:
                self._offer(transaction)
            self._unsure.attempt(len(updates), tasks.values())
        self._unsure = _Unsure()
        return begun

    def _fill(self, changes: Changes, vacancy: Vacancy, *, ending: int) -> Sequence[Task]:
        """Let the next tasks begin on a worker, and return them and what it has not heard of."""
        transaction, worker = changes.transaction, vacancy.worker
        unheard: Sequence[Task] = ()
        if vacancy.begun is not None:
            try:
                transaction.workers.fence(worker.name, worker.incarnation)
            except Fenced:
                return ()
            unheard = _unheard(transaction, worker.name, vacancy.begun)
        room = dataclasses.replace(vacancy, slots=vacancy.slots - len(unheard))
        if room.slots <= 0:
            return unheard
        taken = [
            changes.tell(task.started(worker_name=worker.name, now=changes.now), EventKind.STATUS)
            for task in transaction.jobs.take(room, ending=ending)
        ]
        return [*unheard, *taken]

    def strays(self, attempts: Mapping[str, int]) -> Collection[str]:
        with self._storage.read() as transaction:
            tasks = transaction.tasks.find(attempts)
        return {
            task_id
            for task_id, attempt in attempts.items()
            if task_id not in tasks
            or (tasks[task_id].state, tasks[task_id].attempt) != (TaskState.RUNNING, attempt)
        }

    def _apply(self, changes: Changes, task: Task, news: Progress | Outcome) -> Task:
        """Let a running task be as the news say; if that can't be, let it end in error."""
        try:
            if isinstance(news, Progress):
                return changes.tell(_with_progress(task, news.report), EventKind.PROGRESS)
            return self._end(changes, task, news)
        except DatabaseFailed:
            # no task's fault: the engine tries again
            raise
        except PulpitError as error:
            report = None if isinstance(news, Lost) else news.report
            failed = Failed(error=error.to_dict(), report=report)
        except Exception as error:  # noqa: BLE001 - one task's defect must not hold up the others
            told = PulpitError(f"{type(error).__name__}: {error}")
            failed = Failed(error=told.to_dict(), traceback=format_exc())
        return self._fail(changes, task, failed)

    def _fail(self, changes: Changes, task: Task, failed: Failed) -> Task:
        """Let the task end in error, with all that becomes true then if that can be written."""
        try:
            return self._end(changes, task, failed)
        except DatabaseFailed:
            raise
        except Exception:  # noqa: BLE001 - the error that is told is the first one
            return changes.tell(self._ended(changes, task, failed, ()), EventKind.STATUS)

    def _end(self, changes: Changes, task: Task, outcome: Outcome) -> Task:
        """Let the task end, with all that becomes true then, or with nothing of it."""
        completion = self._completions.get(task.operation)
        if completion is None:
            return changes.tell(self._ended(changes, task, outcome, ()), EventKind.STATUS)
        with changes.attempt():
            spawned = completion(changes, task, outcome)
            return changes.tell(self._ended(changes, task, outcome, spawned), EventKind.STATUS)

    def _ended(
        self, changes: Changes, task: Task, outcome: Outcome, spawned: Sequence[str]
    ) -> Task:
        """Return the task in the final state that the outcome makes."""
        now = changes.now
        match outcome:
            case Finished(result=result, report=report):
                return _with_progress(task, report).finished(
                    result=result, spawned=spawned, now=now
                )
            case Failed(error=error, traceback=traceback, report=report):
                return _with_progress(task, report).failed(
                    error=error, traceback=traceback, now=now
                )
            case Lost(reason=reason):
                lost: PulpitError = TaskLost(
                    f"The process of task {task.id} ended before the task did: {reason}",
                    data={"task_id": task.id, "reason": reason},
                )
                return task.failed(error=lost.to_dict(), traceback=None, now=now)


def _with_progress(task: Task, report: Mapping[str, Any] | None) -> Task:
    """Return the task with the progress report, if there is one."""
    return task if report is None else task.progressed(report)


def _running(tasks: Collection[Task]) -> set[str]:
    """Return which of the tasks run."""
    return {task.id for task in tasks if task.state is TaskState.RUNNING}


def _unheard(transaction: Transaction, worker_name: str, begun: Collection[str]) -> Sequence[Task]:
    """Return the tasks that run on the worker, which does not know of it."""
    return [
        task
        for task in transaction.tasks.in_states([TaskState.RUNNING])
        if task.worker_name == worker_name and task.id not in begun
    ]
