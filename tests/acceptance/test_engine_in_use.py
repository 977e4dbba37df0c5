"""Over one database there are one embedded engine or many processes of the other, never both."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from pulpit.cli.exits import ExitCode
from pulpit.errors import DatabaseUnavailable
from pulpit.storage.locks import AdvisoryLock
from pulpit.storage.postgresql import PostgresStorage
from tests.acceptance.server import PulpitServer
from tests.acceptance.worker import PulpitWorker
from tests.services import until
from tests.services.postgresql import PostgresServer

_HELD = text("SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND objid = :key AND granted")
#: The server and the worker.
_PROCESSES = 2


class _Site:
    """Makes servers and workers of either engine on one database and folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._data = folder / "data"

    def server(self, engine: str, name: str = "s1") -> PulpitServer:
        """Return a server that is not started."""
        source = "[events]\nsource: http://pulpit.example.com\n"
        database = f"[database]\nurl: {self._url}\n[tasks]\nengine: {engine}\n"
        return PulpitServer(self._data, source + database, door=False, name=name)

    def worker(self) -> PulpitWorker:
        """Return a worker that is not started."""
        return PulpitWorker(self._folder, self._data, self._url)


@pytest.fixture
def site(postgresql_url: str, tmp_path: Path) -> _Site:
    """Return a site without a process."""
    return _Site(tmp_path, postgresql_url)


def _is_refused(server: PulpitServer) -> str:
    """Start a server that is refused, and return its log."""
    code, log = server.refused()
    assert code == ExitCode.CANNOT_START, log
    assert "Traceback" not in log
    return log


def _holders(storage: PostgresStorage) -> int:
    """Return how many processes share the right to run tasks; none while the database is away."""
    try:
        with storage.read() as transaction:
            values = {"key": AdvisoryLock.ENGINE & 0xFFFFFFFF}
            return int(transaction.connection.execute(_HELD, values).scalar_one())
    except DatabaseUnavailable:
        return 0


def test_beside_the_embedded_engine_there_is_nobody(site: _Site) -> None:
    """Neither a second one, nor a server or a worker of the distributed engine."""
    with site.server("embedded"):
        for engine in ("embedded", "distributed"):
            assert "the embedded engine runs" in _is_refused(site.server(engine, f"s-{engine}"))
        code, log = site.worker().refused()
        assert code == ExitCode.CANNOT_START
        assert "the embedded engine runs" in log


def test_beside_servers_of_the_distributed_engine_there_is_no_embedded_one(site: _Site) -> None:
    """Even without a worker: their leader would cancel what the embedded engine runs."""
    with site.server("distributed"), site.server("distributed", "s2"):
        log = _is_refused(site.server("embedded", "s3"))
        assert "Servers or workers of the distributed engine run" in log


def test_a_worker_alone_keeps_the_embedded_engine_away(site: _Site) -> None:
    """A worker has tasks of servers that are gone."""
    with site.worker():
        log = _is_refused(site.server("embedded"))
        assert "Servers or workers of the distributed engine run" in log


def test_processes_of_the_distributed_engine_return_after_a_restart_of_the_database(
    site: _Site, postgresql: PostgresServer, postgresql_url: str
) -> None:
    """They hold their right again, and an embedded engine is still refused."""
    with (
        site.server("distributed") as server,
        site.worker() as worker,
        PostgresStorage(postgresql_url, connections=1) as storage,
    ):
        until(lambda: _holders(storage) == _PROCESSES)
        postgresql.restart()
        until(lambda: _holders(storage) == _PROCESSES, "both hold their right again")
        _is_refused(site.server("embedded", "s2"))
        assert server.running
        assert worker.running
