"""The same server over either storage and either engine, for tests of tasks and events."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.acceptance.server import PulpitServer
from tests.acceptance.worker import PulpitWorker
from tests.services.postgresql import PostgresServer

__all__ = ["Kind", "Setup", "lent_setup"]

#: A worker that was killed is missed after so many seconds, the fewest that can be set.
_TIMEOUT = 3


class Kind(StrEnum):
    """A storage with an engine."""

    #: SQLite and the embedded engine: a laptop.
    SQLITE = "sqlite"
    #: PostgreSQL and the embedded engine: one server.
    POSTGRESQL = "postgresql"
    #: PostgreSQL, the distributed engine and a worker.
    DISTRIBUTED = "distributed"


class Setup:
    """Makes servers that share one database.

    Args:
        kind: which storage and engine.
        postgresql: where the database is; None with SQLite, where each data folder has its own.
    """

    def __init__(self, kind: Kind, postgresql: PostgresServer | None) -> None:
        self.kind, self._postgresql = kind, postgresql
        self._url = postgresql.lend_pulpit() if postgresql else None

    def server(
        self, data: Path, config: str = "", *, url: str | None = None, **more: Any
    ) -> PulpitServer:
        """Return a server that is still to be started, as ``PulpitServer`` does.

        Args:
            data: the data folder.
            config: text of the configuration file; of a worker there is none.
            url: of the same database with other credentials, all of which are let in.
            more: what ``PulpitServer`` takes.
        """
        if self._url is None:
            return PulpitServer(data, config, **more)
        worker = self.kind is Kind.DISTRIBUTED
        return _SharedServer(data, config, url=url or self._url, worker=worker, **more)

    def with_password(self, password: str) -> str | None:
        """Return the database's URL with a password, since any will do; None with SQLite."""
        return self._url and self._url.replace("pulpit@", f"pulpit:{quote(password, safe='')}@", 1)

    def close(self) -> None:
        """Give the database back; no server may run."""
        if self._postgresql and self._url:
            self._postgresql.give_back(self._url)


@contextlib.contextmanager
def lent_setup(request: pytest.FixtureRequest) -> Iterator[Setup]:
    """Give the setup of the kind that is the fixture's parameter."""
    kind = Kind(request.param)
    server: PostgresServer | None = None
    if kind is not Kind.SQLITE:
        server = request.getfixturevalue("postgresql_session")
        server.start()
    with contextlib.closing(Setup(kind, server)) as setup:
        yield setup


class _SharedServer(PulpitServer):
    """A server over PostgreSQL, with its worker if it has one: both start and end together."""

    def __init__(self, data: Path, config: str, *, url: str, worker: bool, **more: Any) -> None:
        environ: Mapping[str, str] = more.pop("environ", None) or {}
        settings = {
            "PULPIT_DATABASE_URL": url,
            "PULPIT_TASKS_ENGINE": "distributed" if worker else "embedded",
            "PULPIT_TASKS_WORKER_TIMEOUT": str(_TIMEOUT),
        }
        super().__init__(data, config, environ={**environ, **settings}, **more)
        self._url = url
        self._worker: PulpitWorker | None = None
        if worker:
            data.parent.mkdir(parents=True, exist_ok=True)
            self._worker = PulpitWorker(
                data.parent, data, url, name=f"{data.name}-w1", config=f"worker_timeout: {_TIMEOUT}"
            )

    @property
    def runner(self) -> int:
        return self._worker.pid if self._worker else self.pid

    def launch(self) -> None:
        super().launch()
        if self._worker:
            self._worker.launch()

    def await_ready(self) -> None:
        super().await_ready()
        if self._worker:
            self._worker.await_ready()

    def stop(self) -> int:
        # what its tasks become is told by the server
        if self._worker and self._worker.running:
            self._worker.stop()
        return super().stop()

    def kill(self) -> None:
        super().kill()
        if self._worker:
            self._worker.kill()

    def log(self) -> str:
        return super().log() + (self._worker.log() if self._worker else "")

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            return connection.execute(statement.encode()).fetchall()
