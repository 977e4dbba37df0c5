"""A search that takes too long is broken off, and hurts nobody."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from pulpit.domain.criteria import parse_criteria
from pulpit.errors import SearchTooLong
from pulpit.storage.database import DATABASE, SqlStorage
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.sqlite import SqliteStorage
from pulpit.storage.tables import repositories
from tests.contract.databases import new_repository

_ENOUGH = 2_000


def _fill(storage: SqlStorage) -> None:
    """Add repositories that take some time to search."""
    notes = {"words": [f"word-{number}" for number in range(100)]}
    made = [new_repository(f"r{number:05}", notes=notes) for number in range(_ENOUGH)]
    with storage.write() as transaction:
        rows = [dataclasses.asdict(repository) for repository in made]
        transaction.connection.execute(insert(repositories), rows)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def hurried(
    request: pytest.FixtureRequest,
    empty_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SqlStorage]:
    """Yield a storage whose searches have hardly any time, and one connection."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("hurried") / DATABASE
        shutil.copyfile(empty_database, path)
        with SqliteStorage(path, search_seconds=0.001) as storage:
            _fill(storage)
            yield storage
        return
    server = request.getfixturevalue("postgresql_session")
    url = server.lend_pulpit()
    with PostgresStorage(url, connections=1, search_seconds=0.001) as shared:
        _fill(shared)
        yield shared
    server.give_back(url)


@pytest.mark.parametrize(
    "criteria", [{"filters": {"notes.words": "none"}}, {"sort": [["notes", 1]]}]
)
def test_a_long_search_is_broken_off(hurried: SqlStorage, criteria: dict[str, object]) -> None:
    """The error says so; the same connection then does whatever else is asked of it."""
    for _ in range(3):
        with hurried.read() as transaction, pytest.raises(SearchTooLong, match=r"0\.001 seconds"):
            transaction.repositories.search(parse_criteria(criteria))
    with hurried.read() as transaction:
        assert len(transaction.repositories.list()) == _ENOUGH
        pairs = text("SELECT count(*) FROM repositories AS a, repositories AS b WHERE a.id > b.id")
        found = transaction.connection.execute(pairs).scalar_one()
        assert found == _ENOUGH * (_ENOUGH - 1) // 2


def test_who_writes_has_all_the_time(hurried: SqlStorage) -> None:
    """A search within a transaction that writes, as tasks have it, is not limited."""
    with hurried.write() as transaction:
        criteria = parse_criteria({"filters": {"notes.words": "none"}})
        assert transaction.repositories.search(criteria) == []
