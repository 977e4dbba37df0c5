"""Tasks: handing in, reading, canceling, purging, and what an engine tells of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from traceback import format_exc
from typing import Any, Protocol
from uuid import uuid4

from pulpit.domain.clock import new_oid
from pulpit.domain.criteria import Criteria
from pulpit.domain.events import EventKind
from pulpit.domain.outcomes import Failed, Finished, Lost, Outcome, Progress, Update
from pulpit.domain.tasks import PURGEABLE, Task, TaskState, repository_resource, repository_tag
from pulpit.errors import (
    DatabaseFailed,
    InvalidValue,
    PulpitError,
    PurgeOfState,
    PurgeWithoutState,
    TaskLost,
)
from pulpit.ports import Clock, Engine, Storage, Transaction
from pulpit.services.changes import Changes, Observe, changes_in, unobserved

__all__ = ["Completion", "Completions", "Lifecycle", "Tasks", "new_task", "repository_task"]


def new_task(
    *,
    now: datetime,
    task_type: str,
    operation: str,
    arguments: Mapping[str, Any],
    tags: Sequence[str],
    resources: Sequence[str],
) -> Task:
    """Return a task that waits, with ids of its own."""
    return Task(
        id=str(uuid4()),
        oid=new_oid(now),
        task_type=task_type,
        operation=operation,
        arguments=arguments,
        tags=tuple(tags),
        resources=tuple(resources),
        created=now,
    )


def repository_task(
    repo_id: str,
    *,
    now: datetime,
    task_type: str,
    operation: str,
    tags: Sequence[str],
    arguments: Mapping[str, Any] | None = None,
) -> Task:
    """Return a task that works on one repository, and reserves it.

    Args:
        repo_id: which; becomes a tag, and ``repo_id`` of the arguments.
        now: the present time.
        task_type: the dotted name of Pulp 2.
        operation: which of our bodies does it.
        tags: beside that of the repository.
        arguments: beside the repository.
    """
    return new_task(
        now=now,
        task_type=task_type,
        operation=operation,
        arguments={"repo_id": repo_id, **(arguments or {})},
        tags=[repository_tag(repo_id), *tags],
        resources=[repository_resource(repo_id)],
    )


class Tasks:
    """What users do with tasks, and how other services hand them in.

    Args:
        storage: where tasks and journal are.
        clock: the present time.
        engine: who runs them.
        observe: is given tasks that changed their state, after the commit.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock, engine: Engine, observe: Observe = unobserved
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._engine = engine
        self._observe = observe

    def submit(self, task: Task, *, repo_id: str | None = None) -> Task:
        """Hand in a task; return it with its number.

        Args:
            task: which.
            repo_id: a repository that must still be there.

        Raises:
            MissingResource: it is not.
        """
        with self._storage.write() as transaction:
            if repo_id is not None:
                transaction.repositories.get(repo_id)
            (added,) = self.submit_in(transaction, [task])
        return added

    def submit_in(self, transaction: Transaction, tasks: Sequence[Task]) -> Sequence[Task]:
        """Hand in tasks as the last act of a transaction; return them with their numbers."""
        with changes_in(transaction, now=self._clock(), observe=self._observe) as changes:
            added = [changes.add(task) for task in tasks]
        transaction.after_commit(self._engine.wake)
        return added

    def get(self, task_id: str) -> Task:
        """Return the task, or raise MissingResource."""
        with self._storage.read() as transaction:
            return transaction.tasks.get(task_id)

    def tagged(self, tags: Collection[str]) -> Sequence[Task]:
        """Return the tasks that have all of the tags, in order of submission."""
        with self._storage.read() as transaction:
            return transaction.tasks.with_tags(tags)

    def search(self, criteria: Criteria) -> Sequence[Task]:
        """Return the tasks that the criteria select."""
        with self._storage.read() as transaction:
            return transaction.tasks.search(criteria)

    def cancel(self, task_id: str) -> None:
        """Cancel a task that waits or runs; leave a complete one as it is.

        Raises:
            MissingResource: there is no such task.
        """
        with self._storage.write() as transaction:
            task = transaction.tasks.get(task_id)
            if task.state.is_complete:
                return
            now = self._clock()
            with changes_in(transaction, now=now, observe=self._observe) as changes:
                changes.tell(task.canceled(now=now), EventKind.STATUS)
                if task.state is TaskState.WAITING:
                    transaction.tasks.release([task_id])
                    transaction.after_commit(self._engine.wake)
                else:
                    # its reservations are freed once its process is seen to be gone
                    transaction.after_commit(lambda: self._engine.cancel(task_id))

    def purge(self, states: Collection[str]) -> int:
        """Delete the complete tasks in these states; return how many.

        Raises:
            PurgeWithoutState: no state is named.
            InvalidValue: a state is not known.
            PurgeOfState: tasks in that state can't be purged.
        """
        if not states:
            raise PurgeWithoutState
        unknown = [state for state in states if state not in set(TaskState)]
        if unknown:
            raise InvalidValue("state", why=f"{', '.join(unknown)}: no such state")
        wanted = {TaskState(state) for state in states}
        if refused := wanted - PURGEABLE:
            raise PurgeOfState(data={"states": sorted(refused)})
        with self._storage.write() as transaction:
            return transaction.tasks.purge(wanted)


