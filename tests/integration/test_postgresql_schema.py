"""Upgrading a PostgreSQL database, while others use it or upgrade it too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from pulpit.errors import ConfigurationError, DatabaseUnusable, SchemaDue, SchemaTooNew
from pulpit.storage.migrations import HEAD
from pulpit.storage.migrations.run import pending
from pulpit.storage.postgresql_connections import postgresql_engine
from pulpit.storage.postgresql_schema import (
    Patience,
    check_schema,
    read_state,
    upgrade_postgresql,
)
from pulpit.storage.procrastinate_schema import due_files, shipped_files
from pulpit.storage.versions import OLDEST_CODE
from tests.services import PATIENCE
from tests.services.postgresql import PostgresServer

_FUNCTIONS = """
    SELECT proname, pg_get_function_arguments(oid), prosrc FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2
"""
_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY 1, 2
"""


@pytest.fixture
def empty(postgresql: PostgresServer) -> Iterator[str]:
    """Yield the URL of a database that holds nothing."""
    url = postgresql.url(postgresql.create_database())
    yield url
    postgresql.drop_database(url)


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_empty_database_is_due_until_it_is_upgraded(empty: str) -> None:
    """Servers and workers refuse it, and say what to do."""
    with pytest.raises(SchemaDue, match="pulpit db upgrade"):
        check_schema(empty)
    assert upgrade_postgresql(empty)[-1] == HEAD
    check_schema(empty)
    assert upgrade_postgresql(empty) == []


def test_two_upgrades_at_once_take_turns(empty: str) -> None:
    """One of them runs the steps, the other finds nothing to do; neither fails."""
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: upgrade_postgresql(empty), range(3)))
    assert sorted(map(len, done)) == [0, 0, len(max(done, key=len))]
    check_schema(empty)


def test_newer_schema_is_refused_or_shared(postgresql_url: str) -> None:
    """It depends on the oldest code that it says may run on it."""
    newer = "UPDATE alembic_version SET version_num = '9999'"
    oldest = f"UPDATE settings SET value = '{{}}' WHERE name = '{OLDEST_CODE}'"
    try:
        _execute(postgresql_url, newer, oldest.format(HEAD))
        check_schema(postgresql_url)
        assert upgrade_postgresql(postgresql_url) == []
        _execute(postgresql_url, oldest.format("9998"))
        for refuse in (check_schema, upgrade_postgresql):
            with pytest.raises(SchemaTooNew, match="9999"):
                refuse(postgresql_url)
    finally:
        _execute(
            postgresql_url,
            f"UPDATE alembic_version SET version_num = '{HEAD}'",
            oldest.format("0001"),
        )


def test_upgrade_waits_for_who_holds_a_table(empty: str) -> None:
    """It lets go again and again, so that nobody stands behind it for long, and gets through."""
    _execute(empty, _stored())
    let_go, told = threading.Event(), threading.Event()

    def pause() -> None:
        told.set()
        let_go.wait(PATIENCE)

    patience = Patience(lock_seconds=0.05, pause=pause)
    with ThreadPoolExecutor() as pool, psycopg.connect(empty) as reader:
        reader.execute("SELECT count(*) FROM tasks")
        upgrading = pool.submit(upgrade_postgresql, empty, patience=patience)
        assert told.wait(PATIENCE)
        # while the upgrade waits, others read what it wants to change
        assert _rows(empty, "SELECT count(*) FROM tasks") == [(6,)]
        reader.rollback()
        let_go.set()
        assert upgrading.result(30)[-1] == HEAD


def _stored() -> str:
    """Return a database of the first step."""
    folder = Path(__file__).parent.parent / "data" / "databases"
    return (folder / "postgresql-0001.sql").read_text()


