"""The real server, started as a user would, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, Self

from pulpit.client import Client
from tests.services import PATIENCE, free_ports

__all__ = ["PulpitServer", "ReadyProcess", "Started"]

#: A start on a busy machine with two processors, where many processes may start at once.
_START_SECONDS = 120.0


class ReadyProcess:
    """A process whose output is read as it comes.

    Args:
        command: program and arguments.
        cwd: where it runs; None is here.
        environ: all of its environment.
        stderr: where its standard error goes; None joins standard output.
        stdin: descriptor of its standard input.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: Path | None = None,
        stderr: IO[bytes] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        # util-linux; without it, a killed test run leaves its processes behind
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(
            [*guard, *command],
            cwd=cwd,
            env={**environ, "PYTHONUNBUFFERED": "1"},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if stderr is None else stderr,
            text=True,
        )
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def lines(self) -> list[str]:
        """Return the lines that were printed so far."""
        with self._changed:
            return list(self._lines)

    def wait_for(self, wanted: Callable[[Sequence[str]], bool], *, seconds: float) -> bool:
        """Return whether the lines became what is wanted before the end, and in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or wanted(self._lines), seconds)
            return wanted(self._lines)

    @property
    def ended(self) -> bool:
        """Whether all that the process wrote was read, and it has ended."""
        with self._changed:
            return self._ended

    def wait_ready(self, mark: str, *, seconds: float) -> str:
        """Return what was printed once a line holds *mark*.

        Raises:
            RuntimeError: the process has ended, or did not print it in time.
        """
        ready = self.wait_for(lambda lines: any(mark in line for line in lines), seconds=seconds)
        output = "".join(self.lines())
        if not ready:
            self.terminate(seconds=5)
            raise RuntimeError(f"not ready: {output}")
        return output

    def terminate(self, *, seconds: float) -> int:
        """End the process by SIGTERM and return its exit code.

        Raises:
            RuntimeError: it had to be killed.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"still there {seconds} s after SIGTERM") from None
        finally:
            self._reader.join(10)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        """Keep what the process writes until its end."""
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self._keep(line)
        self._keep(None)

    def _keep(self, line: str | None) -> None:
        """Keep a line; None is the end."""
        with self._changed:
            if line is None:
                self._ended = True
            else:
                self._lines.append(line)
            self._changed.notify_all()


class Started(Protocol):
    """Runs while a block does: started at its begin, stopped at its end."""

    def start(self) -> None:
        """Start, and return when all is ready."""

    def stop(self) -> object:
        """End in good order."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


class PulpitServer(Started):
    """`pulpit serve` on free ports of 127.0.0.1; a context manager that starts and stops it.

    Args:
        data: the data folder; a server on the same folder again goes on where this one ended.
        config: text of a configuration file, beside what the server needs here.
        door: whether events are on and the AMQP door is open.
        arguments: more arguments of `pulpit serve`.
        environ: more variables of its environment.
        stdin: descriptor of its standard input.
        cafile: the authority of the certificate that *config* names; None for one without TLS.
        name: of its configuration and its log beside the data folder; else that of the folder,
            which several servers may share.
        password: of the first user.
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
        stdin: int = subprocess.DEVNULL,
        cafile: Path | None = None,
        name: str | None = None,
        password: str = password,
    ) -> None:
        self.password = password
        self.data, self._stdin, self._cafile = data, stdin, cafile
        self._name = name or data.name
        self.port, self.door_port = free_ports(2)
        self.url = f"{'https' if cafile else 'http'}://127.0.0.1:{self.port}"
        #: For consumers; guest is let in only where *config* says so.
        self.door_url = f"amqp://{self.user}:{self.password}@127.0.0.1:{self.door_port}//"
        self._config, self._environ = config, dict(environ or {})
        flags = ["--events", "--door", f"127.0.0.1:{self.door_port}"] if door else []
        self._arguments = [*flags, *arguments]
        self._running: ReadyProcess | None = None

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        return self._started.process.pid

    @property
    def runner(self) -> int:
        """The id of the process that starts those of tasks."""
        return self.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._running is not None and self._running.process.poll() is None

    @property
    def output(self) -> list[str]:
        """What it wrote to standard output since its last start, line by line."""
        return self._started.lines()

    @property
    def _started(self) -> ReadyProcess:
        """The process of the last start."""
        assert self._running is not None, "not started"
        return self._running

    def client(self) -> Client:
        """Return a client of the first user, to be closed by the caller."""
        return Client(self.url, auth=(self.user, self.password), cafile=self._cafile)

    def environ(self) -> dict[str, str]:
        """Return the environment in which `pulpit` commands speak to this server."""
        return {
            **os.environ,
            "PULPIT_URL": self.url,
            "PULPIT_USER": self.user,
            "PULPIT_PASSWORD": self.password,
            **({"PULPIT_CAFILE": str(self._cafile)} if self._cafile else {}),
        }

    def log(self) -> str:
        """Return what it wrote to its log, all starts together."""
        path = self._log_path()
        return path.read_text(errors="replace") if path.exists() else ""

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return what a query finds in the database, which the server need not be up for."""
        with contextlib.closing(sqlite3.connect(self.data / "pulpit.db")) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]

    def start(self) -> None:
        """Start the server and return when it says that it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message holds its log.
        """
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process, whatever becomes of it."""
        self._running = self._launch()

    def await_ready(self) -> None:
        """Return when the server says that it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message holds its log.
        """
        try:
            self._started.wait_ready(self.url, seconds=_START_SECONDS)
        except RuntimeError as error:
            raise RuntimeError(f"pulpit serve did not start: {error}\n{self.log()}") from None

    def refused(self) -> tuple[int, str]:
        """Start the server, which is refused; return its exit code and its log."""
        self.launch()
        return self._started.process.wait(_START_SECONDS), self.log()

    def stop(self) -> int:
        """End the server in good order and return its exit code.

        Raises:
            RuntimeError: it took too long and was killed; the message holds its log.
        """
        try:
            return self._started.terminate(seconds=PATIENCE)
        except RuntimeError as error:
            raise RuntimeError(f"pulpit serve did not stop: {error}\n{self.log()}") from None

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._started.kill()

    def configure(self, config: str) -> None:
        """Set the text of the configuration for the next start."""
        self._config = config

    def reload(self, config: str) -> None:
        """Have the running server read another configuration, by SIGHUP; does not wait for it."""
        self.configure(config)
        self._write_config()
        os.kill(self.pid, signal.SIGHUP)

    def _write_config(self) -> Path:
        """Write the configuration file and return where."""
        config = self.data.with_name(f"{self._name}.conf")
        config.write_text(f"[server]\ndefault_password: {self.password}\n{self._config}\n")
        return config

    def _log_path(self) -> Path:
        """Return where standard error goes: beside the data folder, which a test may compare."""
        return self.data.with_name(f"{self._name}.log")

    def _launch(self) -> ReadyProcess:
        """Start the process and begin to read what it writes."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        config = self._write_config()
        command = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
        command += ["serve", "--config", str(config), "--data", str(self.data)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), *self._arguments]
        with self._log_path().open("ab") as log:
            environ = {**os.environ, **self._environ}
            return ReadyProcess(command, environ=environ, stderr=log, stdin=self._stdin)
