"""What the database holds, counted for those who watch it; none of it reads the whole journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState
from pulpit.storage.database import SqlStorage
from pulpit.storage.tables import IS_LASTING, IS_PROGRESS, cursors, journal, reservations, tasks
from pulpit.storage.versions import read_version

__all__ = ["DatabaseFigures", "JournalSize", "journal_size", "read_figures", "schema_fits"]

#: Rows whose bodies stand for those of all others.
_SAMPLE = 512
_KINDS = {EventKind.PROGRESS: IS_PROGRESS, EventKind.STATUS: IS_LASTING}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFigures:
    """What is in the database at one moment."""

    #: (state, task type) to how many tasks wait or run.
    tasks: Mapping[tuple[str, str], int]
    #: Resources that a task has, and places in the queues behind them.
    reservations_held: int
    reservations_waiting: int
    #: The oldest event there is; None in an empty journal.
    oldest: int | None
    oldest_time: datetime | None
    #: Name of a channel's cursor to its number.
    cursors: Mapping[str, int]
    #: Name of a cursor to the time of the first event after it; None where there is none.
    next_times: Mapping[str, datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSize:
    """How much the journal holds."""

    #: By kind; what stays as long as a status does counts as one.
    rows: Mapping[EventKind, int]
    #: Bytes of a body, from the newest ones.
    mean_bytes: float


def read_figures(storage: SqlStorage, positions: Mapping[str, int]) -> DatabaseFigures:
    """Return what is there now; takes milliseconds, however long the journal is.

    Args:
        storage: the database.
        positions: cursors that are kept elsewhere, by name.
    """
    with storage.read() as transaction:
        connection = transaction.connection
        kept = {row.name: row.sequence for row in connection.execute(select(cursors))}
        known = {**kept, **positions}
        oldest = _first_after(connection, 0)
        places, resources = connection.execute(
            select(func.count(), func.count(reservations.c.resource.distinct()))
        ).one()
        return DatabaseFigures(
            tasks=_tasks(connection),
            reservations_held=resources,
            reservations_waiting=places - resources,
            oldest=oldest.sequence if oldest else None,
            oldest_time=oldest.time if oldest else None,
            cursors=known,
            next_times={
                name: row.time if (row := _first_after(connection, number)) else None
                for name, number in known.items()
            },
        )


def journal_size(storage: SqlStorage) -> JournalSize:
    """Count the journal's rows by its indexes; takes a tenth of a second for a million."""
    newest = (
        select(func.length(journal.c.body).label("bytes"))
        .order_by(journal.c.sequence.desc())
        .limit(_SAMPLE)
        .subquery()
    )
    with storage.read() as transaction:
        connection = transaction.connection
        rows = {
            kind: connection.execute(
                select(func.count()).select_from(journal).where(condition)
            ).scalar_one()
            for kind, condition in _KINDS.items()
        }
        mean = connection.execute(select(func.avg(newest.c.bytes))).scalar()
    return JournalSize(rows=rows, mean_bytes=float(mean or 0))


def schema_fits(storage: SqlStorage) -> bool:
    """Return whether this version may run on the database as it is now."""
    with storage.read() as transaction:
        return read_version(transaction.connection).fits


def _tasks(connection: Connection) -> Mapping[tuple[str, str], int]:
    """Return how many tasks wait and run, by type."""
    unended = [TaskState.WAITING.value, TaskState.RUNNING.value]
    statement = (
        select(tasks.c.state, tasks.c.task_type, func.count())
        .where(tasks.c.state.in_(unended))
        .group_by(tasks.c.state, tasks.c.task_type)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(statement)}


def _first_after(connection: Connection, number: int) -> Row[Any, Any] | None:
    """Return number and time of the first event after that number."""
    statement = (
        select(journal.c.sequence, journal.c.time)
        .where(journal.c.sequence > number)
        .order_by(journal.c.sequence)
        .limit(1)
    )
    return connection.execute(statement).first()
