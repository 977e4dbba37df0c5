"""`pulpit worker`, started as a user would, in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.acceptance.server import ReadyProcess, Started
from tests.services import PATIENCE

__all__ = ["PulpitWorker"]

_START_SECONDS = 120.0


class PulpitWorker(Started):
    """One worker; a context manager that starts and stops it.

    Args:
        folder: for its configuration and its log.
        data: the data folder, which all workers and servers of the database share.
        url: of the PostgreSQL database; None for SQLite.
        name: under which it is known.
        config: text of a configuration file, beside that.
        engine: who is to run tasks.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        url: str | None,
        *,
        name: str = "w1",
        config: str = "",
        engine: str = "distributed",
    ) -> None:
        self.name = name
        database = f"[database]\nurl: {url}\n" if url else ""
        self._config = folder / f"{name}.conf"
        self._config.write_text(f"{database}[tasks]\nengine: {engine}\n{config}\n")
        self._log = folder / f"{name}.log"
        self._data = data
        self._running: ReadyProcess | None = None

    @property
    def process(self) -> ReadyProcess:
        """The process of the last start."""
        assert self._running is not None, "not started"
        return self._running

    @property
    def pid(self) -> int:
        """The id of the worker's process."""
        return self.process.process.pid

    def log(self) -> str:
        """Return what it wrote to its log, all starts together."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def launch(self) -> ReadyProcess:
        """Start the process, whatever becomes of it."""
        command = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
        command += ["worker", "--config", str(self._config), "--data", str(self._data)]
        command += ["--slots", "2", "--name", self.name]
        with self._log.open("ab") as log:
            self._running = ReadyProcess(command, environ=os.environ, stderr=log)
        return self._running

    def start(self) -> None:
        """Start the worker and return when it says that it is ready."""
        self.launch()
        self.await_ready()

    def await_ready(self) -> None:
        """Return when the worker says that it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message holds its log.
        """
        mark = f"Worker {self.name} is ready for 2 tasks at a time"
        try:
            self.process.wait_ready(mark, seconds=_START_SECONDS)
        except RuntimeError as error:
            raise RuntimeError(f"pulpit worker did not start: {error}\n{self.log()}") from None

    def refused(self) -> tuple[int, str]:
        """Start the worker, which is refused; return its exit code and its log."""
        code = self.launch().process.wait(_START_SECONDS)
        return code, self.log()

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._running is not None and self._running.process.poll() is None

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.process.kill()

    def stop(self) -> int:
        """End the worker in good order and return its exit code."""
        return self.process.terminate(seconds=PATIENCE)
