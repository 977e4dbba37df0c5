"""What the server has on this machine: data folder, disk, database, journal."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.app.doctor.lag import told_lag
from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.events.amqp import CURSOR
from pulpit.storage.database import DATABASE
from pulpit.storage.migrations import HEAD
from pulpit.storage.shared_folder import folder_name
from pulpit.storage.sqlite import open_to_look
from pulpit.storage.versions import OLDEST_CODE, SchemaVersion

__all__ = ["House", "holder"]

_LOCKS = Path("/proc/locks")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MIB = 1 << 20
#: A write-ahead log of more bytes is not taken into the database as it should be.
_LARGE_WAL = 1 << 30
_MICROSECONDS = 1_000_000


@dataclass(slots=True)
class House:
    """The data folder and the database of a server, looked at without touching them.

    Args:
        settings: of the server.
        publishes: whether events go to a broker.
    """

    settings: Settings
    publishes: bool = False
    #: The process that runs a server there; 0 for one that is not known. With a database that
    #: many share, the folder does not tell.
    server: int | None = None

    @property
    def _folder(self) -> Path:
        return self.settings.storage.data

    @property
    def _database(self) -> Path:
        return self._folder / DATABASE

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at."""
        folder = Check(name="data_folder", title="Data folder", answer=self.check_folder)
        disk = Check(name="disk", title="Disk", answer=self.check_disk, needs=("data_folder",))
        if self.settings.database.url is not None:
            # slow to import, and of no use for a database in the data folder
            from pulpit.app.doctor.shared import SharedDatabase  # noqa: PLC0415

            shared = SharedDatabase(settings=self.settings, publishes=self.publishes)
            return (folder, disk, *shared.checks())
        return (
            folder,
            Check(name="server", title="Server", answer=self.check_server, needs=("data_folder",)),
            disk,
            Check(
                name="database",
                title="Database",
                answer=self.check_database,
                needs=("data_folder",),
            ),
            Check(name="journal", title="Journal", answer=self.check_journal, needs=("database",)),
            Check(
                name="publisher_lag",
                title="Events to the broker",
                answer=self.check_lag,
                needs=("journal",),
            ),
        )

    def check_folder(self) -> str:
        """Look whether the server may use its folder."""
        folder = self._folder
        if not folder.exists():
            parent = next(path for path in folder.parents if path.exists())
            if not os.access(parent, os.W_OK | os.X_OK):
                raise Problem(
                    f"{folder} is not there, and this user may not make it in {parent}",
                    "make it and give it to the server's user, or choose another with --data",
                )
            raise Note(f"{folder} is not there yet: the first start makes it")
        if not folder.is_dir():
            raise Problem(f"{folder} is no folder", "choose another with --data")
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise Problem(
                f"{folder} can't be used by this user (uid {os.geteuid()})",
                "run `pulpit doctor` as the server's user, or give the folder to it (chown)",
            )
        if self.settings.database.url is None and folder_name(folder):
            raise Problem(
                f"{folder} is that of a PostgreSQL database, and the settings name none",
                "name it in [database] url, or choose another folder with --data",
            )
        return str(folder)

    def check_server(self) -> str:
        """Look whether a server runs on the folder."""
        self.server = holder(self._folder / "lock")
        if self.server is None:
            raise Note("none runs on this data folder", "start it with `pulpit serve`")
        return f"process {self.server or 'unknown'} runs on this data folder"

    def check_disk(self) -> str:
        """Look at the room on the disk."""
        path = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        usage, floor = shutil.disk_usage(path), self.settings.storage.disk_floor
        words = f"{_mib(usage.free)} of {_mib(usage.total)} free"
        if usage.free < floor:
            raise Problem(
                f"{words}, less than the {_mib(floor)} of disk_floor in [storage]",
                "make room, or move the data folder to a larger disk",
            )
        if usage.free < 2 * floor:
            raise Note(f"{words}, near the {_mib(floor)} of disk_floor in [storage]", "make room")
        return words

    def check_database(self) -> str:
        """Look whether the database can be read, and is of this version."""
        if not self._database.exists():
            raise Skip("not there yet: the first start makes it")
        try:
            with closing(self._open()) as connection:
                (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
                boot = _setting(connection, "boot.id")
                oldest_code = _setting(connection, OLDEST_CODE)
        except sqlite3.Error as error:
            raise Problem(
                f"{self._database} can't be read: {error}",
                "run `pulpit doctor` as the server's user; if it is damaged, restore a backup",
            ) from error
        self._check_schema(SchemaVersion(step=schema, oldest_code=oldest_code))
        if self.server is None and _BOOT.exists() and boot != _BOOT.read_text().strip():
            raise Note(
                f"schema {schema}; the machine was started anew since the server ran: numbers of "
                "events will jump by 1,000,000, as they should"
            )
        return f"{_mib(self._database.stat().st_size)}, schema {schema}"

    def check_journal(self) -> str:
        """Look how much the journal holds, and whether the log beside it is taken in."""
        with closing(self._open()) as connection:
            oldest, newest = connection.execute(
                "SELECT (SELECT min(sequence) FROM journal), (SELECT max(sequence) FROM journal)"
            ).fetchone()
        if newest is None:
            return "empty"
        words = f"events {oldest:,} to {newest:,}"
        log = self._database.with_name(f"{DATABASE}-wal")
        if log.exists() and log.stat().st_size > _LARGE_WAL:
            raise Note(
                f"{words}; its write-ahead log has {_mib(log.stat().st_size)}",
                "look for a program that holds the database open, such as a backup; or restart",
            )
        return words

    def check_lag(self) -> str:
        """Look how far the confirmed events are behind the journal."""
        if not self.publishes:
            raise Skip("none are published to a broker")
        with closing(self._open()) as connection:
            row = connection.execute(
                "SELECT sequence FROM cursors WHERE name = ?", (CURSOR,)
            ).fetchone()
            if row is None:
                raise Skip("the publisher has not run yet: it begins at the journal's head")
            events, seconds = _behind(connection, row[0])
        return told_lag(events, seconds, running=self.server is not None)

    def _check_schema(self, version: SchemaVersion) -> None:
        """Look whether this version can use the schema."""
        if version.is_due:
            raise Note(f"schema {version.step}; the next start brings it to {HEAD}")
        if version.is_too_new:
            raise Problem(
                f"{self._database} was made by a newer version of Pulpit (schema {version.step})",
                "install that version, or choose another data folder with --data",
            )

    def _open(self) -> sqlite3.Connection:
        """Open the database for reading alone."""
        return open_to_look(self._database, in_use=self.server is not None)


def _behind(connection: sqlite3.Connection, cursor: int) -> tuple[int, float]:
    """Return how far a cursor is behind, in sequence numbers and in seconds."""
    newest, time = connection.execute(
        "SELECT (SELECT max(sequence) FROM journal), "
        "(SELECT time FROM journal WHERE sequence > ? ORDER BY sequence LIMIT 1)",
        (cursor,),
    ).fetchone()
    if time is None:
        return 0, 0.0
    return newest - cursor, max(utc_now().timestamp() - time / _MICROSECONDS, 0.0)


def _setting(connection: sqlite3.Connection, name: str) -> Any:
    """Return what the server keeps about itself, or None."""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return row and row[0]


def holder(lock: Path) -> int | None:
    """Return the process that holds a lock, 0 if only that there is one is known, or None.

    Taking the lock to see would keep a server from starting that moment.
    """
    try:
        found, locks = lock.stat(), _LOCKS.read_text().splitlines()
    except OSError:
        return None
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in locks:
        match line.split():
            case [_, "FLOCK", _, "WRITE", pid, place, *_] if place == where:
                return max(int(pid), 0)
    return None


def _mib(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / _MIB:,.1f} MiB" if size < 1 << 30 else f"{size / (1 << 30):,.1f} GiB"
