"""Workers in processes of their own, with the bodies of the tests, so that they can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.processes import children

__all__ = ["WorkerProcess", "started"]

_SCRIPT = "tests.integration.worker_script"


class WorkerProcess:
    """One worker.

    Args:
        url: of the database.
        name: of the worker.
        slots: how many tasks it runs at once.
        timeout: seconds after which it counts as lost.
        log: takes what it writes.
    """

    def __init__(self, url: str, name: str, *, slots: int, timeout: float, log: Path) -> None:
        self.name = name
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _SCRIPT, url, name, str(slots), str(timeout)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Return once it takes tasks."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def tasks(self) -> list[int]:
        """The processes of its tasks."""
        return children(self.pid)

    def kill(self) -> None:
        """End the worker alone, at once."""
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the worker alone."""
        self._process.send_signal(number)

    def send_all(self, number: signal.Signals) -> None:
        """Send a signal to the worker and all of its processes, as if to their machine."""
        os.killpg(self.pid, number)

    def end(self) -> int:
        """Tell it to stop; return its exit code."""
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        code = self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@contextmanager
def started(
    url: str, folder: Path, *names: str, slots: int, timeout: float
) -> Iterator[list[WorkerProcess]]:
    """Run workers of these names while the block runs."""
    workers = [
        WorkerProcess(url, name, slots=slots, timeout=timeout, log=folder / f"{name}.log")
        for name in names
    ]
    try:
        for worker in workers:
            worker.await_ready()
        yield workers
    finally:
        for worker in workers:
            worker.end()
