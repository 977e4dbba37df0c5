"""Jobs of the distributed engine in memory, which nobody does."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.workers import Vacancy
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
        self._note()
        return self._give()

    def take(self, vacancy: Vacancy, *, ending: int) -> Sequence[Task]:
        del ending
        self._note()
        worker = self._state.workers.get(vacancy.worker.name)
        if worker is None or worker.incarnation != vacancy.worker.incarnation:
            return []
        may_run = [task for task in self._may_run() if task.number in self._state.jobs_of_tasks]
        taken = may_run[: vacancy.slots]
        for task in taken:
            number = self._state.jobs_of_tasks[task.number]
            if number not in self._lost():
                self._state.jobs.pop(number, None)
        return taken

    def cancel(self, task_id: str) -> None:
        self._state.cancels.append(task_id)

    def astray(self, *, seconds: float, all_tasks: bool) -> bool:
        del seconds
        lacking = self._spare() > 0 and self._without_job()
        return bool(self._lost() or lacking or (all_tasks and self._astray()))

    def recover(self, *, seconds: float) -> int:
        del seconds
        for task in self._astray():
            self._state.jobs_of_tasks[task.number] = 0
        for number in self._lost():
            del self._state.jobs[number]
        return self.offer()

    def lose(self, task_id: str) -> None:
        """Let whoever has taken the job of the task be gone."""
        number = self._state.jobs_of_tasks[self._tasks.get(task_id).number]
        self._state.jobs[number] = dataclasses.replace(self._state.jobs[number], is_lost=True)

    def finish(self, task_id: str) -> None:
        """Let the job of the task be done, whatever the task is."""
        del self._state.jobs[self._state.jobs_of_tasks[self._tasks.get(task_id).number]]

    def _note(self) -> None:
        """Note which tasks this transaction lets run."""
        first = {
            min(
                (number for name, number in self._state.reservations if name == resource), default=0
            )
            for resource in self._tasks.released
        }
        for task in self._may_run():
            if task.number in self._tasks.added | first:
                self._state.jobs_of_tasks.setdefault(task.number, 0)

    def _may_run(self) -> Sequence[Task]:
        return self._tasks.grantable(len(self._state.tasks))

    def _without_job(self) -> Sequence[Task]:
        """Return the tasks that are known to be free to run and were given no job."""
        return [task for task in self._may_run() if self._state.jobs_of_tasks.get(task.number) == 0]

    def _spare(self) -> int:
        """Return how many free slots have no job."""
        running = len(self._tasks.in_states([TaskState.RUNNING]))
        jobs = {number for number in self._state.jobs_of_tasks.values() if number}
        waiting = {
            self._state.jobs_of_tasks.get(task.number)
            for task in self._tasks.in_states([TaskState.WAITING])
        }
        slots = sum(worker.slots for worker in self._state.workers.values())
        return slots - running - len(jobs & waiting & self._state.jobs.keys())

    def _astray(self) -> Collection[Task]:
        """Return the tasks that may run, not known to or with a job that nobody will do."""
        lost = self._lost()
        return [
            task
            for task in self._may_run()
            if (job := self._state.jobs_of_tasks.get(task.number)) is None
            or job in lost
            or (job and job not in self._state.jobs)
        ]

    def _lost(self) -> Collection[int]:
        """Return the jobs that nobody will do."""
        return {number for number, job in self._state.jobs.items() if job.is_lost}

    def _give(self) -> int:
        """Give jobs to the next tasks that may have one; return to how many."""
        given = self._without_job()[: max(self._spare(), 0)]
        for task in given:
            self._state.last_job += 1
            self._state.jobs[self._state.last_job] = Job(task=task.number)
            self._state.jobs_of_tasks[task.number] = self._state.last_job
        return len(given)
