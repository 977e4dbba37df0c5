"""Servers and workers over one PostgreSQL database and one folder, as a user starts them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.server import PulpitServer, Started
from tests.acceptance.worker import PulpitWorker

__all__ = ["PulpitHouse"]

_SOURCE = "http://pulpit.example.com"


class PulpitHouse(Started):
    """Several processes of one installation; a context manager that starts and stops them.

    They share database, data folder and configuration; ``house.servers`` and ``house.workers``
    can be killed, frozen, stopped and started one by one.

    Args:
        folder: empty; for the data folder, configurations and logs.
        url: of a PostgreSQL database with this version's schema.
        servers: how many there are; ``s1``, ``s2``, …
        workers: how many there are; ``w1``, ``w2``, …; 0 for one server with the embedded engine.
        config: text of the configuration file of all of them, without [database], [tasks] engine
            and workers.
        door: whether events are on and every server has a door.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        servers: int = 2,
        workers: int = 2,
        config: str = "",
        door: bool = False,
    ) -> None:
        self.folder, self.url = folder, url
        #: What all processes share.
        self.data = folder / "data"
        engine = "distributed" if workers else "embedded"
        shared = f"[database]\nurl: {url}\n[events]\nsource: {_SOURCE}\n"
        self.servers: Sequence[PulpitServer] = [
            PulpitServer(
                self.data,
                f"{shared}[tasks]\nengine: {engine}\n{config}",
                door=door,
                name=f"s{number}",
            )
            for number in range(1, servers + 1)
        ]
        self.workers: Sequence[PulpitWorker] = [
            PulpitWorker(folder, self.data, url, name=f"w{number}", config=config)
            for number in range(1, workers + 1)
        ]

    @property
    def _everybody(self) -> Sequence[PulpitServer | PulpitWorker]:
        return [*self.servers, *self.workers]

    def start(self) -> None:
        """Start all processes at once, and return when all of them are ready.

        Raises:
            RuntimeError: one is not ready in time; the message holds its log.
        """
        try:
            for process in self._everybody:
                process.launch()
            for process in self._everybody:
                process.await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End all processes that live, in good order: workers first."""
        with contextlib.ExitStack() as stack:
            for process in self._everybody:
                if process.running:
                    stack.callback(process.stop)

    def kill(self) -> None:
        """End all processes that live, at once."""
        for process in self._everybody:
            if process.running:
                process.kill()

    def log(self) -> str:
        """Return what all of them wrote to their logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted(self.folder.glob("*.log"))
        )
