"""Watches over the processes of tasks, in one thread.

All that children tell within a few milliseconds is written in one transaction.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, Protocol

from pulpit.domain.outcomes import Lost, Progress, Update
from pulpit.domain.tasks import Task
from pulpit.engine.child import ChildLimits, Entry, run_child
from pulpit.engine.forking import start_fork_server
from pulpit.engine.frames import FrameReader, Told
from pulpit.engine.lease import Lease

__all__ = ["Bodies", "Log", "Supervisor", "TaskSource"]

#: Updates of all children are written together at most this often, in seconds.
_GROUPING = 0.005
#: How long to wait before writing again after the database refused, in seconds.
_RETRY = 0.5
#: What is read of one child before the others get their turn, in bytes.
_READ = 1 << 20
#: Updates that may wait for the database before children have to.
_PENDING = 5_000
_NO_LEASE = "its worker was cut off from the database"


class Log(Protocol):
    """What is needed of the log."""

    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class TaskSource(Protocol):
    """Where a supervisor gets its tasks; called from its thread."""

    def take(self, free: int) -> Sequence[Task]:
        """Set up to *free* tasks to running and return them."""

    def record(self, updates: Sequence[Update], free: int) -> Sequence[Task]:
        """Write what tasks tell; set up to *free* tasks to running in the same go and return them.

        Raises:
            Exception: it is not known whether that is written; call it again with the same updates.
        """

    def close(self) -> None:
        """Cancel what was running; no process of a task is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """How the bodies of tasks are run."""

    #: Runs a body; called in the child with *surroundings*.
    entry: Entry
    #: Picklable.
    surroundings: Any
    #: What one child may use.
    limits: ChildLimits
    #: Modules that the fork server imports once for all children.
    preload: Sequence[str]
    #: Called with each task whose process is gone.
    clean_up: Callable[[Task], None]


@dataclass(slots=True)
class _Child:
    """One running task and its process."""

    task: Task
    process: BaseProcess
    #: The reading end of its pipe.
    pipe: int
    reader: FrameReader = field(default_factory=FrameReader)
    #: How the body ended; written once the process is gone too.
    outcome: Told | None = None
    #: True once nothing more can come through the pipe.
    drained: bool = False
    #: Why it was killed, if it was for its worker's sake.
    reason: str | None = None


