"""Bringing a PostgreSQL database to this version's schema, while others use it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from pulpit.config import masked_url
from pulpit.errors import ConfigurationError, SchemaDue
from pulpit.storage.journal import name_journal
from pulpit.storage.locks import AdvisoryLock, lock
from pulpit.storage.migrations.run import pending, run
from pulpit.storage.postgresql_connections import postgresql_engine
from pulpit.storage.postgresql_troubles import explained
from pulpit.storage.procrastinate_schema import (
    due_files,
    make_procrastinate_schema,
    run_file,
    shipped_files,
)
from pulpit.storage.versions import SchemaVersion, read_version

__all__ = [
    "OLDEST_SERVER",
    "Patience",
    "SchemaState",
    "check_schema",
    "read_state",
    "refuse_unfit",
    "upgrade_postgresql",
]

#: The oldest version of PostgreSQL that is supported, and as the server tells it.
OLDEST_SERVER, _OLDEST_NUMBER = 14, 14_00_00
#: How often a step is tried.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a step waits for tables that others have locked."""

    #: Seconds at a time; meanwhile those who come later wait behind it.
    lock_seconds: float = 3.0
    #: Returns when it is time to try again.
    pause: Callable[[], None] = lambda: time.sleep(1.0)


_PATIENCE = Patience()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """How far the schema of a database is."""

    version: SchemaVersion
    #: Steps that this version has and the database has not seen, in their order.
    due: Sequence[str]


def upgrade_postgresql(url: str, *, patience: Patience = _PATIENCE) -> Sequence[str]:
    """Run the steps that the database has not seen, each wholly or not at all.

    Two that upgrade at once take turns, and those who use the database go on doing so.

    Returns:
        The steps that were run.

    Raises:
        SchemaTooNew: a newer version of Pulpit has made it.
        ConfigurationError: it keeps text in another encoding than UTF-8, or is too old.
        DatabaseUnusable: it can't be reached, written, or has others that don't let go of it.
    """
    with _opened(url) as engine:
        turns = _Turns(engine, patience)
        done = list(turns.take(lambda connection: _run_own(connection, url)))
        while more := turns.take(_run_next_file):
            done += more
    return done


def check_schema(url: str) -> None:
    """Look whether servers and workers of this version can run on the database.

    Raises:
        SchemaDue: it must be upgraded first.
        SchemaTooNew: a newer version of Pulpit has made it.
        DatabaseUnusable: it can't be reached.
    """
    where = masked_url(url)
    with _opened(url) as engine, engine.begin() as connection:
        state = read_state(connection)
    state.version.require(where)
    if state.due:
        raise SchemaDue(
            f"The database {where} lacks {', '.join(state.due)}: run `pulpit db upgrade`."
        )


def read_state(connection: Connection) -> SchemaState:
    """Return how far the schema is."""
    version = read_version(connection)
    if version.step is None:
        return SchemaState(version=version, due=pending(None))
    own = pending(version.step) if version.is_due else []
    files = [_name(path.name) for path in due_files(connection, shipped_files())]
    return SchemaState(version=version, due=[*own, *files])


def _name(file: str) -> str:
    """Return what one of Procrastinate's files is called among the steps."""
    return f"procrastinate {file.removesuffix('.sql')}"


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Engine]:
    """Yield an engine on the database whose errors are explained."""
    with explained(url):
        engine = postgresql_engine(url, connections=1, idle_seconds=60)
        try:
            yield engine
        finally:
            engine.dispose()


class _Turns:
    """Transactions that change the schema; others that do so wait."""

    def __init__(self, engine: Engine, patience: Patience) -> None:
        self._engine, self._patience = engine, patience

    def take(self, act: Callable[[Connection], Sequence[str]]) -> Sequence[str]:
        """Do something, again and again until others let go of what it locks."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._take(act)
            except OperationalError as error:
                blocked = psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected
                if not isinstance(error.orig, blocked):
                    raise
            self._patience.pause()
        return self._take(act)

    def _take(self, act: Callable[[Connection], Sequence[str]]) -> Sequence[str]:
        with self._engine.begin() as connection:
            lock(connection, AdvisoryLock.SCHEMA)
            limit = f"{int(self._patience.lock_seconds * 1000)}ms"
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{limit}'")
            # those who write tasks and journal lock tables in another order than steps do
            lock(connection, AdvisoryLock.STATE)
            return act(connection)


def _run_own(connection: Connection, url: str) -> Sequence[str]:
    """Run our own steps, and make Procrastinate's tables if they are not there."""
    refuse_unfit(connection)
    version = read_version(connection)
    version.require_known(masked_url(url))
    due = pending(version.step) if version.is_due else []
    if due:
        run(connection)
    make_procrastinate_schema(connection)
    name_journal(connection)
    return due


def _run_next_file(connection: Connection) -> Sequence[str]:
    """Run the next of Procrastinate's files; by itself, since some use what the one before adds."""
    due = due_files(connection, shipped_files())[:1]
    for path in due:
        run_file(connection, path)
    return [_name(path.name) for path in due]


def refuse_unfit(connection: Connection) -> None:
    """Refuse a server or a database that can't be used.

    Raises:
        ConfigurationError: the server is too old, or the database keeps text in another encoding.
    """
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST_NUMBER:
        raise ConfigurationError(
            f"the database's server is PostgreSQL {version // 10_000}: "
            f"{OLDEST_SERVER} or newer is needed",
            section="database",
            key="url",
        )
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"the database keeps text as {encoding}: make one with "
            "CREATE DATABASE pulpit ENCODING 'UTF8' TEMPLATE template0",
            section="database",
            key="url",
        )
