"""The processes that run tasks for the distributed engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    select,
    type_coerce,
    update,
)

from pulpit.domain.workers import Worker
from pulpit.errors import Fenced
from pulpit.storage.rows import insert_statement, now_of
from pulpit.storage.tables import UtcTime, workers

__all__ = ["SqlWorkerStore"]

#: Building a statement takes longer than running it; this one runs whenever tasks begin.
_FENCE = select(workers.c.name).where(
    workers.c.name == bindparam("of_name"), workers.c.incarnation == bindparam("of_incarnation")
)


class SqlWorkerStore:
    """Implements ``pulpit.ports.WorkerStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _now(self) -> ColumnElement[Any]:
        """Return the present time by the database's clock."""
        return type_coerce(now_of(self._connection), UtcTime)

    def _all(self, statement: Select[Any]) -> list[Worker]:
        rows = self._connection.execute(statement.order_by(workers.c.name)).mappings()
        return [Worker(**row) for row in rows]

    def add(self, worker: Worker) -> bool:
        statement = insert_statement(self._connection, workers).values(
            name=worker.name,
            incarnation=worker.incarnation,
            slots=worker.slots,
            timeout=worker.timeout,
            started=self._now(),
            heartbeat=self._now(),
        )
        added = statement.on_conflict_do_nothing().returning(workers.c.name)
        return self._connection.execute(added).first() is not None

    def beat(self, name: str, incarnation: str) -> bool:
        statement = update(workers).where(*_is(name, incarnation)).values(heartbeat=self._now())
        return bool(self._connection.execute(statement).rowcount)

    def fence(self, name: str, incarnation: str) -> None:
        values = {"of_name": name, "of_incarnation": incarnation}
        if self._connection.execute(_FENCE, values).first() is None:
            raise Fenced

    def list(self) -> Sequence[Worker]:
        return self._all(select(workers))

    def silent(self) -> Sequence[Worker]:
        return self._all(select(workers).where(self._is_silent()))

    def _is_silent(self) -> ColumnElement[bool]:
        """Return the condition for those that were not heard of for too long."""
        allowed = workers.c.timeout * 1_000_000
        return now_of(self._connection) - type_coerce(workers.c.heartbeat, BigInteger) > allowed

    def remove_silent(self, names: Collection[str] | None = None) -> Sequence[Worker]:
        # one statement: a heartbeat that was under way is looked at once it is committed
        statement = delete(workers).where(self._is_silent()).returning(*workers.c)
        if names is not None:
            statement = statement.where(workers.c.name.in_(names))
        rows = self._connection.execute(statement).mappings()
        return sorted((Worker(**row) for row in rows), key=lambda worker: worker.name)

    def remove(self, name: str, incarnation: str) -> bool:
        statement = delete(workers).where(*_is(name, incarnation))
        return bool(self._connection.execute(statement).rowcount)


def _is(name: str, incarnation: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for one process of the name."""
    return workers.c.name == name, workers.c.incarnation == incarnation
