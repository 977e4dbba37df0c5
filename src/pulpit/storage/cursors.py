"""Where channels keep how far they came."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, Self

from sqlalchemy import BigInteger, Connection, String, delete, exists, literal, select

from pulpit.errors import Fenced
from pulpit.storage.leases import is_held
from pulpit.storage.rows import insert_statement
from pulpit.storage.tables import cursors, leases

__all__ = ["SqlCursorStore"]


class _Storage(Protocol):
    """What the cursors need of the storage."""

    def at_once(self) -> AbstractContextManager[Connection]: ...
    def reading(self) -> AbstractContextManager[Connection]: ...


class _Lease(NamedTuple):
    """A lease and who must have it."""

    name: str
    holder: str


class SqlCursorStore:
    """Implements ``pulpit.ports.SharedCursorStore``; each statement commits by itself."""

    def __init__(self, storage: _Storage, lease: _Lease | None = None) -> None:
        self._storage, self._lease = storage, lease

    def fenced(self, lease: str, holder: str) -> Self:
        return type(self)(self._storage, _Lease(lease, holder))

    def load(self, name: str) -> int | None:
        with self._storage.reading() as connection:
            statement = select(cursors.c.sequence).where(cursors.c.name == name)
            value = connection.execute(statement).scalar()
        return None if value is None else int(value)

    def save(self, name: str, sequence: int) -> None:
        with self._storage.at_once() as connection:
            statement = self._insert(connection, name, sequence).on_conflict_do_update(
                index_elements=[cursors.c.name], set_={"sequence": sequence}
            )
            if connection.execute(statement.returning(cursors.c.name)).first() is None:
                raise Fenced

    def _insert(self, connection: Connection, name: str, sequence: int) -> Any:
        """Return what inserts the row, if the lease is held."""
        statement = insert_statement(connection, cursors)
        if self._lease is None:
            return statement.values(name=name, sequence=sequence)
        row = select(literal(name, String), literal(sequence, BigInteger))
        # whoever takes the lease meanwhile waits until this is committed
        held = row.where(is_held(connection, *self._lease)).with_for_update(read=True, of=leases)
        return statement.from_select([cursors.c.name, cursors.c.sequence], held)

    def drop(self, name: str) -> None:
        with self._storage.at_once() as connection:
            statement = delete(cursors).where(cursors.c.name == name)
            if self._lease is not None:
                held = exists().where(is_held(connection, *self._lease))
                if not connection.execute(select(held)).scalar():
                    raise Fenced
                statement = statement.where(held)
            connection.execute(statement)
