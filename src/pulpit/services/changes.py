"""Changes of tasks and the events that tell of them, written together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from pulpit.domain.events import EventKind, NewEvent, task_event
from pulpit.domain.repositories import priority_of
from pulpit.domain.tasks import Task, reserved_repositories
from pulpit.errors import MissingResource
from pulpit.ports import Transaction

__all__ = ["Changes", "Observe", "changes_in", "unobserved"]

#: Is given tasks that have just changed their state; must be quick, and raise nothing.
Observe = Callable[[Sequence[Task]], None]


def unobserved(_tasks: Sequence[Task]) -> None:
    """Look at nothing."""


class Changes:
    """Collects what one transaction changes of tasks; made by ``changes_in``."""

    def __init__(self, transaction: Transaction, *, now: datetime) -> None:
        self.transaction = transaction
        self.now = now
        self._tasks: dict[str, Task] = {}
        self._events: list[NewEvent] = []
        self._moved: list[Task] = []

    def add(self, task: Task) -> Task:
        """Keep a new task, with the priority of its repositories, and tell that it waits."""
        added = self.transaction.tasks.add(
            dataclasses.replace(task, revision=1, priority=self._priority(task))
        )
        self._events.append(task_event(added, EventKind.STATUS, now=self.now))
        self._moved.append(added)
        return added

    def _priority(self, task: Task) -> int:
        """Return the highest priority that the repositories of the task give it."""
        priorities = [self._given_by(repo_id) for repo_id in reserved_repositories(task)]
        return max(priorities, default=0)

    def _given_by(self, repo_id: str) -> int:
        """Return the priority that the repository gives its tasks; 0 where there is none."""
        # notes of before the key had a meaning may hold anything
        with contextlib.suppress(MissingResource, ValueError):
            return priority_of(self.transaction.repositories.get(repo_id).notes)
        return 0

    def tell(self, task: Task, kind: EventKind) -> Task:
        """Keep the task as it is now, and tell of it; return it with its new revision."""
        told = dataclasses.replace(task, revision=task.revision + 1)
        # a task that can't be told must not be kept either
        event = task_event(told, kind, now=self.now)
        self._tasks[told.id] = told
        self._events.append(event)
        if kind is EventKind.STATUS:
            self._moved.append(told)
        return told

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo what the block has collected or written if it raises.

        Raises:
            DatabaseFailed: see ``Transaction.savepoint``.
        """
        tasks, events, moved = dict(self._tasks), len(self._events), len(self._moved)
        try:
            with self.transaction.savepoint():
                yield
        except BaseException:
            self._tasks = tasks
            del self._events[events:]
            del self._moved[moved:]
            raise

    def flush(self) -> None:
        """Write all; the journal comes last, as its port wants."""
        self.transaction.tasks.update(list(self._tasks.values()))
        self.transaction.journal.append(self._events)

    def observed_by(self, observe: Observe) -> None:
        """Let *observe* see each change of state, in order, once it is committed."""
        if self._moved:
            self.transaction.after_commit(lambda: observe(self._moved))


@contextlib.contextmanager
def changes_in(
    transaction: Transaction, *, now: datetime, observe: Observe = unobserved
) -> Iterator[Changes]:
    """Collect changes of tasks and write them at the end of the block.

    Args:
        transaction: that writes them.
        now: the present time.
        observe: is given the tasks that changed their state, after the commit.
    """
    changes = Changes(transaction, now=now)
    yield changes
    changes.flush()
    changes.observed_by(observe)
