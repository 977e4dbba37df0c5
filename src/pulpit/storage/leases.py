"""What one process at a time may do, and until when if it is not heard of."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    or_,
    select,
    type_coerce,
)

from pulpit.storage.rows import insert_statement, now_of
from pulpit.storage.tables import UtcTime, leases

__all__ = ["LEASE_CHANNEL", "SqlLeaseStore", "is_held"]

#: Where PostgreSQL tells the name of a lease that was given back.
LEASE_CHANNEL = "pulpit_lease"
_MICROSECONDS = 1_000_000


class _Storage(Protocol):
    """What the leases need of the storage."""

    def at_once(self) -> AbstractContextManager[Connection]: ...
    def reading(self) -> AbstractContextManager[Connection]: ...


class SqlLeaseStore:
    """Implements ``pulpit.ports.LeaseStore``."""

    def __init__(self, storage: _Storage) -> None:
        self._storage = storage

    def take(self, name: str, holder: str, *, seconds: float) -> bool:
        with self._storage.at_once() as connection:
            until = _from_now(connection, seconds)
            statement = (
                insert_statement(connection, leases)
                .values(name=name, holder=holder, until=until)
                .on_conflict_do_update(
                    index_elements=[leases.c.name],
                    # looked at again after waiting for another one who takes it
                    set_={"holder": holder, "until": until},
                    where=or_(leases.c.holder == holder, leases.c.until <= _from_now(connection)),
                )
                .returning(leases.c.name)
            )
            return connection.execute(statement).first() is not None

    def release(self, name: str, holder: str) -> None:
        with self._storage.at_once() as connection:
            statement = delete(leases).where(leases.c.name == name, leases.c.holder == holder)
            if connection.dialect.name == "postgresql":
                # in the same statement: who is told finds the lease free
                told = func.pg_notify(LEASE_CHANNEL, leases.c.name)
                connection.execute(statement.returning(told)).all()
            else:
                connection.execute(statement)

    def remaining(self, name: str) -> float:
        with self._storage.reading() as connection:
            left = type_coerce(leases.c.until, BigInteger) - now_of(connection)
            found = connection.execute(select(left).where(leases.c.name == name)).scalar()
        return max(found or 0, 0) / _MICROSECONDS


def is_held(connection: Connection, name: str, holder: str) -> ColumnElement[bool]:
    """Return the condition for the row of a lease that the holder has now."""
    return and_(
        leases.c.name == name, leases.c.holder == holder, leases.c.until > _from_now(connection)
    )


def _from_now(connection: Connection, seconds: float = 0.0) -> ColumnElement[Any]:
    """Return the time so many seconds from now, by the database's clock."""
    return type_coerce(now_of(connection) + round(seconds * _MICROSECONDS), UtcTime)
