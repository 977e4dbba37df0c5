"""Transactions: one writer at a time, any number of readers."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from pulpit.domain.events import NewEvent
from pulpit.errors import DatabaseFailed, DataFolderUnusable, PulpitError
from pulpit.storage import tables
from pulpit.storage.content import SqlContentStore
from pulpit.storage.criteria import register_functions
from pulpit.storage.journal import JournalSignal, SqlCursorStore, SqlJournal, SqlJournalStore
from pulpit.storage.publications import SqlPublicationStore
from pulpit.storage.repositories import SqlRepositoryStore
from pulpit.storage.rows import upsert
from pulpit.storage.tasks import SqlTaskStore
from pulpit.storage.users import SqlUserStore

__all__ = ["DATABASE", "SqlStorage", "SqlTransaction", "sqlite_engine"]

#: Name of the database in the data folder.
DATABASE = "pulpit.db"
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


class SqlTransaction:
    """One transaction; implements ``pulpit.ports.Transaction``."""

    def __init__(self, connection: Connection, signal: JournalSignal) -> None:
        self.connection = connection
        self._signal = signal
        self._acts: list[Callable[[], None]] = []

    @cached_property
    def tasks(self) -> SqlTaskStore:
        return SqlTaskStore(self.connection)

    @cached_property
    def journal(self) -> SqlJournalStore:
        return SqlJournalStore(self.connection, self._written)

    @cached_property
    def repositories(self) -> SqlRepositoryStore:
        return SqlRepositoryStore(self.connection)

    @cached_property
    def content(self) -> SqlContentStore:
        return SqlContentStore(self.connection)

    @cached_property
    def publications(self) -> SqlPublicationStore:
        return SqlPublicationStore(self.connection)

    @cached_property
    def users(self) -> SqlUserStore:
        return SqlUserStore(self.connection)

    def after_commit(self, act: Callable[[], None]) -> None:
        self._acts.append(act)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        acts = len(self._acts)
        try:
            savepoint = self.connection.begin_nested()
            yield
            savepoint.commit()
        except OperationalError as error:
            # a full disk may have ended the whole transaction, and the savepoint with it
            raise DatabaseFailed(f"The database failed: {_first_of(error)}") from error
        except BaseException:
            del self._acts[acts:]
            savepoint.rollback()
            raise

    def _written(self, sequence: int, events: Sequence[NewEvent]) -> None:
        self.after_commit(lambda: self._signal.count(events))
        self.after_commit(lambda: self._signal.advance(sequence))

    def committed(self) -> None:
        """Do what was to be done after the commit."""
        for act in self._acts:
            act()


def _first_of(error: BaseException) -> BaseException:
    """Return what the database said first, before errors in the handling of that."""
    first, earlier = error, error.__context__
    while earlier is not None:
        first, earlier = earlier, earlier.__context__
    return first


class SqlStorage:
    """The database of one data folder; implements ``pulpit.ports.Storage``.

    Its schema must be current: see ``pulpit.storage.migrations``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = sqlite_engine(path, begin="BEGIN IMMEDIATE", connections=1)
        self._readers = sqlite_engine(path, begin="BEGIN", connections=_READERS)
        self._turn = threading.Lock()
        self.signal = JournalSignal()

    @contextlib.contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with self._turn:
            with self._telling(), self._writer.begin() as connection:
                transaction = SqlTransaction(connection, self.signal)
                yield transaction
            # inside the turn: the signal's number must grow in the order of commits
            transaction.committed()

    def write_beside(self) -> contextlib.AbstractContextManager[SqlTransaction]:
        # SQLite has one writer at a time in any case
        return self.write()

    @contextlib.contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        with self._telling(), self._readers.connect() as connection, connection.begin():
            yield SqlTransaction(connection, self.signal)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in words what is wrong with the data folder when it is."""
        try:
            yield
        except DatabaseError as error:
            if "readonly" in str(error.orig) or "full" in str(error.orig):
                raise DataFolderUnusable(
                    f"The database {self.path} can't be written: {error.orig}; "
                    "make room or mend its permissions.",
                ) from error
            raise

    @cached_property
    def events(self) -> SqlJournal:
        """The journal for those who read it."""
        return SqlJournal(self._readers, self.signal)

    @cached_property
    def cursors(self) -> SqlCursorStore:
        """Where channels keep how far they came."""
        return SqlCursorStore(self)

    def get_setting(self, name: str) -> str | None:
        with self.read() as transaction:
            statement = select(tables.settings.c.value).where(tables.settings.c.name == name)
            return transaction.connection.execute(statement).scalar()

    def set_setting(self, name: str, value: str) -> None:
        with self.write() as transaction:
            upsert(transaction.connection, tables.settings, [{"name": name, "value": value}])

    def answers(self) -> bool:
        """Tell whether the database can be read now."""
        try:
            self.get_setting("")
        except (SQLAlchemyError, PulpitError):
            return False
        return True

    def close(self) -> None:
        """Let go of the file and wake everybody who waits for events."""
        self.signal.close()
        self._readers.dispose()
        self._writer.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
