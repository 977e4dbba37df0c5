"""Where channels keep how far they came."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import delete, select

from pulpit.storage.rows import upsert
from pulpit.storage.tables import cursors

__all__ = ["SqlCursorStore"]


class _Writes(Protocol):
    """What the cursors need of the storage."""

    def write_beside(self) -> AbstractContextManager[Any]: ...
    def read(self) -> AbstractContextManager[Any]: ...


class SqlCursorStore:
    """Implements ``pulpit.ports.CursorStore``."""

    def __init__(self, storage: _Writes) -> None:
        self._storage = storage

    def load(self, name: str) -> int | None:
        with self._storage.read() as transaction:
            statement = select(cursors.c.sequence).where(cursors.c.name == name)
            value = transaction.connection.execute(statement).scalar()
        return None if value is None else int(value)

    def save(self, name: str, sequence: int) -> None:
        with self._storage.write_beside() as transaction:
            upsert(transaction.connection, cursors, [{"name": name, "sequence": sequence}])

    def drop(self, name: str) -> None:
        with self._storage.write_beside() as transaction:
            transaction.connection.execute(delete(cursors).where(cursors.c.name == name))
