"""Tasks that a test plays: it says what happens to them, and the journal tells of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pulpit.domain.events import EventKind
from pulpit.domain.tasks import Task, TaskState
from pulpit.errors import PulpitError
from pulpit.ports import Clock
from pulpit.services.changes import changes_in
from pulpit.testing.storage import MemoryStorage

__all__ = ["PlaneTask"]


class PlaneTask:
    """A task of which the test tells what happens to it; made by ``EventPlane.task``.

    Every method that changes it returns once the event is in the journal, and raises
    AssertionError in a state in which no server would do that.
    """

    def __init__(self, storage: MemoryStorage, task_id: str, *, clock: Clock) -> None:
        self._storage, self._clock, self.id = storage, clock, task_id

    @property
    def now(self) -> Task:
        """The task as it is, with state and revision."""
        with self._storage.read() as transaction:
            return transaction.tasks.get(self.id)

    def run(self, *, worker: str = "worker@plane") -> Self:
        """Let a worker take it: from waiting to running."""
        started = TaskState.WAITING
        return self._tell(lambda task, now: task.started(worker_name=worker, now=now), started)

    def progress(self, done: int, total: int) -> Self:
        """Tell that *done* of *total* packages are there, as a sync does."""
        stage: dict[str, Any] = {
            "state": "FINISHED" if done >= total else "IN_PROGRESS",
            "items_total": total,
            "items_left": total - done,
            "error_details": [],
        }
        return self.report({"yum_importer": {"content": stage}})

    def report(self, report: Mapping[str, Any]) -> Self:
        """Tell a progress report, which takes the place of the last one."""
        return self._tell(
            lambda task, _now: task.progressed(report),
            TaskState.RUNNING,
            kind=EventKind.PROGRESS,
        )

    def finish(self, result: Any = None, *, spawned: Sequence[PlaneTask] = ()) -> Self:
        """Let it finish well.

        Args:
            result: becomes ``result`` of its report.
            spawned: tasks that it has handed in.
        """
        ids = [task.id for task in spawned]
        return self._tell(
            lambda task, now: task.finished(result=result, spawned=ids, now=now),
            TaskState.RUNNING,
        )

    def fail(self, error: PulpitError | str = "it failed on purpose") -> Self:
        """Let it end in error."""
        known = PulpitError(error) if isinstance(error, str) else error
        return self._tell(
            lambda task, now: task.failed(error=known.to_dict(), traceback=None, now=now),
            TaskState.RUNNING,
        )

    def cancel(self) -> Self:
        """Cancel it, whether it waits or runs."""
        return self._tell(
            lambda task, now: task.canceled(now=now), TaskState.WAITING, TaskState.RUNNING
        )

    def _tell(
        self,
        change: Callable[[Task, Any], Task],
        *expected: TaskState,
        kind: EventKind = EventKind.STATUS,
    ) -> Self:
        """Change the task and write the event that tells of it."""
        now = self._clock()
        with self._storage.write() as transaction:
            task = transaction.tasks.get(self.id)
            if task.state not in expected:
                raise AssertionError(f"task {self.id} is {task.state}: no server would do that")
            with changes_in(transaction, now=now) as changes:
                changes.tell(change(task, now), kind)
        return self
