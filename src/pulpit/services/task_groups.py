"""Task groups: the tasks that were handed in under one group id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulpit.domain.criteria import parse_criteria
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import MissingResource
from pulpit.ports import Storage
from pulpit.services.tasks import Tasks

__all__ = ["TaskGroups"]


class TaskGroups:
    """What users do with groups of tasks."""

    def __init__(self, storage: Storage, tasks: Tasks) -> None:
        self._storage = storage
        self._tasks = tasks

    def tasks(self, group_id: str) -> Sequence[Task]:
        """Return the tasks of the group, in order of submission; or raise MissingResource."""
        found = self._tasks.search(parse_criteria({"filters": {"group_id": group_id}}))
        if not found:
            raise MissingResource(group_id=group_id)
        return found

    def summary(self, group_id: str) -> Mapping[str, int]:
        """Return how many there are in each state, and in all; of an unknown group, none."""
        with self._storage.read() as transaction:
            counts = transaction.tasks.states_of_group(group_id)
        states = {state.value: counts.get(state, 0) for state in TaskState}
        return {"total": sum(counts.values()), **states}

    def cancel(self, group_id: str) -> None:
        """Cancel those that are not complete, or raise MissingResource for an unknown group."""
        for task in self.tasks(group_id):
            if not task.state.is_complete:
                self._tasks.cancel(task.id)