class Supervisor:
    """Starts a process for each task that its source gives, and writes what they tell.

    Args:
        source: where tasks come from, and where goes what happens to them.
        slots: how many run at once.
        bodies: how they are run.
        failed: called when the supervisor can't go on.
        log: where to tell what goes wrong.
        lease_seconds: for how long processes may go on without a renewal of the lease; None for
            as long as this process.
    """

    def __init__(
        self,
        source: TaskSource,
        *,
        slots: int,
        bodies: Bodies,
        failed: Callable[[], None],
        log: Log,
        lease_seconds: float | None = None,
    ) -> None:
        self._source = source
        self._slots = slots
        self._bodies = bodies
        self._failed = failed
        self._log = log
        self._context = start_fork_server(*bodies.preload)
        #: Holds from its first renewal on; None for no bounds.
        self.lease = None if lease_seconds is None else Lease(self._context, seconds=lease_seconds)
        self._children: dict[str, _Child] = {}
        self._pending: list[Update] = []
        self._canceled: set[str] = set()
        self._may_take = True
        self._stopping = False
        self._turn = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = os.pipe()
        for end in (self._wake_in, self._wake_out):
            os.set_blocking(end, False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # ------------------------------------------------------------------ called by anybody

    def start(self) -> None:
        """Run what the source gives from now on."""
        self._thread.start()

    def wake(self) -> None:
        """Look for tasks that may run now; returns at once."""
        with self._turn:
            self._may_take = True
        self._nudge()

    def kill(self, task_id: str) -> None:
        """End the process of the task, if it runs here; returns at once."""
        with self._turn:
            self._canceled.add(task_id)
        self._nudge()

    def stop(self) -> None:
        """End all children, cancel their tasks, and return when that is written."""
        with self._turn:
            self._stopping = True
        self._nudge()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether tasks are looked after."""
        return self._thread.is_alive()

    @property
    def running(self) -> Mapping[str, int]:
        """The tasks that have a process here, and their attempts."""
        return {child.task.id: child.task.attempt for child in list(self._children.values())}

    def figures(self) -> dict[str, int]:
        """Return counts of what is there now; may be called from any thread."""
        return {
            "slots": self._slots,
            "busy": len(self._children),
            "updates": len(self._pending),
        }

    def _nudge(self) -> None:
        """Let the thread look at what changed."""
        # a full pipe nudges as well
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"\0")

    # ------------------------------------------------------------------ the supervisor's thread

    def _run(self) -> None:
        try:
            self._watch_over()
        except BaseException as error:
            # without this thread no task would ever end: better the whole process does
            self._log.error("the engine failed; the process stops", reason=repr(error))
            self._failed()
            raise

    def _watch_over(self) -> None:
        """Run tasks until told to stop, then end them."""
        written = 0.0
        while not self._stopping:
            due = max(written + _GROUPING - monotonic(), 0) if self._pending else None
            self._listen(self._bounded(due))
            self._kill_canceled()
            self._heed_lease()
            if self._pending and monotonic() - written >= _GROUPING:
                self._write()
                written = monotonic()
            self._take()
        self._end_all()

    def _bounded(self, due: float | None) -> float | None:
        """Return how long to wait at the most: for what is due, and for the end of the lease."""
        if self.lease is None or all(child.reason for child in self._children.values()):
            return due
        remaining = max(self.lease.remaining, 0)
        return remaining if due is None else min(due, remaining)

    def _heed_lease(self) -> None:
        """Kill all children when the lease has run out: others may be given their tasks soon."""
        if self.lease is None or self.lease.remaining > 0:
            return
        for child in self._children.values():
            child.reason = _NO_LEASE
            child.process.kill()

    def _listen(self, timeout: float | None) -> None:
        """Wait for news of children, for a nudge, or until time is up."""
        gone = []
        for key, _ in self._selector.select(timeout):
            if key.fd == self._wake_in:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_in, 4096)
            elif key.fd == key.data.pipe:
                if len(self._pending) < _PENDING:
                    self._read(key.data)
            else:
                gone.append(key.data)
        # last, since nothing can be read of a child once it is buried
        for child in gone:
            self._bury(child)

    def _read(self, child: _Child) -> bool:
        """Take what the child has told so far; False when there is no more for now."""
        if child.drained:
            return False
        try:
            data = os.read(child.pipe, _READ)
        except BlockingIOError:
            return False
        if not data:
            child.drained = True
            self._selector.unregister(child.pipe)
            return False
        for news in child.reader.feed(data):
            if isinstance(news, Progress):
                self._pending.append(
                    Update(task_id=child.task.id, attempt=child.task.attempt, news=news),
                )
            else:
                child.outcome = news
        return True

    def _bury(self, child: _Child) -> None:
        """Take the last news of a child that is gone, and let its task end."""
        while self._read(child):
            pass
        if not child.drained:
            # something that the body started still holds the other end
            self._selector.unregister(child.pipe)
        self._selector.unregister(child.process.sentinel)
        child.process.join()
        os.close(child.pipe)
        del self._children[child.task.id]
        self._bodies.clean_up(child.task)
        self._pending.append(
            Update(
                task_id=child.task.id,
                attempt=child.task.attempt,
                news=child.outcome
                or Lost(reason=child.reason or _how_it_ended(child.process.exitcode)),
            ),
        )
        child.process.close()

    def _kill_canceled(self) -> None:
        with self._turn:
            canceled, self._canceled = self._canceled, set()
        for task_id in canceled:
            if child := self._children.get(task_id):
                child.process.kill()

    def _write(self) -> None:
        """Write what is pending; keep it when the database refuses."""
        try:
            begun = self._source.record(self._pending, self._free())
        except Exception as error:  # noqa: BLE001 - nothing may be lost, whatever it is
            self._log.error(
                "task updates can't be written; trying again",
                pending=len(self._pending),
                reason=str(error),
            )
            threading.Event().wait(_RETRY)
            return
        self._pending = []
        # the source cancels what is begun as it closes
        for task in () if self._stopping else begun:
            self._start_child(task)

    def _free(self) -> int:
        """Return in how many slots tasks may begin now."""
        is_lost = self.lease is not None and self.lease.remaining <= 0
        return 0 if self._stopping or is_lost else self._slots - len(self._children)

    def _take(self) -> None:
        """Start as many tasks as there are free slots."""
        with self._turn:
            free = self._free()
            if not self._may_take or free <= 0:
                return
            self._may_take = False
        try:
            tasks = self._source.take(free)
        except Exception as error:  # noqa: BLE001 - tasks wait, the engine goes on
            self._log.error("tasks can't be claimed; trying again", reason=str(error))
            threading.Timer(_RETRY, self.wake).start()
            return
        for task in tasks:
            self._start_child(task)

    def _start_child(self, task: Task) -> None:
        bodies = self._bodies
        reading, writing = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run_child,
            args=(bodies.entry, bodies.surroundings, task, bodies.limits, writing),
            kwargs={"lease": self.lease},
            name=f"task {task.id}",
            daemon=True,
        )
        try:
            process.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, the task ends and says so
            reading.close()
            lost = Lost(reason=f"its process could not be started: {error}")
            self._pending.append(Update(task_id=task.id, attempt=task.attempt, news=lost))
            return
        finally:
            writing.close()
        pipe = os.dup(reading.fileno())
        reading.close()
        os.set_blocking(pipe, False)
        child = _Child(task=task, process=process, pipe=pipe)
        self._children[task.id] = child
        self._selector.register(pipe, selectors.EVENT_READ, child)
        self._selector.register(process.sentinel, selectors.EVENT_READ, child)

    def _end_all(self) -> None:
        """Kill every child, and cancel the tasks that had not ended."""
        children = list(self._children.values())
        for child in children:
            child.process.kill()
        for child in children:
            child.process.join()
            self._bury(child)
        self._pending = [update for update in self._pending if not isinstance(update.news, Lost)]
        if self._pending:
            self._write()
        self._source.close()


def _how_it_ended(exit_code: int | None) -> str:
    """Return the end of a process in words."""
    if exit_code == -signal.SIGALRM:
        return _NO_LEASE
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = "unknown"
    return f"killed by signal {-exit_code} ({name})"
