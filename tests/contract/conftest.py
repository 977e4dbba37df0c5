"""Every contract suite runs over each implementation of its port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulpit.storage.schema import upgrade
from tests.contract.databases import (
    Database,
    MakeDatabase,
    memory_database,
    postgresql_database,
    sqlite_database,
)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an empty database; migrations run once for all tests."""
    return upgrade(tmp_path_factory.mktemp("empty"))


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def make_database(request: pytest.FixtureRequest) -> MakeDatabase:
    """Return what makes databases of one implementation."""
    match request.param:
        case "sqlite":
            return sqlite_database(request.getfixturevalue("empty_database"))
        case "postgresql":
            return postgresql_database(request.getfixturevalue("postgresql"))
    return memory_database


@pytest.fixture
def database(make_database: MakeDatabase, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database."""
    made = make_database(tmp_path)
    yield made
    made.close()
