"""Jobs of the distributed engine in memory, which nobody does."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from pulpit.domain.tasks import Task
from pulpit.testing.state import Job, State
from pulpit.testing.tasks import MemoryTaskStore

__all__ = ["MemoryJobStore"]


class MemoryJobStore:
    """Implements ``pulpit.ports.JobStore``.

    Args:
        state: what the transaction sees and changes.
        tasks: of the same transaction.
    """

    def __init__(self, state: State, tasks: MemoryTaskStore) -> None:
        self._state, self._tasks = state, tasks

    def offer(self) -> int:
        first = {
            min(
                (number for name, number in self._state.reservations if name == resource), default=0
            )
            for resource in self._tasks.released
        }
        offered = [
            task
            for task in self._may_run()
            if task.number in self._tasks.added | first
            and task.number not in self._state.jobs_of_tasks
        ]
        self._give(offered)
        return len(offered)

    def cancel(self, task_id: str) -> None:
        self._state.cancels.append(task_id)

    def astray(self, *, seconds: float, all_tasks: bool) -> bool:
        del seconds
        return bool(self._lost() or (all_tasks and self._astray()))

    def recover(self, *, seconds: float) -> int:
        del seconds
        astray = self._astray()
        for number in self._lost():
            del self._state.jobs[number]
        self._give(astray)
        return len(astray)

    def lose(self, task_id: str) -> None:
        """Let whoever has taken the job of the task be gone."""
        number = self._state.jobs_of_tasks[self._tasks.get(task_id).number]
        self._state.jobs[number] = dataclasses.replace(self._state.jobs[number], is_lost=True)

    def finish(self, task_id: str) -> None:
        """Let the job of the task be done, whatever the task is."""
        del self._state.jobs[self._state.jobs_of_tasks[self._tasks.get(task_id).number]]

    def _may_run(self) -> Collection[Task]:
        return self._tasks.grantable(len(self._state.tasks))

    def _astray(self) -> Collection[Task]:
        """Return the tasks that may run and whose job nobody will do."""
        lost = self._lost()
        return [
            task
            for task in self._may_run()
            if (job := self._state.jobs_of_tasks.get(task.number)) is None
            or job in lost
            or job not in self._state.jobs
        ]

    def _lost(self) -> Collection[int]:
        """Return the jobs that nobody will do."""
        return {number for number, job in self._state.jobs.items() if job.is_lost}

    def _give(self, tasks: Collection[Task]) -> None:
        """Give each task a new job."""
        for task in tasks:
            self._state.last_job += 1
            self._state.jobs[self._state.last_job] = Job(task=task.number)
            self._state.jobs_of_tasks[task.number] = self._state.last_job
