"""A worker of the distributed engine: runs the tasks whose jobs it fetches, while it is known."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from pulpit.domain.outcomes import Update, ends
from pulpit.domain.tasks import Task
from pulpit.domain.workers import Worker
from pulpit.engine.jobs import JobFeed
from pulpit.engine.lease import Lease, now
from pulpit.engine.places import Places
from pulpit.engine.supervisor import Bodies, Log, Supervisor
from pulpit.errors import Fenced
from pulpit.ports import TaskLifecycle

__all__ = ["Registry", "WorkerEngine"]

#: The share of the timeout after which a worker that was not heard ends its processes.
_LEASE = 2 / 3
#: How many heartbeats there are in the timeout.
_BEATS = 6
#: Seconds between two attempts to register.
_RETRY = 0.2


class Registry(Protocol):
    """Where a worker is known; implemented by the workers service."""

    def register(self, worker: Worker) -> None:
        """Let the worker take tasks from now on, or raise WorkerNameTaken."""

    def beat(self, worker: Worker) -> bool:
        """Note that the worker is there; False if it was given up and has to register anew."""

    def unregister(self, worker: Worker) -> None:
        """Forget a worker of which nothing runs any longer, and let others do its jobs."""


class WorkerEngine:
    """Runs tasks of the distributed engine in child processes of this one.

    Args:
        lifecycle: what happens to tasks goes there.
        registry: where the worker is known.
        worker: its name, slots and timeout; how long it may be silent.
        polling: seconds between two looks for jobs that nobody announced.
        database: what psycopg is given to connect, for the jobs.
        bodies: how tasks are run.
        failed: called when the worker can't go on.
        log: where to tell what goes wrong.
    """

    def __init__(
        self,
        lifecycle: TaskLifecycle,
        registry: Registry,
        *,
        worker: Worker,
        polling: float,
        database: Mapping[str, Any],
        bodies: Bodies,
        failed: Callable[[], None],
        log: Log,
    ) -> None:
        self._lifecycle = lifecycle
        self._registry = registry
        self._worker = worker
        self._timeout = timeout = worker.timeout
        self._log = log
        self._supervisor = Supervisor(
            self,
            slots=worker.slots,
            bodies=bodies,
            failed=failed,
            log=log,
            lease_seconds=timeout * _LEASE,
        )
        self._feed = JobFeed(
            database,
            name=worker.name,
            slots=worker.slots,
            timeout=timeout,
            polling=polling,
            room=self,
            log=log,
        )
        self._places = Places(worker.slots)
        self._stopping = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    # ------------------------------------------------------------------ called by anybody

    def start(self) -> None:
        """Register, and run tasks from now on.

        Raises:
            WorkerNameTaken: another worker of the name is there, and goes on.
        """
        self._register()
        self._supervisor.start()
        self._heart.start()
        self._feed.start()

    def cancel(self, task_id: str) -> None:
        """End the process of the task, if it runs here; returns at once."""
        self._supervisor.kill(task_id)

    def stop(self) -> None:
        """End all children, cancel their tasks, and return when that is written."""
        self._stopping.set()
        self._feed.quit()
        self._supervisor.stop()
        self._heart.join(_RETRY)
        self._feed.join()
        try:
            self._registry.unregister(self._worker)
        except Exception as error:  # noqa: BLE001 - the reaper does what is left
            self._log.warning("the worker can't say that it stops", reason=str(error))

    @property
    def alive(self) -> bool:
        """Whether tasks are looked after."""
        return self._supervisor.alive

    def figures(self) -> dict[str, int]:
        """Return counts of what is there now; may be called from any thread."""
        return self._supervisor.figures()

    # ------------------------------------------------------------------ the feed's thread

    def reserve(self) -> bool:
        """Implements ``pulpit.engine.jobs.Room``, as the next two do."""
        return self._places.reserve()

    def give_back(self, *, all_of_them: bool = False) -> None:
        self._places.give_back(all_of_them=all_of_them)

    def hand(self, task_id: str) -> None:
        self._places.hand(task_id)
        self._supervisor.wake()

    # ------------------------------------------------------------------ the supervisor's thread

    def take(self, free: int) -> Sequence[Task]:
        """Begin tasks that were handed on; implements ``TaskSource``, as the next two do."""
        wanted = self._places.begin_handed(free)
        if not wanted:
            return ()
        try:
            begun = self._lifecycle.begin(self._worker, wanted)
        except BaseException as error:
            self._places.fail()
            if not isinstance(error, Fenced):
                raise
            self._lose()
            return ()
        ids = [task.id for task in begun]
        self._places.settle(begun=ids, dropped=wanted)
        # somebody canceled the others, or they run elsewhere
        self._go_on(set(wanted) - set(ids))
        return begun

    def record(self, updates: Sequence[Update], free: int) -> Sequence[Task]:
        ended = ends(updates)
        vacancy = self._places.begin_others(self._worker, free, ending=ended)
        try:
            begun = self._lifecycle.record(updates, vacancy)
        except BaseException:
            self._places.fail()
            raise
        ids = [task.id for task in begun]
        self._places.settle(begun=ids, ended=ended, is_sure=vacancy is not None)
        self._go_on(ended)
        return begun

    def _go_on(self, task_ids: Collection[str]) -> None:
        """Let the jobs of tasks go, and have more begun if there are some."""
        if self._places.is_more:
            self._supervisor.wake()
        self._feed.done(task_ids)
        if self._places.look_again():
            self._feed.look()

    def close(self) -> None:
        try:
            self._lifecycle.leave(self._worker)
        except Fenced:
            # what ran here was canceled, and the name may be another's
            return
        except Exception as error:  # noqa: BLE001 - the reaper does it once it misses this worker
            self._log.warning("tasks of the worker can't be canceled now", reason=str(error))

    # ------------------------------------------------------------------ the heartbeat's thread

    def _register(self) -> None:
        """Become known, and let the lease hold."""
        since = now()
        self._worker = dataclasses.replace(self._worker, incarnation=str(uuid4()))
        self._registry.register(self._worker)
        self._lease.renew(since=since)
        self._places.open()

    @property
    def _lease(self) -> Lease:
        assert self._supervisor.lease is not None
        return self._supervisor.lease

    def _lose(self) -> None:
        """Note that the worker was given up; its processes end."""
        self._places.close()
        self._lease.end()
        self._supervisor.wake()

    def _beat(self) -> None:
        """Renew the lease from time to time; register anew when the worker was given up."""
        pause = self._timeout / _BEATS
        is_failing = False
        while not self._stopping.wait(pause):
            try:
                pause = self._renew() if self._places.is_open else self._return()
            except Exception as error:  # noqa: BLE001 - the lease runs on, the next may be better
                if not is_failing:
                    self._log.warning(
                        "the worker's heartbeat can't be written; trying again", reason=str(error)
                    )
                is_failing, pause = True, _RETRY
            else:
                if is_failing:
                    self._log.info("the worker's heartbeat can be written again")
                is_failing = False

    def _renew(self) -> float:
        """Write a heartbeat, and end what is to run no longer; return when to come again."""
        since = now()
        if not self._registry.beat(self._worker):
            self._log.warning("the worker was given up: its tasks end", name=self._worker.name)
            self._lose()
            return 0.0
        was_out = self._lease.remaining <= 0
        self._lease.renew(since=since)
        for task_id in self._lifecycle.strays(self._supervisor.running):
            self._supervisor.kill(task_id)
        if was_out:
            self._supervisor.wake()
        return self._timeout / _BEATS

    def _return(self) -> float:
        """Register anew once nothing runs any longer; return when to come again."""
        if not self._places.is_empty:
            return _RETRY
        self._register()
        self._log.info("the worker is registered again", name=self._worker.name)
        self._supervisor.wake()
        self._feed.look()
        return self._timeout / _BEATS
