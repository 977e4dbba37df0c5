"""The embedded engine: tasks run in child processes of the server itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pulpit.domain.outcomes import Update, ends
from pulpit.domain.tasks import Task
from pulpit.engine.supervisor import Bodies, Log, Supervisor
from pulpit.ports import TaskLifecycle, Transaction

__all__ = ["EmbeddedEngine"]


class EmbeddedEngine:
    """Runs tasks in child processes of this one; implements ``pulpit.ports.Engine``.

    Args:
        lifecycle: where tasks come from and what happens to them goes.
        worker_name: what tasks are told to run on.
        slots: how many run at once.
        bodies: how they are run.
        failed: called when the engine can't go on.
        log: where to tell what goes wrong.
    """

    def __init__(
        self,
        lifecycle: TaskLifecycle,
        *,
        worker_name: str,
        slots: int,
        bodies: Bodies,
        failed: Callable[[], None],
        log: Log,
    ) -> None:
        self._lifecycle = lifecycle
        self._log = log
        self._supervisor = Supervisor(
            _Waiting(lifecycle, worker_name, log),
            slots=slots,
            bodies=bodies,
            failed=failed,
            log=log,
        )

    def start(self) -> None:
        """Cancel what a former server left running, then run what waits."""
        for task in self._lifecycle.recover():
            self._log.info("task canceled: its server is gone", task_id=task.id)
        self._supervisor.start()

    def offer(self, transaction: Transaction) -> None:
        transaction.after_commit(self._supervisor.wake)

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        transaction.after_commit(lambda: self._supervisor.kill(task_id))

    def stop(self) -> None:
        """End all children, cancel their tasks, and return when that is written."""
        self._supervisor.stop()

    @property
    def alive(self) -> bool:
        """Whether tasks are looked after."""
        return self._supervisor.alive

    def figures(self) -> dict[str, int]:
        """Return counts of what is there now; may be called from any thread."""
        return self._supervisor.figures()


class _Waiting:
    """The tasks that wait; implements ``pulpit.engine.supervisor.TaskSource``."""

    def __init__(self, lifecycle: TaskLifecycle, worker_name: str, log: Log) -> None:
        self._lifecycle, self._worker_name, self._log = lifecycle, worker_name, log
        #: The tasks that were taken and have not ended.
        self._begun: set[str] = set()
        #: Whether more may have been, but the answer was lost.
        self._is_unsure = False

    def take(self, free: int) -> Sequence[Task]:
        begun, self._is_unsure = self._begun if self._is_unsure else None, True
        taken = self._lifecycle.claim(self._worker_name, free, begun=begun)
        self._is_unsure = False
        self._begun.update(task.id for task in taken)
        return taken

    def record(self, updates: Sequence[Update], free: int) -> Sequence[Task]:
        del free
        self._lifecycle.record(updates)
        self._begun.difference_update(ends(updates))
        return ()

    def close(self) -> None:
        try:
            self._lifecycle.recover([self._worker_name])
        except Exception as error:  # noqa: BLE001 - the next start does it
            self._log.warning("tasks can't be canceled before the next start", reason=str(error))
