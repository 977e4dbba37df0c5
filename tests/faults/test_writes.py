"""Who wrote what, as PostgreSQL itself notes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import Task
from pulpit.storage.postgresql import PostgresStorage
from tests.faults.machines import database_of
from tests.faults.verdict import Verdict
from tests.faults.writes import judge_writes, read_writes, watch_writes, with_name_of
from tests.services import missing
from tests.services.postgresql import installed

_TASK = Task(
    id="7e1d1a2c-0000-4000-8000-000000000000",
    oid="0" * 24,
    task_type="a.b.sync",
    operation="sync",
    resources=("repository:zoo",),
    created=utc_now(),
    attempt=3,
)
_WRITE = "DELETE FROM units"


@pytest.fixture(name="url")
def _url() -> Iterator[str]:
    """Yield the URL of a database whose writes are noted."""
    if not installed():
        missing("postgresql")
    with tempfile.TemporaryDirectory(prefix="pulpit-faults-") as folder:
        Path(folder).chmod(0o755)
        server = database_of(Path(folder), None)
        server.start()
        try:
            url = server.create_pulpit()
            with psycopg.connect(url) as connection:
                watch_writes(connection)
            with PostgresStorage(url) as storage, storage.write() as transaction:
                transaction.tasks.add(_TASK)
            yield url
        finally:
            server.stop()


def _write(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(_WRITE)


def _release(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM reservations")


def _fenced(url: str) -> int:
    """Return how many writes came from a dead attempt."""
    verdict = Verdict()
    with psycopg.connect(url) as connection:
        judge_writes(*read_writes(connection), verdict)
    return len(verdict.found["fenced_writes"])


def test_writes_are_noted_by_attempt(url: str) -> None:
    """Only what processes of tasks write is noted, with the attempt they are of."""
    _write(url)
    _write(with_name_of(_TASK, url))
    with psycopg.connect(url) as connection:
        writes, releases = read_writes(connection)
    assert [(one.task, one.attempt, one.table) for one in writes] == [(_TASK.id, 3, "units")]
    assert not releases


def test_write_after_the_release_is_found(url: str) -> None:
    """The order is that of the commits, whatever was begun first."""
    named = with_name_of(_TASK, url)
    with psycopg.connect(named) as early:
        early.execute(_WRITE)
    with psycopg.connect(named) as slow:
        slow.execute(_WRITE)
        _release(url)
        assert _fenced(url) == 0
    assert _fenced(url) == 1
