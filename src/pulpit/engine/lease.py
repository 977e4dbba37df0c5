"""Until when a worker and the processes of its tasks may go on without word from the database."""

from __future__ import annotations

import ctypes
import os
import signal
import time

# what unpickling a lease imports: here, so that the fork server has it for all processes of tasks
from multiprocessing import popen_forkserver, sharedctypes  # noqa: F401
from multiprocessing.context import BaseContext

__all__ = ["Lease", "now"]


def now() -> float:
    """Return seconds since the machine was started, those that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The end of the lease, in memory that a worker shares with the processes of its tasks.

    Args:
        context: what starts those processes.
        seconds: for which it holds from each renewal.
    """

    def __init__(self, context: BaseContext, *, seconds: float) -> None:
        self._until = context.RawValue(ctypes.c_double, 0.0)
        self._seconds = seconds

    @property
    def seconds(self) -> float:
        """For how long it holds from each renewal."""
        return self._seconds

    @property
    def remaining(self) -> float:
        """The seconds that are left; none is left at 0 and below."""
        return self._until.value - now()

    def renew(self, *, since: float) -> None:
        """Let it hold anew from *since*, the time before the database was asked."""
        self._until.value = since + self._seconds

    def end(self) -> None:
        """Let it hold no longer."""
        self._until.value = 0.0

    def die_with_it(self) -> float:
        """Have this process killed at the end of the lease as it is now.

        Returns the seconds after which to call this again, so that a renewal counts. The kernel's
        timer needs no turn of the interpreter, and a process that was frozen meanwhile runs into
        it before it does anything else.
        """
        remaining = self.remaining
        if remaining <= 0:
            os.kill(os.getpid(), signal.SIGALRM)
        signal.setitimer(signal.ITIMER_REAL, max(remaining, 0.001))
        return remaining / 2