class Completion(Protocol):
    """What becomes true in the transaction that ends a task of one operation."""

    def __call__(self, changes: Changes, task: Task, outcome: Outcome) -> Sequence[str]:
        """Write it, and return the ids of the tasks that it handed in.

        Whatever it raises undoes what it has written, and becomes the error of the task.
        """


Completions = Mapping[str, Completion]


class Lifecycle:
    """Implements ``pulpit.ports.TaskLifecycle``.

    Args:
        storage: where tasks and journal are.
        clock: the present time.
        completions: operation to what else ends with it.
        wake: called after a commit that made room for waiting tasks.
        observe: is given tasks that changed their state, after the commit.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        completions: Completions,
        wake: Callable[[], None],
        observe: Observe = unobserved,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._completions = completions
        self._wake = wake
        self._observe = observe

    def recover(self, worker_names: Collection[str] | None = None) -> Sequence[Task]:
        now = self._clock()
        with self._storage.write() as transaction:
            lost = [
                task
                for task in transaction.tasks.in_states([TaskState.RUNNING])
                if worker_names is None or task.worker_name in worker_names
            ]
            # canceled ones may still hold what nobody will see them give back
            freed = [
                task.id
                for task in transaction.tasks.holding()
                if task.state is not TaskState.WAITING
                and (worker_names is None or task.worker_name in worker_names)
            ]
            transaction.tasks.release(freed)
            with changes_in(transaction, now=now, observe=self._observe) as changes:
                for task in lost:
                    changes.tell(task.canceled(now=now), EventKind.STATUS)
            transaction.after_commit(self._wake)
        return lost

    def claim(self, worker_name: str, limit: int) -> Sequence[Task]:
        now = self._clock()
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

    def record(self, updates: Sequence[Update]) -> None:
        now = self._clock()
        ended: list[str] = []
        with self._storage.write() as transaction:
            tasks = dict(transaction.tasks.find({update.task_id for update in updates}))
            with changes_in(transaction, now=now, observe=self._observe) as changes:
                for update in updates:
                    task = tasks.get(update.task_id)
                    if task is None or task.attempt != update.attempt:
                        continue
                    if not isinstance(update.news, Progress):
                        ended.append(task.id)
                    if task.state is TaskState.RUNNING:
                        tasks[task.id] = self._apply(changes, task, update.news)
                if ended:
                    transaction.tasks.release(ended)
                    transaction.after_commit(self._wake)

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