def test_steps_make_what_procrastinate_ships(empty: str, postgresql_url: str) -> None:
    """From an earlier version of it on, file by file, it comes to the same."""
    upgrade_postgresql(empty)
    earlier = [path for path in shipped_files() if path.name < "03.01.00_50"]
    drop = (
        "DO $$ DECLARE it record; BEGIN "
        "FOR it IN SELECT tablename FROM pg_tables WHERE tablename LIKE 'procrastinate%' "
        "LOOP EXECUTE 'DROP TABLE ' || it.tablename || ' CASCADE'; END LOOP; "
        "FOR it IN SELECT oid::regprocedure AS name FROM pg_proc WHERE proname LIKE 'procras%' "
        "LOOP EXECUTE 'DROP FUNCTION ' || it.name || ' CASCADE'; END LOOP; "
        "FOR it IN SELECT typname FROM pg_type WHERE typname LIKE 'procrastinate%' AND "
        "typtype IN ('e', 'c') LOOP EXECUTE 'DROP TYPE ' || it.typname || ' CASCADE'; "
        "END LOOP; END $$"
    )
    _execute(empty, drop)
    for path in earlier:
        _execute(empty, path.read_text())
    _execute(
        empty,
        f"UPDATE settings SET value = '{earlier[-1].name}' WHERE name = 'schema.procrastinate'",
    )
    with pytest.raises(SchemaDue, match=r"procrastinate 03\.01\.00_50_post"):
        check_schema(empty)
    done = upgrade_postgresql(empty)
    assert done[0].startswith("procrastinate 03.01.00_50")
    assert "_post_" not in done[-1], "what takes away from the former version comes later"
    check_schema(empty)
    left = [path for path in shipped_files() if path.stem > done[-1].partition(" ")[2]]
    for path in left:
        _execute(empty, path.read_text())
    for query in (_FUNCTIONS, _COLUMNS):
        assert _rows(empty, query) == _rows(postgresql_url, query)


def test_state_names_what_is_due(empty: str) -> None:
    """For `pulpit db status`."""
    engine = postgresql_engine(empty, connections=1, idle_seconds=10)
    try:
        with engine.begin() as connection:
            assert list(read_state(connection).due) == pending(None)
        upgrade_postgresql(empty)
        with engine.begin() as connection:
            assert list(read_state(connection).due) == []
            later = [*shipped_files(), Path("99.00.00_01_pre_x.sql"), Path("99.00.00_50_post_x")]
            assert [path.name for path in due_files(connection, later)] == [later[-2].name]
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"port": 1}, "start PostgreSQL there"),
        ({"user": "nobody"}, "make the user"),
        ({"dbname": "nowhere"}, "CREATE DATABASE"),
        ({"host": "db.invalid"}, "correct the host"),
        ({"sslmode": "require"}, "sslmode"),
    ],
)
def test_what_is_wrong_with_the_url_is_said(
    postgresql: PostgresServer, change: dict[str, object], told: str
) -> None:
    """With what to do, and without the password."""
    parts = {"host": postgresql.host, "port": postgresql.port, "user": "pulpit", "dbname": "x"}
    known = parts | change
    extra = f"&sslmode={known['sslmode']}" if "sslmode" in known else ""
    url = "postgresql://{user}:hush@{host}:{port}/{dbname}?password=hush".format(**known) + extra
    with pytest.raises(DatabaseUnusable, match=told) as raised:
        check_schema(url)
    assert "hush" not in str(raised.value)


def test_url_that_makes_no_sense_is_not_repeated() -> None:
    """Libpq would tell all of it, password included."""
    with pytest.raises(DatabaseUnusable, match="write it as") as raised:
        check_schema("postgresql://pulpit:hush@[::1/pulpit")
    assert "hush" not in str(raised.value)


def test_other_encoding_is_refused(postgresql: PostgresServer) -> None:
    """A database that can't keep any text is told, and how to make another."""
    postgresql.execute(
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc "
        "TEMPLATE template0",
        database="postgres",
    )
    with pytest.raises(ConfigurationError, match="UTF8"):
        upgrade_postgresql(postgresql.url("latin"))
    postgresql.drop_database(postgresql.url("latin"))
