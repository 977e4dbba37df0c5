"""The database for those who look after it: upgrade, status, and the way to PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from pulpit.app.doctor.house import holder
from pulpit.config import Settings, masked_url
from pulpit.errors import ConfigurationError, DataFolderUnusable
from pulpit.storage.database import DATABASE
from pulpit.storage.migrations import HEAD
from pulpit.storage.schema import data_folder, upgrade
from pulpit.storage.sqlite import open_to_look
from pulpit.storage.versions import OLDEST_CODE, SchemaVersion

__all__ = ["Status", "copy_to", "read_status", "upgrade_database"]

# nothing of PostgreSQL is loaded for a database in the data folder
if TYPE_CHECKING:
    from pulpit.storage.copying import Copied, Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What there is to know of a database."""

    kind: str
    #: Its file, or its URL without the password.
    where: str
    #: The newest step that it has seen; None for one that is empty or not there.
    schema: str | None
    #: The oldest step whose code may run on it.
    oldest_code: str | None
    #: Steps that `pulpit db upgrade` would run.
    due: Sequence[str]
    #: Bytes on the disk, all tables and indexes.
    size: int
    #: The newest event; 0 before the first.
    head: int
    #: Of PostgreSQL, as it calls itself.
    server: str | None = None
    #: What is in the way of this version, if anything is.
    problem: str | None = None


def upgrade_database(settings: Settings) -> tuple[str, Sequence[str]]:
    """Bring the database to this version; return where it is and the steps that were run.

    Raises:
        StartError: it can't be upgraded; the message says what to do.
    """
    url = settings.database.url
    if url is not None:
        from pulpit.storage.postgresql_schema import upgrade_postgresql  # noqa: PLC0415

        return masked_url(url), upgrade_postgresql(url)
    due = read_status(settings).due
    with data_folder(settings.storage.data) as folder:
        return str(upgrade(folder)), due


def read_status(settings: Settings) -> Status:
    """Look at the database without changing it.

    Raises:
        StartError: it can't be read; the message says what to do.
    """
    url = settings.database.url
    return _of_sqlite(settings.storage.data) if url is None else _of_postgresql(url)


def _of_sqlite(folder: Path) -> Status:
    from pulpit.storage.migrations.run import pending  # noqa: PLC0415 - slow to import

    path = folder / DATABASE
    version, size, head = SchemaVersion(step=None), 0, 0
    if path.exists():
        try:
            with closing(open_to_look(path, in_use=holder(folder / "lock") is not None)) as found:
                version, head = _version(found), _head(found)
            files = (path, path.with_name(f"{DATABASE}-wal"))
            size = sum(each.stat().st_size for each in files if each.exists())
        except (sqlite3.Error, OSError) as error:
            raise DataFolderUnusable(
                f"The database {path} can't be read: {error}; run this as the server's user."
            ) from error
    return _status("sqlite", str(path), version, pending(version.step), size=size, head=head)


def _version(found: sqlite3.Connection) -> SchemaVersion:
    (step,) = found.execute("SELECT version_num FROM alembic_version").fetchone()
    query = "SELECT value FROM settings WHERE name = ?"
    oldest = found.execute(query, (OLDEST_CODE,)).fetchone()
    return SchemaVersion(step=step, oldest_code=oldest and oldest[0])


def _head(found: sqlite3.Connection) -> int:
    (head,) = found.execute("SELECT max(sequence) FROM journal").fetchone()
    return head or 0


def _of_postgresql(url: str) -> Status:
    from pulpit.storage.postgresql_connections import postgresql_engine  # noqa: PLC0415
    from pulpit.storage.postgresql_schema import read_state  # noqa: PLC0415
    from pulpit.storage.postgresql_troubles import explained  # noqa: PLC0415

    where = masked_url(url)
    with explained(url):
        engine = postgresql_engine(url, connections=1, idle_seconds=60)
        try:
            with engine.begin() as connection:
                state = read_state(connection)
                query = "SELECT pg_database_size(current_database()), version()"
                size, server = connection.execute(text(query)).one()
                newest = "SELECT max(sequence) FROM journal"
                head = connection.execute(text(newest)).scalar() if state.version.step else 0
        finally:
            engine.dispose()
    return _status(
        "postgresql",
        where,
        state.version,
        state.due,
        size=size,
        head=head or 0,
        server=server.partition(" on ")[0],
    )


def _status(
    kind: str,
    where: str,
    version: SchemaVersion,
    due: Sequence[str],
    *,
    size: int,
    head: int,
    server: str | None = None,
) -> Status:
    problem = None
    if version.is_too_new:
        problem = f"made by a newer version of Pulpit, which this one (schema {HEAD}) can't share"
    return Status(
        kind=kind,
        where=where,
        schema=version.step,
        oldest_code=version.oldest_code,
        due=due,
        size=size,
        head=head,
        server=server,
        problem=problem,
    )


def copy_to(settings: Settings, url: str | None, *, told: Told) -> tuple[str, Sequence[Copied]]:
    """Copy the database of the data folder to PostgreSQL; return where to, and its tables.

    Args:
        settings: of the server, which must not run.
        url: of the target; None for the one in the settings.
        told: hears how far it is.

    Raises:
        StartError: it can't be copied; the target holds what it held before.
    """
    from pulpit.storage.copying import copy_database  # noqa: PLC0415
    from pulpit.storage.postgresql_schema import check_schema, upgrade_postgresql  # noqa: PLC0415
    from pulpit.storage.postgresql_troubles import explained  # noqa: PLC0415

    target = url or settings.database.url
    if target is None:
        raise ConfigurationError("name the PostgreSQL database with --to, or set it in [database]")
    path = settings.storage.data / DATABASE
    if not path.exists():
        raise DataFolderUnusable(f"There is no database to copy: {path} is not there.")
    with data_folder(settings.storage.data) as folder:
        if _of_postgresql(target).schema is None:
            upgrade_postgresql(target)
        check_schema(target)
        source = upgrade(folder)
        with explained(target):
            return masked_url(target), copy_database(source, target, told=told)
