"""What the doctor finds about a PostgreSQL database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pulpit import config
from pulpit.app.doctor.findings import examine
from pulpit.app.doctor.house import House
from pulpit.app.doctor.shared import SharedDatabase
from pulpit.domain.findings import Finding, Outcome
from pulpit.events.amqp import CURSOR
from pulpit.storage.engine_lock import EngineLock
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.shared_folder import MARKER, join_folder
from tests.contract.databases import append, new_event
from tests.services import PATIENCE
from tests.services.postgresql import PostgresServer

#: Looks at a database, with other settings by variable; returns the findings by check.
Look = Callable[..., dict[str, Finding]]


@pytest.fixture
def look(postgresql_url: str, tmp_path: Path) -> Look:
    """Return what looks at a data folder and a database."""

    def at(
        url: str = postgresql_url, *, publishes: bool = False, **more: str
    ) -> dict[str, Finding]:
        environ = {"PULPIT_DATABASE_URL": url, "PULPIT_STORAGE_DATA": str(tmp_path), **more}
        made = House(config.load(None, environ=environ), publishes=publishes)
        return {found.check: found for found in examine("This machine", made.checks())}

    return at


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def changed(postgresql: PostgresServer) -> Iterator[str]:
    """Yield the URL of a database of its own, to be changed."""
    url = postgresql.create_pulpit()
    yield url
    postgresql.drop_database(url)


def test_database_that_is_well(look: Look) -> None:
    """Nobody leads yet, and that is all there is to say."""
    found = look()
    assert {name for name, each in found.items() if each.outcome is Outcome.NOTE} == {"leader"}
    assert not any(each.outcome is Outcome.FAILED for each in found.values()), found
    assert found["workers"].outcome is Outcome.SKIPPED
    assert found["journal"].detail == "empty"


def test_one_cause_is_told_once(look: Look, postgresql: PostgresServer) -> None:
    """What needs the database is skipped; no password is shown."""
    url = postgresql.url("nowhere").replace("pulpit@", "pulpit:hush@")
    found = look(url)
    assert [name for name, each in found.items() if each.outcome is Outcome.FAILED] == ["database"]
    assert 'database "nowhere" does not exist' in found["database"].detail
    assert "CREATE DATABASE" in found["database"].fix
    assert "hush" not in repr(found)


def test_schema_that_is_due_must_be_mended(look: Look, postgresql: PostgresServer) -> None:
    """The command is named."""
    url = postgresql.url(postgresql.create_database())
    found = look(url)
    assert found["schema"].outcome is Outcome.FAILED
    assert "pulpit db upgrade" in found["schema"].fix
    assert found["journal"].outcome is Outcome.SKIPPED
    postgresql.drop_database(url)


def test_newer_schema_must_be_mended(look: Look, changed: str) -> None:
    """Unless it lets this version in."""
    _execute(changed, "UPDATE alembic_version SET version_num = '9999'")
    assert look(changed)["schema"].outcome is Outcome.OK
    _execute(changed, "UPDATE settings SET value = '9998' WHERE name = 'schema.oldest_code'")
    assert "9999" in look(changed)["schema"].detail
    assert look(changed)["schema"].outcome is Outcome.FAILED


def test_database_that_takes_no_writes_must_be_mended(look: Look, changed: str) -> None:
    """As when somebody has set it so, or it is a standby."""
    name = changed.rpartition("/")[2]
    _execute(changed, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "takes no writes" in look(changed)["postgresql"].detail


def test_workers(look: Look, postgresql_url: str) -> None:
    """None is a problem; one that is silent is named."""
    distributed = {"PULPIT_TASKS_ENGINE": "distributed"}
    assert look(**distributed)["workers"].outcome is Outcome.FAILED
    now = "extract(epoch FROM clock_timestamp()) * 1000000"
    insert = (
        "INSERT INTO workers (name, incarnation, slots, timeout, started, heartbeat) "
        "VALUES ('{}', 'x', 4, 30, 0, {} - {} * 1000000)"
    )
    _execute(postgresql_url, insert.format("w1@a", now, 0))
    assert look(**distributed)["workers"].detail == "1 with 4 slots"
    _execute(postgresql_url, insert.format("w2@b", now, 20))
    found = look(**distributed)["workers"]
    assert found.outcome is Outcome.NOTE
    assert "2 with 8 slots" in found.detail
    assert "w2@b" in found.detail
    assert "w1@a" not in found.detail


def test_engines_that_do_not_go_together(look: Look, postgresql_url: str) -> None:
    """What a start would refuse is told: an embedded engine beside workers, or the other way."""
    distributed = {"PULPIT_TASKS_ENGINE": "distributed"}
    with EngineLock(postgresql_url, alone=True, lost=lambda: None):
        assert look()["workers"].outcome is Outcome.SKIPPED
        found = look(**distributed)["workers"]
        assert found.outcome is Outcome.FAILED
        assert "embedded" in found.detail
    with EngineLock(postgresql_url, alone=False, lost=lambda: None):
        assert look()["workers"].outcome is Outcome.FAILED
        assert "start one" in look(**distributed)["workers"].fix
    _execute(postgresql_url, "INSERT INTO workers VALUES ('w1@a', 'x', 4, 30, 0, 0)")
    found = look()["workers"]
    assert found.outcome is Outcome.FAILED
    assert "w1@a" in found.detail
    assert "engine: distributed" in found.fix


def test_another_data_folder_must_be_mended(
    look: Look, postgresql_url: str, tmp_path: Path
) -> None:
    """The one that servers and workers use is told from one that was not mounted."""
    assert look()["shared_folder"].outcome is Outcome.SKIPPED
    with PostgresStorage(postgresql_url) as storage:
        join_folder(tmp_path, storage.settle)
    assert look()["shared_folder"].outcome is Outcome.OK
    (tmp_path / MARKER).unlink()
    found = look()["shared_folder"]
    assert found.outcome is Outcome.FAILED
    assert "mount the shared one" in found.fix


def test_folder_of_a_postgresql_database_without_its_url(tmp_path: Path) -> None:
    """A server would not start there on SQLite."""
    (tmp_path / MARKER).write_text("a name\n")
    made = House(config.load(None, environ={"PULPIT_STORAGE_DATA": str(tmp_path)}))
    found = {each.check: each for each in examine("This machine", made.checks())}["data_folder"]
    assert found.outcome is Outcome.FAILED
    assert "[database] url" in found.fix


def test_leader(look: Look, postgresql_url: str) -> None:
    """Who holds the lease leads, until it ends."""
    with PostgresStorage(postgresql_url) as storage:
        assert storage.leases.take("leader", "server-7@a/first", seconds=60)
        assert look()["leader"].detail == "server-7@a"
        storage.leases.release("leader", "server-7@a/first")
    assert look()["leader"].outcome is Outcome.NOTE


def test_journal_and_how_late_the_broker_is(look: Look, postgresql_url: str) -> None:
    """In numbers and in seconds."""
    then = datetime.now(UTC) - timedelta(hours=1)
    with PostgresStorage(postgresql_url) as storage:
        append(storage, *(new_event(time=then) for _ in range(4)))
        assert look(publishes=True)["publisher_lag"].outcome is Outcome.SKIPPED
        storage.cursors.save(CURSOR, 1)
        found = look(publishes=True)
        assert found["journal"].detail == "events 1 to 4"
        assert found["publisher_lag"].detail.startswith("3 behind, the oldest for 3,60")
        assert found["publisher_lag"].outcome is Outcome.FAILED
        storage.cursors.save(CURSOR, 4)
        assert look(publishes=True)["publisher_lag"].outcome is Outcome.OK


def test_long_transactions_and_who_waits_are_told(postgresql_url: str, tmp_path: Path) -> None:
    """With the process to end."""
    environ = {"PULPIT_DATABASE_URL": postgresql_url, "PULPIT_STORAGE_DATA": str(tmp_path)}
    made = SharedDatabase(
        settings=config.load(None, environ=environ),
        publishes=False,
        long_seconds=0,
        stuck_seconds=0,
    )

    def use() -> Finding:
        return next(it for it in examine("g", made.checks()) if it.check == "database_use")

    waiting = threading.Event()
    with ThreadPoolExecutor() as pool, psycopg.connect(postgresql_url) as holder:
        holder.execute("LOCK TABLE users")
        holding = holder.info.backend_pid
        assert f"process {holding}" in use().detail

        def wait() -> None:
            with psycopg.connect(postgresql_url) as other:
                waiting.set()
                other.execute("SELECT count(*) FROM users")

        done = pool.submit(wait)
        assert waiting.wait(PATIENCE)
        while (found := use()).outcome is not Outcome.FAILED:
            assert not done.done()
        assert f"waits for process {holding}" in found.detail
        assert f"pg_terminate_backend({holding})" in found.fix
        holder.rollback()
        done.result(10)
