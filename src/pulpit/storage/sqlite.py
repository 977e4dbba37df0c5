"""SQLite: one file, one writer at a time, any number of readers."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from pulpit.errors import DataFolderUnusable
from pulpit.storage.criteria import register_functions
from pulpit.storage.database import SqlStorage, SqlTransaction

__all__ = ["SqliteStorage", "open_to_look", "sqlite_engine"]

#: How long a writer waits for another process's batch, in seconds.
_BUSY_SECONDS = 30.0
_READERS = 16


def sqlite_engine(path: Path, *, begin: str, connections: int) -> Engine:
    """Return an engine on the file.

    Args:
        path: the database; made when it is not there.
        begin: the statement that opens a transaction, ``BEGIN`` or ``BEGIN IMMEDIATE``.
        connections: how many there may be at once; who needs one more waits.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # the driver's own idea of when to begin would break BEGIN IMMEDIATE
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -8000")
        register_functions(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def open_to_look(path: Path, *, in_use: bool) -> sqlite3.Connection:
    """Open the database for reading alone, without making files beside it.

    Args:
        path: the database.
        in_use: whether a server has it open.
    """
    log = path.with_name(f"{path.name}-wal")
    quiet = not in_use and not (log.exists() and log.stat().st_size)
    mode = "immutable=1" if quiet else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=5)


class SqliteStorage(SqlStorage):
    """The database of one data folder; implements ``pulpit.ports.Storage``.

    Its schema must be current: see ``pulpit.storage.migrations``.
    """

    def __init__(self, path: Path, *, search_seconds: float | None = None) -> None:
        readers = sqlite_engine(path, begin="BEGIN", connections=_READERS)
        super().__init__(readers, search_seconds=search_seconds)
        self.path = path
        self._writer = sqlite_engine(path, begin="BEGIN IMMEDIATE", connections=1)
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with self._turn:
            with self.telling(), self._writer.begin() as connection:
                transaction = SqlTransaction(connection, self.signal)
                yield transaction
            # inside the turn: the signal's number must grow in the order of commits
            transaction.committed()

    def write_beside(self) -> contextlib.AbstractContextManager[SqlTransaction]:
        # SQLite has one writer at a time in any case
        return self.write()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[Connection]:
        # other processes end with this one, or have no lease
        with self.write() as transaction:
            yield transaction.connection

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            if "readonly" in str(error.orig) or "full" in str(error.orig):
                raise DataFolderUnusable(
                    f"The database {self.path} can't be written: {error.orig}; "
                    "make room or mend its permissions.",
                ) from error
            raise

    def sizes(self) -> Mapping[str, int]:
        files = {"main": self.path, "wal": self.path.with_name(f"{self.path.name}-wal")}
        # one that is not there takes no room
        return {name: path.stat().st_size if path.exists() else 0 for name, path in files.items()}

    def close(self) -> None:
        super().close()
        self._writer.dispose()
