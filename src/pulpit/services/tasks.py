"""Tasks: handing in, reading, canceling, purging."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from pulpit.domain.clock import new_oid
from pulpit.domain.criteria import Criteria
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import PURGEABLE, Task, TaskState, repository_resource, repository_tag
from pulpit.errors import InvalidValue, PurgeOfState, PurgeWithoutState
from pulpit.ports import Clock, Engine, Storage, Transaction
from pulpit.services.changes import Observe, changes_in, unobserved

__all__ = ["Tasks", "new_task", "repository_task"]


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
            added = changes.add_all(tasks)
        self._engine.offer(transaction)
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
            if task.state is TaskState.WAITING:
                self._engine.offer(transaction)
            else:
                # its reservations are freed once its process is seen to be gone
                self._engine.cancel(transaction, task_id)

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
