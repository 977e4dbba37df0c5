"""Statements that every store writes alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, cast, extract, func
from sqlalchemy.dialects import sqlite

__all__ = ["batched", "insert_ignoring", "insert_statement", "now_of", "storable", "upsert"]

_T = TypeVar("_T")

#: Well below SQLite's limit of bound values in one statement.
IN_LIMIT = 10_000


def batched(values: Collection[_T], size: int = IN_LIMIT) -> Iterator[Sequence[_T]]:
    """Yield the values in lists of at most *size*."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def storable(text: str) -> str:
    """Return a text with "?" in the place of what is no text, as mail servers may answer."""
    return text.encode(errors="replace").decode()


def insert_statement(connection: Connection, table: Table) -> Any:
    """Return the dialect's INSERT, which knows what to do on a conflict."""
    if connection.dialect.name == "postgresql":
        # here, since the dialect takes a tenth of all imports of a process that never uses it
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert(table)
    return sqlite.insert(table)


def now_of(connection: Connection) -> ColumnElement[int]:
    """Return the present time by the database's clock, in microseconds since 1970."""
    if connection.dialect.name == "postgresql":
        return cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)
    # the day on which 1970 began
    return cast((func.julianday("now") - 2440587.5) * 86_400_000_000, BigInteger)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; where the primary key is there, write the other given columns."""
    if not rows:
        return
    statement = insert_statement(connection, table)
    keys = [column.name for column in table.primary_key]
    others = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), [*rows])


def insert_ignoring(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows, leaving alone those that are there."""
    if rows:
        connection.execute(insert_statement(connection, table).on_conflict_do_nothing(), [*rows])
