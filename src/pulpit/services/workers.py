"""Workers of the distributed engine: they register, are heard of, and are given up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pulpit.domain.events import EventKind
from pulpit.domain.tasks import COMPLETE, Task, TaskState
from pulpit.domain.workers import Worker
from pulpit.errors import WorkerNameTaken
from pulpit.ports import Clock, Storage, Transaction
from pulpit.services.changes import Observe, changes_in, unobserved
from pulpit.services.lifecycle import Offer

__all__ = ["Reaped", "Reaper", "Workers"]

#: Of how many runs of the reaper one looks through all tasks.
_THOROUGH_EVERY = 10


class Workers:
    """The workers there are, by the database.

    A worker has processes of tasks only while it is heard of: it ends them in time by itself.

    Args:
        storage: where tasks and workers are.
        clock: the present time.
        offer: has the tasks run that a transaction has made room for.
        observe: is given tasks that changed their state, after the commit.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        offer: Offer,
        observe: Observe = unobserved,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._offer = offer
        self._observe = observe

    def known(self) -> Sequence[Worker]:
        """Return all workers, sorted by name."""
        with self._storage.read() as transaction:
            return transaction.workers.list()

    def living(self) -> Sequence[Worker]:
        """Return those that were heard of within their timeout, sorted by name."""
        with self._storage.read() as transaction:
            silent = {worker.name for worker in transaction.workers.silent()}
            return [worker for worker in transaction.workers.list() if worker.name not in silent]

    def register(self, worker: Worker) -> None:
        """Let the worker take tasks from now on; no process of a task runs for it.

        What an earlier one of the name was running is canceled and its reservations are freed.

        Raises:
            WorkerNameTaken: another one of the name was heard of within the timeout.
        """
        self._give_up([worker.name])
        with self._storage.write() as transaction:
            if not transaction.workers.add(worker):
                raise WorkerNameTaken(
                    f"Another worker runs under the name {worker.name}: stop it, or give this "
                    "one its own with --name.",
                )
            self._release(transaction, lambda name: name == worker.name)

    def beat(self, worker: Worker) -> bool:
        """Note that the worker is there; False if it was given up and has to register anew."""
        with self._storage.write_beside() as transaction:
            return transaction.workers.beat(worker.name, worker.incarnation)

    def unregister(self, worker: Worker) -> None:
        """Forget a worker of which nothing runs any longer, and let others do its jobs."""
        with self._storage.write() as transaction:
            transaction.workers.remove(worker.name, worker.incarnation)
            transaction.jobs.recover(seconds=worker.timeout)

    def give_up(self) -> tuple[Sequence[Worker], Sequence[Task]]:
        """Forget the workers that are lost, and cancel what runs on none that is known.

        Returns the workers and the tasks.
        """
        return self._give_up(None)

    def _give_up(self, names: Collection[str] | None) -> tuple[Sequence[Worker], Sequence[Task]]:
        """Give up those of these names (None: of any) that are lost."""
        now = self._clock()
        with (
            self._storage.write() as transaction,
            changes_in(transaction, now=now, observe=self._observe) as changes,
        ):
            lost = transaction.workers.remove_silent(names)
            known = {worker.name for worker in transaction.workers.list()}
            canceled = [
                changes.tell(task.canceled(now=now), EventKind.STATUS)
                for task in transaction.tasks.in_states([TaskState.RUNNING])
                if task.worker_name not in known and (names is None or task.worker_name in names)
            ]
        return lost, canceled

    def free(self) -> None:
        """Release what ended tasks hold whose worker is gone.

        In a transaction of its own: those who still write for a canceled task see that, and
        whoever had begun before is waited for.
        """
        with self._storage.write() as transaction:
            known = {worker.name for worker in transaction.workers.list()}
            self._release(transaction, lambda name: name not in known)

    def _release(self, transaction: Transaction, is_gone: Callable[[str | None], bool]) -> None:
        """Release what ended tasks of workers hold that are gone."""
        transaction.tasks.release(
            [task.id for task in transaction.tasks.holding(COMPLETE) if is_gone(task.worker_name)]
        )
        self._offer(transaction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What one run of the reaper has found and done."""

    #: Workers that were not heard of for too long, and are given up.
    workers: Sequence[Worker] = ()
    #: Tasks that ran on a worker that is gone, and are canceled now.
    tasks: Sequence[Task] = ()
    #: How many tasks were handed out again.
    jobs: int = 0


class Reaper:
    """Puts right what workers leave that are gone; one process at a time runs it.

    Whatever is interrupted is done by the next run.

    Args:
        storage: where tasks, workers and jobs are.
        workers: gives up those that are lost.
        timeout: seconds without a sign of who has a job after which it is handed out again.
    """

    def __init__(self, storage: Storage, workers: Workers, *, timeout: float) -> None:
        self._storage, self._workers, self._timeout = storage, workers, timeout
        self._runs = 0

    def run_once(self) -> Reaped:
        """Look once, and do what is due; to be called every second or so."""
        thorough = self._runs % _THOROUGH_EVERY == 0
        with self._storage.read() as transaction:
            known = {worker.name for worker in transaction.workers.list()}
            is_due = bool(transaction.workers.silent()) or any(
                task.worker_name not in known
                for task in transaction.tasks.in_states([TaskState.RUNNING])
            )
            leftovers = is_due or (
                thorough
                and any(
                    task.worker_name not in known for task in transaction.tasks.holding(COMPLETE)
                )
            )
            astray = transaction.jobs.astray(seconds=self._timeout, all_tasks=thorough)
        lost, canceled = self._workers.give_up() if is_due else ((), ())
        if leftovers:
            self._workers.free()
        jobs = self._recover() if astray else 0
        # only now, so that a thorough run that has failed comes again
        self._runs += 1
        return Reaped(workers=lost, tasks=canceled, jobs=jobs)

    def _recover(self) -> int:
        """Give new jobs to tasks whose job nobody will do."""
        with self._storage.write() as transaction:
            return transaction.jobs.recover(seconds=self._timeout)
