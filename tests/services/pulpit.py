"""A server of our own, as a user starts it: ``pulpit serve`` in processes of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pulpit.client import Client, ClientError, TaskReport
from tests.services import free_ports

__all__ = ["LOGIN", "PASSWORD", "Pulpit"]

LOGIN, PASSWORD = "admin", "sesame"
_START_SECONDS = 30
_END_SECONDS = 30


class Pulpit:
    """``pulpit serve`` with data, configuration and log in *folder*; a context manager.

    Args:
        folder: may hold the data of an earlier server, which then goes on with it.
        settings: section to key to value, beside port and credentials.
        arguments: more arguments of the command.
        port: where it listens; a free one by default.

    Raises:
        RuntimeError: it does not start; the message has its log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        arguments: tuple[str, ...] = (),
        port: int | None = None,
    ) -> None:
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = port or free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "server.conf"
        self._arguments = arguments
        folder.mkdir(parents=True, exist_ok=True)
        self._configure(settings or {})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return the number of the server's first process."""
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [
                    Path(sys.executable).with_name("pulpit"),
                    "serve",
                    f"--config={self.config}",
                    f"--data={self.data}",
                    *self._arguments,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.client = Client(self.url, auth=(LOGIN, PASSWORD))
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """End it as an operator does, by SIGTERM, and return its exit status."""
        self.client.close()
        self._process.terminate()
        try:
            return self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it as a power cut does, by SIGKILL, and return its exit status."""
        self.client.close()
        self._process.kill()
        return self._process.wait()

    def finished(self, task_id: str, *, seconds: float = 60.0) -> TaskReport:
        """Return the report of the task once it is complete, whatever its state.

        Raises:
            TimeoutError: it is not complete after that time.
        """
        deadline = time.monotonic() + seconds
        while not (report := self.client.task(task_id)).state.is_complete:
            if time.monotonic() > deadline:
                raise TimeoutError(f"task {task_id} is still {report.state} after {seconds} s")
            time.sleep(0.02)
        return report

    def _configure(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the configuration."""
        server = {"port": self.port, "default_login": LOGIN, "default_password": PASSWORD}
        sections = {**settings, "server": {**server, **settings.get("server", {})}}
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{key}: {value}" for key, value in values.items())]
        self.config.write_text("\n".join(lines) + "\n")
        self.config.chmod(0o600)

    def _wait(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.client.status()
            except ClientError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self.log.read_text()
                    raise RuntimeError(f"pulpit serve does not answer ({error}):\n{said}") from None
                time.sleep(0.05)
            else:
                return
