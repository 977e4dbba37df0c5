"""From the SQLite of a data folder to PostgreSQL: everything or nothing, and checked.

Rows go as they are, by COPY, in one transaction; then both databases are read again, and nothing
is committed unless they hold the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy import Boolean, LargeBinary, String, Table
from sqlalchemy.types import JSON

from pulpit.config import masked_url
from pulpit.errors import CopyRefused
from pulpit.storage.locks import AdvisoryLock
from pulpit.storage.postgresql_connections import connector
from pulpit.storage.tables import leases, metadata, settings, workers

__all__ = ["Copied", "Told", "copy_database"]

#: What only says which processes run now.
_PRESENT = {workers.name, leases.name}
TABLES: Sequence[Table] = tuple(
    table for table in metadata.sorted_tables if table.name not in _PRESENT
)
#: Settings that belong to one database or one machine, and not to what is in it.
_OWN_SETTINGS = "name = 'boot.id' OR name LIKE 'schema.%'"
#: Rows that are held at once; of a table with bytes fewer, since each may have megabytes.
_ROWS, _LARGE_ROWS = 2_000, 50
_DIGEST = 16
_NUL, _REPLACEMENT = "\0", "\ufffd"

#: Is told (what is done, table, rows so far, rows in all) now and then.
Told = Callable[[str, str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What came of one table; equal digests mean equal rows."""

    table: str
    source_rows: int
    target_rows: int
    #: Hexadecimal; of all rows together, in whatever order.
    source_digest: str
    target_digest: str

    @property
    def is_same(self) -> bool:
        """Whether both databases hold the same."""
        return (self.source_rows, self.source_digest) == (self.target_rows, self.target_digest)


def copy_database(source: Path, url: str, *, told: Told) -> Sequence[Copied]:
    """Copy everything and compare.

    Args:
        source: the SQLite database, at this version's schema, which nobody writes meanwhile.
        url: of the PostgreSQL database, at this version's schema, which holds no rows.
        told: hears how far it is.

    Returns:
        The tables, all of which are the same in both.

    Raises:
        CopyRefused: the target holds rows, does not take some, or has others after the copy; it is
            as it was before.
    """
    address = f"{source.absolute().as_uri()}?mode=ro"
    connect = connector(url, idle_seconds=0)
    with (
        closing(sqlite3.connect(address, uri=True)) as old,
        closing(connect()) as new,
        new.transaction(),
    ):
        # what is compared is what was copied
        old.execute("BEGIN")
        _take_over(new, masked_url(url))
        for table in TABLES:
            _copy(old, new, table, told)
        _set_sequences(old, new)
        compared = [_compare(old, new, table, told) for table in TABLES]
        differing = [each.table for each in compared if not each.is_same]
        if differing:
            raise CopyRefused(
                f"The copy differs from the data folder in {', '.join(differing)}: nothing was "
                f"committed to {masked_url(url)}. Report this as a defect, with this message."
            )
    return compared


def _take_over(new: psycopg.Connection[Any], where: str) -> None:
    """Keep all others from writing, and refuse a database that holds anything."""
    for key in (AdvisoryLock.SCHEMA, AdvisoryLock.STATE):
        new.execute("SELECT pg_advisory_xact_lock(%s)", (int(key),))
    for table in metadata.sorted_tables:
        new.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(_named(table)))
    for table in metadata.sorted_tables:
        if table is settings:
            continue
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(_named(table))
        row = new.execute(query).fetchone()
        if row and row[0]:
            raise CopyRefused(
                f"The database {where} is in use: {table.name} has rows. Copy into a new database, "
                "or empty this one (DROP SCHEMA public CASCADE; CREATE SCHEMA public)."
            )
    new.execute(f"DELETE FROM settings WHERE NOT ({_OWN_SETTINGS})".encode())  # noqa: S608 - our own names


def _named(table: Table) -> sql.Identifier:
    return sql.Identifier(table.name)


def _copy(old: sqlite3.Connection, new: psycopg.Connection[Any], table: Table, told: Told) -> None:
    """Write the rows of a table."""
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(_named(table), columns)
    total = _count(old, table)
    try:
        with new.cursor().copy(statement) as writing:
            for number, row in enumerate(_source_rows(old, table), 1):
                writing.write_row(row)
                if number % _ROWS == 0:
                    told("copy", table.name, number, total)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        words = (error.diag.message_primary, error.diag.message_detail)
        reason = ": ".join(word.rstrip(".") for word in words if word) or type(error).__name__
        raise CopyRefused(
            f"PostgreSQL does not take a row of {table.name}: {reason}. Nothing was committed."
        ) from error
    told("copy", table.name, total, total)


