"""The real server, started as a user would, in a process of its own."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pulpit.client import Client
from tests.services import free_ports

__all__ = ["PulpitServer"]

#: A start on a busy machine with two processors.
_START_SECONDS = 40.0
_STOP_SECONDS = 20.0


class PulpitServer:
    """`pulpit serve` on free ports of 127.0.0.1; a context manager that starts and stops it.

    Args:
        data: the data folder; a server on the same folder again goes on where this one ended.
        config: text of a configuration file, beside what the server needs here.
        door: whether events are on and the AMQP door is open.
        arguments: more arguments of `pulpit serve`.
        environ: more variables of its environment.
    """

    user = "admin"
    password = "acceptance"

    def __init__(
        self,
        data: Path,
        config: str = "",
        *,
        door: bool = True,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.port, self.door_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        #: For consumers; guest is let in only where *config* says so.
        self.door_url = f"amqp://{self.user}:{self.password}@127.0.0.1:{self.door_port}//"
        self._config, self._environ = config, dict(environ or {})
        flags = ["--events", "--door", f"127.0.0.1:{self.door_port}"] if door else []
        self._arguments = [*flags, *arguments]
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        #: What it wrote to standard output since its last start.
        self.output: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def client(self) -> Client:
        """Return a client of the first user, to be closed by the caller."""
        return Client(self.url, auth=(self.user, self.password))

    def environ(self) -> dict[str, str]:
        """Return the environment in which `pulpit` commands speak to this server."""
        return {
            **os.environ,
            "PULPIT_URL": self.url,
            "PULPIT_USER": self.user,
            "PULPIT_PASSWORD": self.password,
        }

    def log(self) -> str:
        """Return what it wrote to its log, all starts together."""
        path = self._log_path()
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start the server and return when it says that it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message holds its log.
        """
        self._launch()
        deadline = time.monotonic() + _START_SECONDS
        while not any(self.url in line for line in self.output):
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                msg = f"pulpit serve did not start:\n{''.join(self.output)}{self.log()}"
                raise RuntimeError(msg)
            self.output.append(line)

    def stop(self) -> int:
        """End the server in good order and return its exit code."""
        assert self._process is not None
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            msg = f"pulpit serve did not stop within {_STOP_SECONDS} s:\n{self.log()}"
            raise RuntimeError(msg) from None

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _log_path(self) -> Path:
        """Return where standard error goes: beside the data folder, which a test may compare."""
        return self.data.with_name(f"{self.data.name}.log")

    def _launch(self) -> None:
        """Start the process and begin to read what it writes."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        config = self.data.with_name(f"{self.data.name}.conf")
        config.write_text(f"[server]\ndefault_password: {self.password}\n{self._config}\n")
        command = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
        command += ["serve", "--config", str(config), "--data", str(self.data)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *self._arguments]
        # util-linux; without it, a killed test run leaves its server behind
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self._log_path().open("ab") as log:
            self._process = subprocess.Popen(
                [*guard, *command],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.output, self._lines = [], queue.Queue()
        reader = threading.Thread(target=self._read, args=(self._process, self._lines), daemon=True)
        reader.start()

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        """Pass on what the process writes, and None at its end."""
        assert process.stdout is not None
        with process.stdout as stdout:
            for line in stdout:
                lines.put(line)
        lines.put(None)
