"""How long a search may take: whatever it asks for, others get their turn."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pulpit.errors import SearchTooLong

__all__ = ["SEARCH_SECONDS", "Deadline", "limited"]

#: The option of a connection that says how long a search may take; None or absent: for ever.
SEARCH_SECONDS = "search_seconds"
#: SQLite asks whether to go on after so many of its own steps, of which it does millions a second.
_STEPS = 5_000
#: SQLSTATE of a statement that was broken off.
_CANCELED = "57014"


class Deadline:
    """When a search must be over."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it is past."""
        return self._end is not None and time.monotonic() > self._end

    def check(self) -> None:
        """Raise SearchTooLong if it is past."""
        if self.is_over:
            raise self.error

    @property
    def error(self) -> SearchTooLong:
        """What to raise once it is past."""
        return SearchTooLong(self._seconds or 0)


@contextmanager
def limited(connection: Connection) -> Iterator[Deadline]:
    """Break off the statements of a search that takes longer than the connection's option says.

    Raises:
        SearchTooLong: it did; the transaction can be used no longer, the connection can.
    """
    seconds = connection.get_execution_options().get(SEARCH_SECONDS)
    deadline = Deadline(seconds)
    if seconds is None:
        yield deadline
        return
    begin, end = _SWITCHES[connection.dialect.name]
    begin(connection, deadline, seconds)
    try:
        yield deadline
    except DBAPIError as error:
        if deadline.is_over or getattr(error.orig, "sqlstate", None) == _CANCELED:
            raise deadline.error from error
        raise
    finally:
        end(connection)


def _watch(connection: Connection, deadline: Deadline, _seconds: float) -> None:
    """Have SQLite ask while it works."""
    _raw(connection).set_progress_handler(lambda: int(deadline.is_over), _STEPS)


def _unwatch(connection: Connection) -> None:
    if not connection.invalidated:
        _raw(connection).set_progress_handler(None, _STEPS)


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _limit(connection: Connection, _deadline: Deadline, seconds: float) -> None:
    """Have PostgreSQL break off each statement of this transaction that takes too long."""
    statement = text("SELECT set_config('statement_timeout', :limit, true)")
    connection.execute(statement, {"limit": f"{max(1, int(seconds * 1000))}ms"})


def _unlimit(_connection: Connection) -> None:
    """Leave the limit to end with the transaction, which a search is the last act of."""


_SWITCHES: dict[str, Any] = {"sqlite": (_watch, _unwatch), "postgresql": (_limit, _unlimit)}