def _count(old: sqlite3.Connection, table: Table) -> int:
    (count,) = old.execute(f"SELECT count(*) FROM {_source(table)}").fetchone()  # noqa: S608 - our own names
    return int(count)


def _source(table: Table) -> str:
    """Return the rows to read, as FROM and WHERE have them; names are our own."""
    return f"settings WHERE NOT ({_OWN_SETTINGS})" if table is settings else f'"{table.name}"'


def _source_rows(old: sqlite3.Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Yield the rows of SQLite, as PostgreSQL takes them."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    fits = [_fit_of(column.type) for column in table.columns]
    for row in old.execute(f"SELECT {names} FROM {_source(table)}"):  # noqa: S608 - our own names
        yield [None if value is None else fit(value) for fit, value in zip(fits, row, strict=True)]


def _fit_of(kind: Any) -> Callable[[Any], Any]:
    """Return what makes a value of SQLite one that PostgreSQL takes for such a column."""
    if isinstance(kind, JSON):
        return _json
    if isinstance(kind, Boolean):
        return bool
    return _text if isinstance(kind, String) else _same


def _json(value: Any) -> str:
    # SQLite turns the text of a lone number into a number
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _text(value: str) -> str:
    # as the driver does with what is written otherwise
    return value.replace(_NUL, _REPLACEMENT)


def _same(value: Any) -> Any:
    return value


def _set_sequences(old: sqlite3.Connection, new: psycopg.Connection[Any]) -> None:
    """Let the next numbers be above all that were ever given."""
    kept = dict(old.execute("SELECT name, seq FROM sqlite_sequence"))
    for table in TABLES:
        column = table.autoincrement_column
        if column is None:
            continue
        (highest,) = old.execute(f'SELECT max("{column.name}") FROM "{table.name}"').fetchone()  # noqa: S608 - our own names
        last = max(highest or 0, kept.get(table.name, 0))
        new.execute(
            "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
            (table.name, column.name, max(last, 1), last > 0),
        )


def _compare(
    old: sqlite3.Connection, new: psycopg.Connection[Any], table: Table, told: Told
) -> Copied:
    """Read a table from both databases."""
    total = _count(old, table)
    source = _Sum(_source_rows(old, table))
    target = _Sum(_target_rows(new, table, lambda number: told("check", table.name, number, total)))
    told("check", table.name, total, total)
    return Copied(
        # SQLAlchemy's names are of a class of their own
        table=str(table.name),
        source_rows=source.rows,
        target_rows=target.rows,
        source_digest=source.digest,
        target_digest=target.digest,
    )


def _target_rows(
    new: psycopg.Connection[Any], table: Table, told: Callable[[int], None]
) -> Iterator[Sequence[Any]]:
    """Yield the rows of PostgreSQL, a part at a time, JSON as its text."""
    columns = sql.SQL(", ").join(
        sql.SQL("{}::text" if isinstance(column.type, JSON) else "{}").format(
            sql.Identifier(column.name)
        )
        for column in table.columns
    )
    condition = sql.SQL(f"WHERE NOT ({_OWN_SETTINGS})" if table is settings else "")
    query = sql.SQL("SELECT {} FROM {} {}").format(columns, _named(table), condition)
    large = any(isinstance(column.type, LargeBinary) for column in table.columns)
    with new.cursor(name="check") as cursor:
        cursor.itersize = _LARGE_ROWS if large else _ROWS
        for number, row in enumerate(cursor.execute(query), 1):
            yield row
            if number % _ROWS == 0:
                told(number)


class _Sum:
    """A digest of rows that does not depend on their order.

    It is the sum of the digests of the rows: each row differs from the others by its key, so no
    two can make up for each other.
    """

    def __init__(self, rows: Iterator[Sequence[Any]]) -> None:
        self.rows, total = 0, 0
        for row in rows:
            self.rows += 1
            encoded = msgspec.msgpack.encode(row)
            total += int.from_bytes(blake2b(encoded, digest_size=_DIGEST).digest())
        self.digest = f"{total % (1 << 8 * _DIGEST):0{2 * _DIGEST}x}"
