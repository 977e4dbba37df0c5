"""Ids of units, none of which is ever given a second time.

Tasks remember ids from one transaction to the next, while others may remove what nothing holds yet.
Sequences of PostgreSQL only grow; but SQLite counts on from the highest number that is left.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from pulpit.storage.rows import upsert
from pulpit.storage.tables import settings, units

__all__ = ["highest", "keep_given", "next_free"]

_HIGHEST_GIVEN = "units.highest_id"


def highest(connection: Connection) -> int:
    """Return the highest id that a unit has now."""
    return int(connection.execute(select(func.max(units.c.id))).scalar() or 0)


def keep_given(connection: Connection, before: int) -> None:
    """Remember which ids were given, if the units that have been removed had the highest.

    Args:
        connection: in the transaction that has removed them.
        before: the highest id before that.
    """
    if connection.dialect.name != "sqlite":
        return
    given = max(before, _given(connection))
    if highest(connection) < given:
        upsert(connection, settings, [{"name": _HIGHEST_GIVEN, "value": str(given)}])


def next_free(connection: Connection) -> int | None:
    """Return from which id on new units must be numbered; None if the database does it right."""
    if connection.dialect.name != "sqlite":
        return None
    given = _given(connection)
    return given + 1 if given > highest(connection) else None


def _given(connection: Connection) -> int:
    statement = select(settings.c.value).where(settings.c.name == _HIGHEST_GIVEN)
    return int(connection.execute(statement).scalar() or 0)
