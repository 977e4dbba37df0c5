"""Databases of earlier versions: what they hold, and what old code goes on writing to them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import JSON, Connection, MetaData, Select, create_engine, delete, select, update

from pulpit.storage.database import DATABASE, SqlStorage
from pulpit.storage.migrations import HEAD
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.postgresql_connections import postgresql_engine
from pulpit.storage.postgresql_schema import upgrade_postgresql
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import MemoryStorage
from tests.contract.databases import new_event
from tests.services.postgresql import PostgresServer
from tests.stored_database import fill, fill_listeners, meaning, meaning_of_listeners

_STORED = Path(__file__).parent.parent / "data" / "databases"
_FILES = sorted(_STORED.glob("*.sql"))
#: What belongs to the upgrade itself.
_OWN = {"alembic_version", "settings"}


class Old:
    """A stored database, opened in various ways."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        with self.connected() as connection:
            #: The tables as old code knows them.
            self.tables = MetaData()
            self.tables.reflect(connection)
        for table in self.tables.tables.values():
            for column in table.columns:
                if isinstance(column.type, JSON):
                    column.type.none_as_null = True

    @contextlib.contextmanager
    def connected(self) -> Iterator[Connection]:
        """Open a transaction, as any code might."""
        engine = (
            postgresql_engine(self._url, connections=1, idle_seconds=60)
            if self._url
            else create_engine(f"sqlite:///{self._folder / DATABASE}")
        )
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def upgrade(self) -> None:
        """Bring it to the present schema."""
        if self._url:
            upgrade_postgresql(self._url)
        else:
            upgrade(self._folder)

    def storage(self) -> SqlStorage:
        """Open it as the present code does."""
        return PostgresStorage(self._url) if self._url else SqliteStorage(self._folder / DATABASE)

    def rows(self) -> dict[str, list[Mapping[str, Any]]]:
        """Return all rows, in the columns that old code knows."""
        with self.connected() as connection:
            return {
                table.name: [
                    dict(row)
                    for row in connection.execute(_in_order(select(table), table)).mappings()
                ]
                for table in self.tables.sorted_tables
                if table.name not in _OWN
            }

    @property
    def tells_of_listeners(self) -> bool:
        """Whether listeners and deliveries were there when it was stored."""
        return "listeners" in self.tables.tables


def _named_alike(told: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of listeners without the ids of deliveries, which chance gives."""
    pages = [[replace(each, id="") for each in page] for page in told["deliveries"]]
    return {**told, "deliveries": pages}


def _in_order(statement: Select[Any], table: Any) -> Select[Any]:
    return statement.order_by(*table.primary_key.columns)


@pytest.fixture(params=_FILES, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    """Yield a stored database as it was."""
    text = request.param.read_text()
    if request.param.name.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
            connection.executescript(text)
        yield Old("", tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    url = server.url(server.create_database())
    with psycopg.connect(url) as connection:
        connection.cursor().execute(text.encode())
    yield Old(url, tmp_path)
    server.drop_database(url)


def test_upgrade_keeps_every_row(old: Old) -> None:
    """Nothing that was there is another, or gone."""
    before = old.rows()
    old.upgrade()
    assert old.rows() == before
    with old.connected() as connection:
        assert (
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
        )


def test_upgraded_database_means_the_same(old: Old) -> None:
    """It tells what a database tells to which the present code has written the same."""
    fresh = MemoryStorage()
    fill(fresh)
    old.upgrade()
    with old.storage() as storage:
        assert meaning(storage) == meaning(fresh)
        with storage.write() as transaction:
            (number,) = transaction.journal.append([new_event()])
        assert number == storage.events.head()


def test_upgraded_database_tells_the_same_of_listeners(old: Old) -> None:
    """Listeners, their health and their deliveries are as the present code writes them."""
    fresh = MemoryStorage()
    if old.tells_of_listeners:
        fill(fresh)
        fill_listeners(fresh)
    old.upgrade()
    with old.storage() as storage:
        told = meaning_of_listeners(storage)
    assert _named_alike(told) == _named_alike(meaning_of_listeners(fresh))


def test_old_code_goes_on_writing(old: Old) -> None:
    """Statements that name what the old schema had do on the new one what they did."""
    before = old.rows()
    old.upgrade()
    with old.connected() as connection:
        for table in reversed(old.tables.sorted_tables):
            if table.name not in _OWN:
                connection.execute(delete(table))
        for table in old.tables.sorted_tables:
            if before.get(table.name):
                connection.execute(table.insert(), before[table.name])
        for table in old.tables.sorted_tables:
            for row in before.get(table.name, ()):
                keys = [column == row[column.name] for column in table.primary_key.columns]
                assert connection.execute(update(table).where(*keys).values(row)).rowcount == 1
    assert old.rows() == before
    fresh = MemoryStorage()
    fill(fresh)
    with old.storage() as storage:
        assert meaning(storage) == meaning(fresh)
