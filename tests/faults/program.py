"""A process of Pulpit's as a round sees it: it is started, killed, frozen and asked for its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.acceptance.server import ReadyProcess
from tests.faults.marked import MARKS
from tests.services import PATIENCE
from tests.services.processes import children, family

__all__ = ["Program"]

#: A start on a busy machine with two processors.
_START_SECONDS = 120.0
_ROOT = Path(__file__).parents[2]


class Program:
    """``pulpit serve`` or ``pulpit worker``.

    Args:
        name: of its configuration and its log in the folder.
        arguments: after ``pulpit``; each start may have others.
        ready: what it prints once it works.
        folder: where those files are, and the marks of tasks.
        prefix: what the command is started by.
        environ: more variables of its environment.
    """

    def __init__(
        self,
        name: str,
        *,
        ready: str,
        folder: Path,
        prefix: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._ready, self._folder, self._prefix = ready, folder, prefix
        self._environ = environ or {}
        self._running: ReadyProcess | None = None
        self._thawing: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._running is not None and self._running.process.poll() is None

    @property
    def was_ready(self) -> bool:
        """Whether it has worked since its last start."""
        return self._running is not None and any(
            self._ready in line for line in self._running.lines()
        )

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._started.process.pid

    @property
    def _started(self) -> ReadyProcess:
        assert self._running is not None, "not started"
        return self._running

    def log(self) -> str:
        """Return what it wrote to its log, all starts together."""
        path = self._log_path()
        return path.read_text(errors="replace") if path.exists() else ""

    def launch(self, arguments: Sequence[str], config: str) -> None:
        """Start it; one that runs is left alone."""
        if self.running:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [*self._prefix, sys.executable, "-m", "tests.faults.marked", *arguments]
        command += ["--config", str(self._write(config))]
        environ = {**os.environ, **self._environ, MARKS: str(self._folder / "marks")}
        with self._log_path().open("ab") as log:
            self._running = ReadyProcess(command, environ=environ, cwd=_ROOT, stderr=log)

    def await_ready(self) -> None:
        """Return when it works.

        Raises:
            RuntimeError: it ended, or did not in time; the message holds its log.
        """
        try:
            self._started.wait_ready(self._ready, seconds=_START_SECONDS)
        except RuntimeError as error:
            raise RuntimeError(f"{self.name} did not start: {error}\n{self.log()}") from None

    def reload(self, config: str) -> None:
        """Have it read another configuration, by SIGHUP; does not wait for it."""
        self._write(config)
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> int:
        """End it in good order and return its exit code.

        Raises:
            RuntimeError: it took too long and was killed; the message holds its log.
        """
        self.thaw()
        try:
            return self._started.terminate(seconds=PATIENCE)
        except RuntimeError as error:
            raise RuntimeError(f"{self.name} did not stop: {error}\n{self.log()}") from None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._started.kill()
        self.thaw()

    def kill_child(self) -> bool:
        """Kill the process of a task; return whether there was one."""
        for pid in children(self.pid):
            # it may have ended by itself a moment ago
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def freeze(self, *, whole: bool) -> None:
        """Stop it in its tracks; *whole* is with all processes that come from it."""
        pids = [self.pid, *(family(self.pid) if whole else ())]
        # it waits for our word, or our end: nobody else would wake them if this run is killed
        command = ["sh", "-c", 'cat; kill -CONT "$@"', "thaw", *map(str, pids)]
        self._thawing = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        for pid in pids:
            # it may have ended by itself a moment ago
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let what is frozen go on."""
        if self._thawing is not None:
            self._thawing.communicate()
            self._thawing = None

    def _write(self, config: str) -> Path:
        """Write the configuration file and return where."""
        path = self._folder / f"{self.name}.conf"
        path.write_text(config)
        return path

    def _log_path(self) -> Path:
        """Return where standard error goes."""
        return self._folder / f"{self.name}.log"
