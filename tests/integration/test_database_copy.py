"""From SQLite to PostgreSQL: everything, or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.errors import CopyRefused
from pulpit.storage.copying import Copied, copy_database
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.contract.databases import (
    NOW,
    append,
    new_event,
    new_message,
    new_repository,
    new_task,
    submit,
)
from tests.services.postgresql import PostgresServer
from tests.stored_database import (
    fill,
    fill_listeners,
    fill_users,
    meaning,
    meaning_of_listeners,
    meaning_of_users,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a SQLite database with something of everything."""
    path = upgrade(tmp_path)
    with SqliteStorage(path) as storage:
        fill(storage)
        fill_listeners(storage)
        fill_users(storage)
    return path


def _copy(source: Path, url: str) -> Sequence[Copied]:
    return copy_database(source, url, told=lambda *_: None)


def _execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _change(source: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(statement, values)


def _rows(url: str) -> int:
    query = "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM journal)"
    return int(_execute(url, query)[0][0])


def test_copy_means_the_same(source: Path, postgresql_url: str) -> None:
    """Events keep numbers and ids, so that consumers and the publisher go on without a gap."""
    compared = _copy(source, postgresql_url)
    assert all(each.is_same for each in compared)
    with SqliteStorage(source) as old, PostgresStorage(postgresql_url) as new:
        assert meaning(new) == meaning(old)
        assert meaning_of_listeners(new) == meaning_of_listeners(old)
        assert meaning_of_users(new) == meaning_of_users(old)
        everything = {"after": 0, "limit": 1_000}
        assert new.events.read(**everything) == old.events.read(**everything)


def test_numbers_go_on_above_all_that_were_given(source: Path, postgresql_url: str) -> None:
    """Even above those whose rows are gone, which somebody may remember."""
    _change(source, "UPDATE sqlite_sequence SET seq = 1000000 WHERE name = 'journal'")
    _change(source, "UPDATE sqlite_sequence SET seq = 2000000 WHERE name = 'deliveries'")
    _change(source, "DELETE FROM tasks WHERE number > 3")
    _copy(source, postgresql_url)
    with PostgresStorage(postgresql_url) as new:
        assert append(new, new_event()) == [1_000_001]
        assert submit(new).number == 7
        with new.write_beside() as transaction:
            transaction.deliveries.add([(new_message(99), ["b" * 24])], now=NOW)
            *_, newest = transaction.deliveries.pending("b" * 24, after=0, limit=99)
        assert (newest.number, newest.message) == (2_000_001, 7)


def test_empty_database_can_be_copied(tmp_path: Path, postgresql_url: str) -> None:
    """Its first numbers are the first."""
    _copy(upgrade(tmp_path), postgresql_url)
    with PostgresStorage(postgresql_url) as new:
        assert append(new, new_event()) == [1]


def test_database_in_use_is_left_alone(source: Path, postgresql_url: str) -> None:
    """A single row is enough to refuse it."""
    with PostgresStorage(postgresql_url) as new, new.write() as transaction:
        transaction.repositories.add(new_repository("mine"))
    with pytest.raises(CopyRefused, match="repositories has rows"):
        _copy(source, postgresql_url)
    assert _rows(postgresql_url) == 0


def test_row_that_postgresql_does_not_take_stops_the_copy(
    source: Path, postgresql_url: str
) -> None:
    """It says which table and why, and leaves nothing behind."""
    _change(source, "UPDATE journal SET task_id = ? WHERE sequence = 7", "x" * 37)
    with pytest.raises(CopyRefused, match=r"a row of journal: value too long"):
        _copy(source, postgresql_url)
    assert _rows(postgresql_url) == 0


@pytest.mark.parametrize(
    "change",
    [
        "NEW.traceback = coalesce(NEW.traceback, '') || ' '; RETURN NEW;",
        "NEW.progress = NEW.progress::jsonb::json; RETURN NEW;",
        "NEW.attempt = NEW.attempt + 1; RETURN NEW;",
        "IF NEW.number = 5 THEN RETURN NULL; END IF; RETURN NEW;",
    ],
)
def test_difference_is_found_and_nothing_committed(
    source: Path, postgresql: PostgresServer, change: str
) -> None:
    """Whatever changes a row, or loses one, on its way."""
    url = postgresql.create_pulpit()
    _execute(
        url,
        f"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change} END $$",
        "CREATE TRIGGER spoil BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION spoil()",
        # rows that refer to the lost one are not what this is about
        "ALTER TABLE task_tags DROP CONSTRAINT fk_task_tags_task_number_tasks",
        "ALTER TABLE reservations DROP CONSTRAINT fk_reservations_task_number_tasks",
    )
    with pytest.raises(CopyRefused, match="differs from the data folder in tasks:"):
        _copy(source, url)
    assert _rows(url) == 0
    postgresql.drop_database(url)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(results=st.lists(st.tuples(_JSON, _TEXT, st.binary()), max_size=4))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_value_is_copied(
    results: list[tuple[Any, str, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
    postgresql: PostgresServer,
) -> None:
    """JSON, text and bytes come over as they are; NUL in a text becomes U+FFFD."""
    source, url = upgrade(tmp_path_factory.mktemp("any")), postgresql.lend_pulpit()
    with SqliteStorage(source) as old:
        for result, text, body in results:
            task = submit(old, arguments={"it": result})
            with old.write() as transaction:
                transaction.tasks.update(
                    [new_task(id=task.id, number=task.number, result=result, traceback=text)]
                )
            append(old, new_event(body=body, tags=(text,)))
        with old.read() as transaction:
            before = transaction.tasks.with_tags([])
        events = old.events.read(after=0, limit=10)
    _copy(source, url)
    with PostgresStorage(url) as new:
        with new.read() as transaction:
            after = transaction.tasks.with_tags([])
        assert [(task.arguments, task.result) for task in after] == [
            (task.arguments, task.result) for task in before
        ]
        assert [task.traceback for task in after] == [
            (task.traceback or "").replace("\0", "\ufffd") for task in before
        ]
        assert new.events.read(after=0, limit=10) == events
    postgresql.give_back(url)


def test_progress_is_told(source: Path, postgresql_url: str) -> None:
    """Each table twice, up to its last row."""
    told: list[tuple[str, str, int, int]] = []
    compared = copy_database(source, postgresql_url, told=lambda *words: told.append(words))
    for verb in ("copy", "check"):
        ends = {table: done for said, table, done, total in told if said == verb and done == total}
        assert ends == {each.table: each.source_rows for each in compared}
