"""Opening the storage that the settings name: SQLite in the data folder, or PostgreSQL."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from pulpit.config import Settings
from pulpit.storage.database import DATABASE, SqlStorage

__all__ = ["open_storage", "task_storage", "with_event_source"]

#: Connections for each of reading and writing: of a task's process, which does one thing at a time
#: and commits while it reads on.
_OF_A_TASK = 2
#: Setting that holds what events name as their source where the configuration does not.
_SOURCE = "events.source"


@contextlib.contextmanager
def open_storage(settings: Settings, *, log: Any = None) -> Iterator[SqlStorage]:
    """Open the database and hold the data folder, for a server or a worker, while the block runs.

    A SQLite database is upgraded, one of PostgreSQL must have been.

    Args:
        settings: which database.
        log: where to tell that other processes are not heard of.

    Raises:
        DataFolderInUse: another server holds the data folder.
        DataFolderUnusable: it can't be written, or is not that of the database.
        SchemaDue: the database must be upgraded first.
        SchemaTooNew: it was made by a newer version.
        DatabaseUnusable: it can't be reached.
    """
    seconds = settings.database.search_seconds
    if settings.database.url is None:
        # here, so that tasks' processes with PostgreSQL do without it
        from pulpit.storage.schema import data_folder, upgrade  # noqa: PLC0415
        from pulpit.storage.sqlite import SqliteStorage  # noqa: PLC0415

        with (
            data_folder(settings.storage.data) as folder,
            SqliteStorage(upgrade(folder), search_seconds=seconds) as storage,
        ):
            yield storage
        return
    # here, since its libraries take time that a start on SQLite lacks
    from pulpit.storage.postgresql import PostgresStorage  # noqa: PLC0415
    from pulpit.storage.postgresql_schema import check_schema  # noqa: PLC0415
    from pulpit.storage.shared_folder import join_folder  # noqa: PLC0415

    check_schema(settings.database.url)
    with PostgresStorage(settings.database.url, log=log, search_seconds=seconds) as shared:
        join_folder(settings.storage.data, shared.settle)
        yield shared


def task_storage(settings: Settings) -> SqlStorage:
    """Return the database for the process of one task, which whoever started it has looked at."""
    if settings.database.url is None:
        from pulpit.storage.sqlite import SqliteStorage  # noqa: PLC0415

        return SqliteStorage(settings.storage.data / DATABASE)
    from pulpit.storage.postgresql import PostgresStorage  # noqa: PLC0415

    return PostgresStorage(settings.database.url, connections=_OF_A_TASK)


def with_event_source(settings: Settings, storage: SqlStorage, *, log: Any) -> Settings:
    """Return the settings with the source of events that all servers of the database name.

    Where it is not set, those of a PostgreSQL database go by the address of the first of them.
    """
    if settings.database.url is None or settings.events.source is not None:
        return settings
    source = storage.settle(_SOURCE, settings.event_source)
    log.warning("[events] source is not set: events name the first server there was", source=source)
    events = dataclasses.replace(settings.events, source=source)
    return dataclasses.replace(settings, events=events)
