"""PostgreSQL: many machines write, and those who change tasks and journal take turns."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pulpit.errors import DatabaseFailed, DatabaseUnavailable
from pulpit.storage.database import SqlStorage, SqlTransaction
from pulpit.storage.journal import SqlJournal
from pulpit.storage.locks import AdvisoryLock
from pulpit.storage.notifications import Notifications
from pulpit.storage.postgresql_connections import connector, opening_engines, postgresql_engine
from pulpit.storage.postgresql_deliveries import PostgresDeliveryStore
from pulpit.storage.postgresql_stores import (
    JOURNAL_CHANNEL,
    PostgresContentStore,
    PostgresJournalStore,
    PostgresPublicationStore,
    PostgresTaskStore,
)

__all__ = ["PostgresStorage", "PostgresTransaction"]

#: How long a transaction that holds locks may do nothing, in seconds: a frozen process has others
#: wait no longer than that.
_WRITER_IDLE = 10.0
#: The same for who has the turn, which all others wait for; in milliseconds.
_TURN_IDLE = 5_000
#: The same for those who only read, whom nobody waits for.
_READER_IDLE = 300.0
#: How long a writer of this process waits for the others of this process, in seconds.
_TURN_SECONDS = 30.0
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_TURN = (
    f"SET LOCAL idle_in_transaction_session_timeout = {_TURN_IDLE}; "
    f"SELECT pg_advisory_xact_lock({AdvisoryLock.STATE:d})"
)
#: How transactions are opened: in turn with all others who change tasks and journal, on all
#: machines; beside them; and not at all, so that each statement is one.
_OPENINGS = (
    f"{_BEGIN}; {_TURN}",
    _BEGIN,
    "",
)
#: SQLSTATE classes of errors that are no fault of what was asked: connection, resources, operator,
#: system; and conflicts with others, after which the same may be tried again.
_AT_FAULT = ("08", "40", "53", "55P03", "57", "58", "25006", "25P03")


class PostgresTransaction(SqlTransaction):
    """One transaction that may write; implements ``pulpit.ports.Transaction``."""

    @cached_property
    def tasks(self) -> PostgresTaskStore:
        return PostgresTaskStore(self.connection)

    @cached_property
    def journal(self) -> PostgresJournalStore:
        return PostgresJournalStore(self.connection, self._written)

    @cached_property
    def content(self) -> PostgresContentStore:
        return PostgresContentStore(self.connection)

    @cached_property
    def publications(self) -> PostgresPublicationStore:
        return PostgresPublicationStore(self.connection)

    @cached_property
    def deliveries(self) -> PostgresDeliveryStore:
        return PostgresDeliveryStore(self.connection)

    def notify(self, channel: str, payload: str) -> None:
        """Tell all processes that listen on the channel, once the transaction is committed."""
        self.connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (channel, payload))

    def failure(self, error: BaseException) -> DatabaseFailed | None:
        return _failure(error)


class PostgresStorage(SqlStorage):
    """A database on a server; implements ``pulpit.ports.Storage``.

    Its schema must be current: see ``pulpit.storage.postgresql_schema``.

    Args:
        url: as libpq takes it.
        connections: how many there may be at once for reading, and as many again for writing; they
            are opened when they are needed.
        log: where to tell that other processes are not heard of; None: nowhere.
        search_seconds: as of ``SqlStorage``.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = 8,
        log: Any = None,
        search_seconds: float | None = None,
    ) -> None:
        readers = postgresql_engine(
            url,
            connections=connections,
            idle_seconds=_READER_IDLE,
            isolation_level=IsolationLevel.REPEATABLE_READ,
            read_only=True,
        )
        super().__init__(readers, search_seconds=search_seconds)
        self._in_turn, self._beside, self._one_by_one = opening_engines(
            url, connections=connections, idle_seconds=_WRITER_IDLE, openings=_OPENINGS
        )
        self._turn = threading.Lock()
        #: What other processes tell; a thread listens from the first subscription on.
        self.notifications = Notifications(
            connector(url, idle_seconds=_WRITER_IDLE, autocommit=True), self._look, log=log
        )

    @contextlib.contextmanager
    def write(self) -> Iterator[PostgresTransaction]:
        # one connection of each process waits for the turn, not one of each thread
        with self._first_here():
            with self.telling(), self._in_turn.begin() as connection:
                transaction = PostgresTransaction(connection, self.signal)
                yield transaction
            transaction.committed()

    @contextlib.contextmanager
    def write_beside(self) -> Iterator[PostgresTransaction]:
        with self.telling(), self._beside.begin() as connection:
            transaction = PostgresTransaction(connection, self.signal)
            yield transaction
        transaction.committed()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[Connection]:
        with self.telling(), self._one_by_one.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            if failure := _failure(error):
                raise failure from error
            raise

    @cached_property
    def events(self) -> SqlJournal:
        """The journal for those who read it, who are told of what other processes commit."""

        def heard(payload: str) -> None:
            # anybody who may log in may notify
            if payload.isascii() and payload.isdigit():
                self.signal.advance(int(payload))

        self.notifications.subscribe(JOURNAL_CHANNEL, heard)
        return SqlJournal(self.reading, self.signal)

    def sizes(self) -> Mapping[str, int]:
        with self.reading() as connection:
            statement = text("SELECT pg_database_size(current_database())")
            return {"main": connection.execute(statement).scalar_one()}

    def close(self) -> None:
        self.notifications.close()
        super().close()
        self._in_turn.dispose()

    @contextlib.contextmanager
    def _first_here(self) -> Iterator[None]:
        """Take the turn among the threads of this process."""
        if not self._turn.acquire(timeout=_TURN_SECONDS):
            raise DatabaseUnavailable("others of this process have not come to an end")
        try:
            yield
        finally:
            self._turn.release()

    def _look(self, connection: psycopg.Connection[Any]) -> None:
        """See to what notifications have not told: there were none while nobody was connected."""
        newest = connection.execute("SELECT max(sequence) FROM journal").fetchone()
        if newest and newest[0]:
            self.signal.advance(newest[0])


def _failure(error: BaseException) -> DatabaseUnavailable | None:
    """Return what to say of an error for which what was asked is not to blame."""
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable("all connections of this process are in use")
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # libpq itself could not go on
        at_fault = isinstance(error, OperationalError | InterfaceError)
    else:
        at_fault = state.startswith(_AT_FAULT)
    if error.connection_invalidated or at_fault:
        return DatabaseUnavailable(str(error.orig).strip().partition("\n")[0])
    return None
