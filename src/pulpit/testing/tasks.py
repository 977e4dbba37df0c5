"""Tasks in memory, and the queues of the resources that they reserve."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.domain.criteria import Criteria, select
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import Fenced, MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryTaskStore"]

_CHANGING = (
    "state",
    "start_time",
    "finish_time",
    "progress",
    "result",
    "error",
    "traceback",
    "worker_name",
    "spawned",
    "revision",
    "attempt",
)


class MemoryTaskStore:
    """Implements ``pulpit.ports.TaskStore``."""

    def __init__(self, state: State) -> None:
        self._state = state
        #: What this transaction has changed of the queues: tasks added, resources released.
        self.added: set[int] = set()
        self.released: set[str] = set()

    def add(self, task: Task) -> Task:
        self._state.last_task += 1
        # nothing that the caller changes later may change what is kept
        added = dataclasses.replace(copy.deepcopy(task), number=self._state.last_task)
        self._state.tasks[added.number] = added
        self._state.reservations |= {(resource, added.number) for resource in task.resources}
        self.added.add(added.number)
        return added

    def add_all(self, tasks: Sequence[Task]) -> Sequence[Task]:
        return [self.add(task) for task in tasks]

    def get(self, task_id: str) -> Task:
        found = self.find([task_id])
        if task_id not in found:
            raise MissingResource(task_id=task_id)
        return found[task_id]

    def find(self, task_ids: Collection[str]) -> Mapping[str, Task]:
        wanted = set(task_ids)
        return {task.id: task for task in self._state.tasks.values() if task.id in wanted}

    def arguments(self, task_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return {task_id: task.arguments for task_id, task in self.find(task_ids).items()}

    def update(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if present := self._state.tasks.get(task.number):
                values = {name: copy.deepcopy(getattr(task, name)) for name in _CHANGING}
                self._state.tasks[task.number] = dataclasses.replace(present, **values)

    def fence(self, task_id: str, attempt: int) -> None:
        task = self.find([task_id]).get(task_id)
        if task is None or (task.state, task.attempt) != (TaskState.RUNNING, attempt):
            raise Fenced

    def grantable(self, limit: int, *, among: Collection[str] | None = None) -> Sequence[Task]:
        first: dict[str, int] = {}
        for resource, number in sorted(self._state.reservations):
            first.setdefault(resource, number)
        free = [
            task
            for task in self._state.tasks.values()
            if task.state is TaskState.WAITING
            and (among is None or task.id in among)
            and all(
                first[resource] == task.number
                for resource in task.resources
                if (resource, task.number) in self._state.reservations
            )
        ]
        return sorted(free, key=lambda task: -task.priority)[:limit]

    def release(self, task_ids: Collection[str]) -> None:
        numbers = {task.number for task in self.find(task_ids).values()}
        self.released |= {
            resource for resource, number in self._state.reservations if number in numbers
        }
        self._state.reservations = {
            (resource, number)
            for resource, number in self._state.reservations
            if number not in numbers
        }

    def holding(self, states: Collection[TaskState] | None = None) -> Sequence[Task]:
        numbers = {number for _, number in self._state.reservations}
        found = [self._state.tasks[number] for number in sorted(numbers)]
        return [task for task in found if states is None or task.state in states]

    def in_states(self, states: Collection[TaskState]) -> Sequence[Task]:
        return [task for task in self._state.tasks.values() if task.state in states]

    def with_tags(self, tags: Collection[str]) -> Sequence[Task]:
        wanted = set(tags)
        return [task for task in self._state.tasks.values() if wanted.issubset(task.tags)]

    def page(
        self,
        *,
        task_ids: Collection[str],
        tags: Collection[str],
        states: Collection[TaskState],
        after: int,
        limit: int,
    ) -> Sequence[Task]:
        found = [
            task
            for task in self.in_states(states)
            if task.number > after
            and (not task_ids or task.id in task_ids)
            and set(tags).issubset(task.tags)
        ]
        return found[:limit]

    def search(self, criteria: Criteria) -> Sequence[Task]:
        return select(self._state.tasks.values(), criteria, _document)

    def states_of_group(self, group_id: str) -> Mapping[TaskState, int]:
        tasks = self._state.tasks.values()
        return dict(Counter(task.state for task in tasks if task.group_id == group_id))

    def purge(self, states: Collection[TaskState], *, before: datetime | None = None) -> int:
        gone = {
            number
            for number, task in self._state.tasks.items()
            if task.state in states
            and (before is None or (task.finish_time is not None and task.finish_time < before))
        }
        for number in gone:
            del self._state.tasks[number]
        self._state.reservations = {
            (resource, number)
            for resource, number in self._state.reservations
            if number not in gone
        }
        return len(gone)


def _document(task: Task) -> Mapping[str, Any]:
    """Return the document that searches look at."""
    return {
        "_id": task.oid,
        "id": task.oid,
        "task_id": task.id,
        "task_type": task.task_type,
        "state": task.state.value,
        "tags": list(task.tags),
        "worker_name": task.worker_name,
        "group_id": task.group_id,
        "start_time": task.start_time,
        "finish_time": task.finish_time,
        "progress_report": task.progress,
        "result": task.result,
        "error": task.error,
        "traceback": task.traceback,
    }
