"""The process that runs the body of one task."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any

from pulpit.domain.outcomes import Failed, Finished, Progress
from pulpit.domain.progress import ProgressGate
from pulpit.domain.tasks import Task
from pulpit.engine.frames import frame
from pulpit.engine.lease import Lease
from pulpit.errors import PulpitError

__all__ = ["ChildLimits", "Entry", "Reporter", "run_child"]

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """What one task's process may use."""

    #: Bytes of address space; 0 for no limit.
    memory: int
    #: Seconds of processor time; 0 for no limit.
    cpu_seconds: int
    #: Progress updates kept at once, and in each second after that (0 keeps all).
    progress_burst: int
    progress_per_second: float


class Reporter:
    """The child's end of the pipe; keeps as many progress updates as the limits say.

    Args:
        send: writes all of the bytes to the supervisor.
        gate: decides which updates are kept.
    """

    def __init__(self, send: Callable[[bytes], None], gate: ProgressGate) -> None:
        self._send = send
        self._gate = gate
        #: The newest report, told again with the end of the task.
        self.newest: Mapping[str, Any] | None = None
        # tasks report from threads of their own too
        self._turn = threading.Lock()

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        """Tell the whole progress report; see ``TaskContext.progress``."""
        with self._turn:
            self.newest = report
            if self._gate.keeps(boundary=boundary):
                self._send(frame(Progress(report=report)))

    def end(self, outcome: Finished | Failed) -> None:
        """Tell how the body ended."""
        with self._turn:
            self._send(frame(outcome))


#: Runs the body: gets the task and the reporter, returns result and effects.
Entry = Callable[[Task, Reporter, Any], tuple[Any, Mapping[str, Any]]]


def run_child(
    entry: Entry,
    surroundings: Any,
    task: Task,
    limits: ChildLimits,
    pipe: Connection,
    *,
    lease: Lease | None,
) -> None:
    """Run the body of *task* and tell the supervisor; never returns.

    Args:
        entry: what to run; the composition root provides it.
        surroundings: passed to *entry*; picklable.
        task: as it was claimed.
        limits: what this process may use.
        pipe: the writing end.
        lease: for how long this process may go on; None for as long as its parent.
    """
    _bind_to_parent(lease)
    _limit(limits)
    reporter = Reporter(
        lambda data: _write_all(pipe.fileno(), data),
        ProgressGate(
            burst=limits.progress_burst,
            per_second=limits.progress_per_second,
            now=monotonic,
        ),
    )
    with _telling_failure(reporter):
        result, effects = entry(task, reporter, surroundings)
        reporter.end(Finished(result=result, report=reporter.newest, effects=effects))
    # nothing of this process is needed any longer, and its end frees the reservations
    os._exit(0)


@contextlib.contextmanager
def _telling_failure(reporter: Reporter) -> Iterator[None]:
    """Tell the supervisor of an exception as the error of the task."""
    try:
        yield
    except MemoryError:
        error = PulpitError("The task needed more memory than [pulpit] task_memory allows.")
        reporter.end(
            Failed(error=error.to_dict(), traceback=None, report=reporter.newest),
        )
    except PulpitError as error:
        reporter.end(
            Failed(
                error=error.to_dict(),
                traceback=traceback.format_exc(),
                report=reporter.newest,
            ),
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the task's error
        told = PulpitError(f"{type(error).__name__}: {error}")
        reporter.end(
            Failed(
                error=told.to_dict(),
                traceback=traceback.format_exc(),
                report=reporter.newest,
            ),
        )


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of the bytes; blocks while the supervisor is behind."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _bind_to_parent(lease: Lease | None) -> None:
    """Let this process die with its worker or the worker's lease, and only with them."""
    # a Ctrl-C at the terminal is for the server, which ends its tasks in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the fork server ends with the worker, and this process with the fork server
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if lease is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        # before the body begins: the lease may have run out while this process was started
        lease.die_with_it()
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        while not wait([parent.sentinel], None if lease is None else lease.die_with_it()):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _limit(limits: ChildLimits) -> None:
    """Bound what this process may use."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.memory:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    if limits.cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds))
