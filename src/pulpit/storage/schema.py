"""Opening a data folder: whose it is, and whether its database is of this version."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from pulpit.errors import DataFolderInUse, DataFolderUnusable
from pulpit.storage.database import DATABASE
from pulpit.storage.journal import name_journal
from pulpit.storage.rows import upsert
from pulpit.storage.shared_folder import MARKER
from pulpit.storage.sqlite import sqlite_engine
from pulpit.storage.tables import settings
from pulpit.storage.versions import read_version

__all__ = ["data_folder", "upgrade"]

#: Sequence numbers that are left out after a machine went down: some may have been seen that a
#: database in WAL mode forgot.
_JUMP = 1_000_000
_BOOT = "boot.id"
_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def data_folder(folder: Path) -> Iterator[Path]:
    """Make the data folder if need be, and hold it for this process.

    Raises:
        DataFolderInUse: another server holds it.
        DataFolderUnusable: it can't be made or written, or is that of a PostgreSQL database.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise DataFolderUnusable(
            f"The data folder {folder} can't be written: {error.strerror}; "
            "mend its permissions or choose another one with --data.",
        ) from error
    with lock:
        if (folder / MARKER).exists():
            raise DataFolderUnusable(
                f"The data folder {folder} is that of a PostgreSQL database: name it in [database] "
                "url, or choose another folder with --data. (To leave that database for good and "
                f"go on with SQLite, delete {folder / MARKER}.)",
            )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise DataFolderInUse(
                f"Another server (process {lock.read().strip() or 'unknown'}) runs on the data "
                f"folder {folder}: stop it, or give this one its own with --data.",
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield folder


def upgrade(folder: Path) -> Path:
    """Bring the database of a data folder to this version, making it if need be; return its path.

    Raises:
        SchemaTooNew: a newer version of Pulpit has made it.
        DataFolderUnusable: it can't be written, or is no database.
    """
    path = folder / DATABASE
    engine = sqlite_engine(path, begin="BEGIN IMMEDIATE", connections=1)
    try:
        with engine.begin() as connection:
            _migrate(connection, path)
            name_journal(connection)
            _jump_after_reboot(connection, _BOOT_FILE)
    except (DatabaseError, sqlite3.Error) as error:
        reason = getattr(error, "orig", None) or error
        raise DataFolderUnusable(
            f"The database {path} can't be used: {reason}; make room, mend its permissions, "
            "or choose another data folder with --data.",
        ) from error
    finally:
        engine.dispose()
    return path


def _migrate(connection: Connection, path: Path) -> None:
    """Run the steps that the database has not seen."""
    version = read_version(connection)
    version.require_known(str(path))
    if version.is_due:
        # here, since it takes a fifth of the time of a start that mostly needs no migration
        from pulpit.storage.migrations.run import run  # noqa: PLC0415

        run(connection)


def _jump_after_reboot(connection: Connection, boot_file: Path) -> None:
    """Leave sequence numbers out when the machine was started anew since the last time."""
    try:
        boot = boot_file.read_text().strip()
    except OSError:
        return
    known = connection.execute(
        text("SELECT value FROM settings WHERE name = :name"), {"name": _BOOT}
    ).scalar()
    if known == boot:
        return
    if known is not None:
        connection.execute(
            text("UPDATE sqlite_sequence SET seq = seq + :jump WHERE name = 'journal'"),
            {"jump": _JUMP},
        )
    upsert(connection, settings, [{"name": _BOOT, "value": boot}])
