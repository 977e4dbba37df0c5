"""Of the servers over one PostgreSQL database, one may have the embedded engine.

Its session holds an advisory lock: the database frees it at once when the process is gone, and
within seconds when its machine is, but not while the process is frozen and still has its tasks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import psycopg

from pulpit.config import masked_url
from pulpit.errors import EngineInUse
from pulpit.storage.locks import AdvisoryLock
from pulpit.storage.postgresql_connections import connector
from pulpit.storage.postgresql_troubles import explained

__all__ = ["EngineLock", "refuse_embedded"]

_TRY = "SELECT pg_try_advisory_lock(%s)"
_TRY_SHARED = "SELECT pg_try_advisory_xact_lock_shared(%s)"
#: For how long, and how often, a start waits for a server that was killed just now; in seconds.
_PATIENCE, _PAUSE = 3.0, 0.1
#: Seconds between two looks at the connection, and until a lost one is made again.
_LOOK = 1.0
_IDLE = 10.0


class EngineLock:
    """The right to run the embedded engine; a context manager that holds it.

    Args:
        url: of the database.
        lost: called, in a thread, when another server has come to hold it, which it may once the
            database was restarted.
    """

    def __init__(self, url: str, *, lost: Callable[[], None]) -> None:
        self._url, self._lost = url, lost
        self._connect = connector(url, idle_seconds=0, autocommit=True)
        self._connection: psycopg.Connection[Any] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="engine-lock", daemon=True)

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            EngineInUse: another server has it.
            DatabaseUnusable: the database can't be reached.
        """
        deadline = time.monotonic() + _PATIENCE
        with explained(self._url):
            while not self._take():
                if time.monotonic() > deadline:
                    raise _in_use(self._url)
                time.sleep(_PAUSE)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ending.set()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> bool:
        """Take it on a connection of its own, or return False."""
        connection = self._connect()
        if _granted(connection, _TRY):
            self._connection = connection
            return True
        connection.close()
        return False

    def _watch(self) -> None:
        """Take it again when the connection is lost, and tell if somebody else was faster."""
        while not self._ending.wait(_LOOK):
            try:
                if self._connection is not None:
                    self._connection.execute("SELECT 1")
                elif not self._take():
                    self._lost()
                    return
            except psycopg.Error:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None


def refuse_embedded(url: str) -> None:
    """Make sure that no server has the embedded engine.

    Raises:
        EngineInUse: one has it.
        DatabaseUnusable: the database can't be reached.
    """
    with explained(url), connector(url, idle_seconds=_IDLE)() as connection:
        free = _granted(connection, _TRY_SHARED)
    if not free:
        raise _in_use(url)


def _granted(connection: psycopg.Connection[Any], statement: Any) -> bool:
    """Return whether the lock was to be had."""
    row = connection.execute(statement, [int(AdvisoryLock.ENGINE)]).fetchone()
    return bool(row and row[0])


def _in_use(url: str) -> EngineInUse:
    return EngineInUse(
        f"A server with the embedded engine runs on the database {masked_url(url)}: stop it; for "
        "several servers set `engine: distributed` in [tasks] of all of them, and start "
        "`pulpit worker` beside them.",
    )
