"""Transactions, as they are on any database; ``sqlite`` and ``postgresql`` open them."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from pulpit.domain.events import NewEvent
from pulpit.errors import DatabaseFailed, PulpitError
from pulpit.storage import tables
from pulpit.storage.content import SqlContentStore
from pulpit.storage.cursors import SqlCursorStore
from pulpit.storage.deadlines import SEARCH_SECONDS
from pulpit.storage.deliveries import SqlDeliveryStore
from pulpit.storage.jobs import SqlJobStore
from pulpit.storage.journal import SqlJournal, SqlJournalStore
from pulpit.storage.journal_signal import JournalSignal
from pulpit.storage.leases import SqlLeaseStore
from pulpit.storage.listeners import SqlListenerStore
from pulpit.storage.permissions import SqlPermissionStore
from pulpit.storage.publications import SqlPublicationStore
from pulpit.storage.repo_groups import SqlRepoGroupStore
from pulpit.storage.repositories import SqlRepositoryStore
from pulpit.storage.roles import SqlRoleStore
from pulpit.storage.rows import insert_ignoring
from pulpit.storage.schedules import SqlScheduleStore
from pulpit.storage.tasks import SqlTaskStore
from pulpit.storage.tokens import SqlTokenStore
from pulpit.storage.uploads import SqlUploadStore
from pulpit.storage.users import SqlUserStore
from pulpit.storage.workers import SqlWorkerStore

__all__ = ["DATABASE", "SqlStorage", "SqlTransaction"]

#: Name of the database in the data folder.
DATABASE = "pulpit.db"


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

    @cached_property
    def uploads(self) -> SqlUploadStore:
        return SqlUploadStore(self.connection)

    @cached_property
    def repo_groups(self) -> SqlRepoGroupStore:
        return SqlRepoGroupStore(self.connection)

    @cached_property
    def roles(self) -> SqlRoleStore:
        return SqlRoleStore(self.connection)

    @cached_property
    def permissions(self) -> SqlPermissionStore:
        return SqlPermissionStore(self.connection)

    @cached_property
    def tokens(self) -> SqlTokenStore:
        return SqlTokenStore(self.connection)

    @cached_property
    def jobs(self) -> SqlJobStore:
        return SqlJobStore(self.connection, self.tasks)

    @cached_property
    def workers(self) -> SqlWorkerStore:
        return SqlWorkerStore(self.connection)

    @cached_property
    def listeners(self) -> SqlListenerStore:
        return SqlListenerStore(self.connection)

    @cached_property
    def deliveries(self) -> SqlDeliveryStore:
        return SqlDeliveryStore(self.connection)

    @cached_property
    def schedules(self) -> SqlScheduleStore:
        return SqlScheduleStore(self.connection)

    def after_commit(self, act: Callable[[], None]) -> None:
        self._acts.append(act)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        acts = len(self._acts)
        savepoint = None
        try:
            savepoint = self.connection.begin_nested()
            yield
            savepoint.commit()
        except BaseException as error:
            # a full disk may have ended the whole transaction, and the savepoint with it
            if failure := self.failure(error):
                raise failure from error
            del self._acts[acts:]
            if savepoint is not None:
                savepoint.rollback()
            raise

    def failure(self, error: BaseException) -> DatabaseFailed | None:
        """Return what to raise for an error of which the database itself is the cause."""
        if isinstance(error, OperationalError):
            return DatabaseFailed(f"The database failed: {_first_of(error)}")
        return None

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


class SqlStorage(ABC):
    """What both databases have in common; implements the reading half of ``pulpit.ports.Storage``.

    Args:
        readers: whose transactions only read, each from one snapshot.
        search_seconds: how long a search in such a transaction may take; None: for ever.
    """

    def __init__(self, readers: Engine, *, search_seconds: float | None = None) -> None:
        self._readers = readers.execution_options(**{SEARCH_SECONDS: search_seconds})
        self.signal = JournalSignal()

    @abstractmethod
    def write(self) -> contextlib.AbstractContextManager[SqlTransaction]:
        """See ``pulpit.ports.Storage``."""

    @abstractmethod
    def write_beside(self) -> contextlib.AbstractContextManager[SqlTransaction]:
        """See ``pulpit.ports.Storage``."""

    @abstractmethod
    def at_once(self) -> contextlib.AbstractContextManager[Connection]:
        """Open a connection for single statements of this room, each of which commits by itself.

        A process that is frozen between two of them holds no lock.
        """

    @abstractmethod
    def telling(self) -> contextlib.AbstractContextManager[None]:
        """Say in words what is wrong with the database when its driver raises."""

    @abstractmethod
    def sizes(self) -> Mapping[str, int]:
        """Return the bytes that the parts of the database take, by name."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads, for statements of this room."""
        with self.telling(), self._readers.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        with self.reading() as connection:
            yield SqlTransaction(connection, self.signal)

    @cached_property
    def events(self) -> SqlJournal:
        """The journal for those who read it."""
        return SqlJournal(self.reading, self.signal)

    @cached_property
    def cursors(self) -> SqlCursorStore:
        """Where channels keep how far they came."""
        return SqlCursorStore(self)

    @cached_property
    def leases(self) -> SqlLeaseStore:
        """What one process at a time may do."""
        return SqlLeaseStore(self)

    def get_setting(self, name: str) -> str | None:
        with self.reading() as connection:
            statement = select(tables.settings.c.value).where(tables.settings.c.name == name)
            return connection.execute(statement).scalar()

    def settle(self, name: str, value: str) -> str:
        with self.write_beside() as transaction:
            row = {"name": name, "value": value}
            insert_ignoring(transaction.connection, tables.settings, [row])
            statement = select(tables.settings.c.value).where(tables.settings.c.name == name)
            return str(transaction.connection.execute(statement).scalar_one())

    def answers(self) -> bool:
        """Tell whether the database can be read now."""
        try:
            self.get_setting("")
        except (SQLAlchemyError, PulpitError):
            return False
        return True

    def close(self) -> None:
        """Let go of all connections and wake everybody who waits for events."""
        self.signal.close()
        self._readers.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
