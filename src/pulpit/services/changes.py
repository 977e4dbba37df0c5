"""Changes of tasks and the events that tell of them, written together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.domain.events import EventKind, NewEvent, task_event
from pulpit.domain.repositories import priority_of
from pulpit.domain.tasks import Task, reserved_repositories
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
        return self.add_all([task])[0]

    def add_all(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Do the same with many, in their order."""
        priorities = self._priorities(
            {each for task in tasks for each in reserved_repositories(task)}
        )
        new = [
            dataclasses.replace(
                task,
                revision=1,
                priority=max(
                    (priorities.get(each, 0) for each in reserved_repositories(task)), default=0
                ),
            )
            for task in tasks
        ]
        added = self.transaction.tasks.add_all(new)
        self._events += [task_event(task, EventKind.STATUS, now=self.now) for task in added]
        self._moved += added
        return added

    def _priorities(self, repo_ids: Collection[str]) -> Mapping[str, int]:
        """Return the priority that each of the repositories gives its tasks."""
        found = self.transaction.repositories.notes(repo_ids) if repo_ids else {}
        return {repo_id: _priority(notes) for repo_id, notes in found.items()}

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


def _priority(notes: Mapping[str, Any]) -> int:
    """Return the priority by the notes of a repository."""
    # those of before the key had a meaning may hold anything
    with contextlib.suppress(ValueError):
        return priority_of(notes)
    return 0


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
