"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulpit.storage.schema import upgrade
from tests.api_site import Site, copy_of


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an empty database; migrations run once for all tests."""
    return upgrade(tmp_path_factory.mktemp("new"))


@pytest.fixture
def site(new_database: Path, tmp_path: Path) -> Iterator[Site]:
    """Yield the web application; a test that causes an error of the server's own fails."""
    with Site(copy_of(new_database, tmp_path), tmp_path / "data") as made:
        yield made
        assert made.log.told == []
