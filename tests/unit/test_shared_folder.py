"""The data folder of a PostgreSQL database is one and the same for all who use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pulpit.errors import DataFolderInUse, DataFolderUnusable
from pulpit.storage.schema import data_folder
from pulpit.storage.shared_folder import MARKER, join_folder
from pulpit.testing import MemoryStorage


def test_all_who_use_a_database_share_a_folder(tmp_path: Path) -> None:
    """The first one makes it, the others find it, and it keeps its name."""
    storage = MemoryStorage()
    join_folder(tmp_path / "data", storage.settle)
    name = (tmp_path / "data" / MARKER).read_text()
    join_folder(tmp_path / "data", storage.settle)
    assert (tmp_path / "data" / MARKER).read_text() == name


def test_of_many_that_come_at_once_all_are_let_in(tmp_path: Path) -> None:
    """Whoever names the folder, the others take its name, and no draft of one is left."""
    storage = MemoryStorage()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: join_folder(tmp_path, storage.settle), range(8)))
    assert [path.name for path in tmp_path.iterdir()] == [MARKER]


def test_a_folder_that_is_not_the_shared_one_is_refused(tmp_path: Path) -> None:
    """A machine on which nobody has mounted the shared folder says so, and leaves no trace."""
    storage = MemoryStorage()
    join_folder(tmp_path / "shared", storage.settle)
    with pytest.raises(DataFolderUnusable, match="not the one that the other servers"):
        join_folder(tmp_path / "local", storage.settle)
    assert not (tmp_path / "local" / MARKER).exists()


def test_the_folder_of_another_database_is_refused(tmp_path: Path) -> None:
    """A folder has one database: another one's clean-up would delete its files."""
    join_folder(tmp_path / "one", MemoryStorage().settle)
    other = MemoryStorage()
    join_folder(tmp_path / "two", other.settle)
    name = (tmp_path / "one" / MARKER).read_text()
    with pytest.raises(DataFolderUnusable, match="not the one that the other servers"):
        join_folder(tmp_path / "one", other.settle)
    assert (tmp_path / "one" / MARKER).read_text() == name


def test_a_lost_folder_can_be_replaced(tmp_path: Path) -> None:
    """The refusal says how a new folder takes the place of a lost one."""
    storage = MemoryStorage()
    join_folder(tmp_path / "lost", storage.settle)
    with pytest.raises(DataFolderUnusable) as refused:
        join_folder(tmp_path / "new", storage.settle)
    name = (tmp_path / "lost" / MARKER).read_text().strip()
    assert name in str(refused.value)
    (tmp_path / "new" / MARKER).write_text(name)
    join_folder(tmp_path / "new", storage.settle)


def test_a_folder_with_a_running_server_on_sqlite_is_refused(tmp_path: Path) -> None:
    """Two databases must not keep their content in one folder."""
    with (
        data_folder(tmp_path),
        pytest.raises(DataFolderInUse, match="a SQLite database runs"),
    ):
        join_folder(tmp_path, MemoryStorage().settle)
    assert not (tmp_path / MARKER).exists()


def test_a_server_on_sqlite_refuses_the_folder_of_a_postgresql_database(tmp_path: Path) -> None:
    """The old server, started by mistake after a move, must not clean the folder up."""
    join_folder(tmp_path, MemoryStorage().settle)
    with (
        pytest.raises(DataFolderUnusable, match="that of a PostgreSQL database"),
        data_folder(tmp_path),
    ):
        pass


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    """A file in its place is said in one line."""
    (tmp_path / "data").write_text("")
    with pytest.raises(DataFolderUnusable, match="can't be written"):
        join_folder(tmp_path / "data", MemoryStorage().settle)
