"""Over one PostgreSQL database, one server has the embedded engine, or many processes the other.

Sessions hold an advisory lock, alone for the embedded engine, shared for the distributed one: the
database frees it at once when the process is gone, and within seconds when its machine is, but not
while the process is frozen and still has its tasks.
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

__all__ = ["EngineLock"]

_TRY_ALONE = "SELECT pg_try_advisory_lock(%s)"
_TRY_SHARED = "SELECT pg_try_advisory_lock_shared(%s)"
#: For how long, and how often, a start waits for a server that was killed just now; in seconds.
_PATIENCE, _PAUSE = 3.0, 0.1
#: Seconds between two looks at the connection, and until a lost one is made again.
_LOOK = 1.0


class EngineLock:
    """The right to take part in running tasks; a context manager that holds it.

    Args:
        url: of the database.
        alone: whether this process has the embedded engine, beside which there is nobody.
        lost: called, in a thread, when those of the other engine have come to hold it, which they
            may once the database was restarted.
    """

    def __init__(self, url: str, *, alone: bool, lost: Callable[[], None]) -> None:
        self._url, self._lost = url, lost
        self._statement = _TRY_ALONE if alone else _TRY_SHARED
        self._connect = connector(url, idle_seconds=0, autocommit=True)
        self._connection: psycopg.Connection[Any] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="engine-lock", daemon=True)

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            EngineInUse: those of the other engine have it, or another server that is to be alone.
            DatabaseUnusable: the database can't be reached.
        """
        deadline = time.monotonic() + _PATIENCE
        with explained(self._url):
            while not self._take():
                if time.monotonic() > deadline:
                    raise self._in_use()
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
        if _granted(connection, self._statement):
            self._connection = connection
            return True
        connection.close()
        return False

    def _in_use(self) -> EngineInUse:
        """Return what to say of those who hold it."""
        url = masked_url(self._url)
        with self._connect() as connection:
            if _granted(connection, _TRY_SHARED):
                return EngineInUse(
                    f"Servers or workers of the distributed engine run on the database {url}: "
                    "stop them, or set `engine: distributed` in [tasks] here, too.",
                )
        return EngineInUse(
            f"A server with the embedded engine runs on the database {url}: stop it; for several "
            "servers set `engine: distributed` in [tasks] of all of them, and start `pulpit "
            "worker` beside them.",
        )

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


def _granted(connection: psycopg.Connection[Any], statement: Any) -> bool:
    """Return whether the lock was to be had."""
    row = connection.execute(statement, [int(AdvisoryLock.ENGINE)]).fetchone()
    return bool(row and row[0])
