"""The steps of the schema, and opening a data folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError

from pulpit.domain.clock import utc_now
from pulpit.domain.events import EventKind, NewEvent
from pulpit.errors import DataFolderInUse, DataFolderUnusable, SchemaTooNew
from pulpit.storage.migrations import HEAD
from pulpit.storage.migrations.run import configuration, script
from pulpit.storage.schema import data_folder, upgrade
from pulpit.storage.sqlite import SqliteStorage, sqlite_engine
from pulpit.storage.versions import OLDEST_CODE, SchemaVersion, read_version

_EVENT = NewEvent(
    kind=EventKind.STATUS,
    type="pulpit.task.status.v1",
    task_id="00000000-0000-4000-8000-000000000000",
    revision=1,
    state=None,
    tags=(),
    time=utc_now(),
    body=b"{}",
)


#: Alembic can't compare indexes of expressions; that they are used is tested with searches.
_expressions = pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression")


def test_head_is_the_newest_step() -> None:
    """The constant that spares a start the import of Alembic is right."""
    assert script().get_current_head() == HEAD


@_expressions
def test_steps_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    """Nothing is left that a new step would have to change."""
    engine = sqlite_engine(upgrade(tmp_path), begin="BEGIN", connections=1)
    try:
        with engine.begin() as connection:
            command.check(configuration(connection))
    except CommandError as error:
        pytest.fail(str(error))
    finally:
        engine.dispose()


def test_upgrade_twice_changes_nothing(tmp_path: Path) -> None:
    """A database that is current keeps its journal's name."""
    path = upgrade(tmp_path)
    before = _settings(path)
    assert before == _settings(upgrade(tmp_path))
    assert before["journal.id"]


def test_reboot_leaves_a_million_numbers_out(tmp_path: Path) -> None:
    """After a reboot no number is given that a consumer may have seen for a forgotten event."""
    path = upgrade(tmp_path)
    with SqliteStorage(path) as storage, storage.write() as transaction:
        transaction.journal.append([_EVENT])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE settings SET value = 'before' WHERE name = 'boot.id'")
    connection.close()
    with SqliteStorage(upgrade(tmp_path)) as storage:
        with storage.write() as transaction:
            assert list(transaction.journal.append([_EVENT])) == [1_000_002]
        assert storage.events.head() == 1_000_002


def _make_newer(path: Path, *, oldest_code: str | None) -> None:
    """Have a later version upgrade the database."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("DELETE FROM settings WHERE name = ?", (OLDEST_CODE,))
        if oldest_code:
            row = (OLDEST_CODE, oldest_code)
            connection.execute("INSERT INTO settings (name, value) VALUES (?, ?)", row)
    connection.close()


@pytest.mark.parametrize("oldest_code", ["9998", None])
def test_newer_schema_is_refused(tmp_path: Path, oldest_code: str | None) -> None:
    """A schema that says nothing of this version's code, or that it is too old, is left alone."""
    _make_newer(upgrade(tmp_path), oldest_code=oldest_code)
    with pytest.raises(SchemaTooNew, match="9999"):
        upgrade(tmp_path)


def test_newer_schema_that_lets_this_code_in_is_used(tmp_path: Path) -> None:
    """It is neither upgraded nor taken back."""
    _make_newer(upgrade(tmp_path), oldest_code=HEAD)
    with SqliteStorage(upgrade(tmp_path)) as storage, storage.read() as transaction:
        version = read_version(transaction.connection)
    assert version == SchemaVersion(step="9999", oldest_code=HEAD)
    assert version.fits
    assert not version.is_due


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """What is in the place of the database is left as it is."""
    (tmp_path / "pulpit.db").write_text("no database" * 100)
    with pytest.raises(DataFolderUnusable, match=r"pulpit\.db"):
        upgrade(tmp_path)


def test_database_that_goes_away_does_not_answer(tmp_path: Path) -> None:
    """What the status says of the database is asked of it."""
    with SqliteStorage(upgrade(tmp_path)) as storage:
        assert storage.answers()
        storage.path.write_bytes(b"no database" * 1_000)
        for left in tmp_path.glob("pulpit.db-*"):
            left.unlink()
    with SqliteStorage(storage.path) as broken:
        assert not broken.answers()


def test_data_folder_has_one_holder(tmp_path: Path) -> None:
    """The second one is told who holds it; afterwards it is free again."""
    with (
        data_folder(tmp_path / "data") as folder,
        pytest.raises(DataFolderInUse),
        data_folder(folder),
    ):
        pass
    with data_folder(folder):
        pass


def _settings(path: Path) -> dict[str, str]:
    """Return what the server keeps about itself."""
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT name, value FROM settings"))
    finally:
        connection.close()
