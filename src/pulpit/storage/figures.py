"""What the database holds, counted for those who watch it; none of it reads the whole journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, func, select, text, type_coerce

from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState
from pulpit.storage.database import SqlStorage
from pulpit.storage.rows import now_of
from pulpit.storage.tables import (
    IS_LASTING,
    IS_PROGRESS,
    cursors,
    journal,
    leases,
    reservations,
    schedules,
    tasks,
    workers,
)
from pulpit.storage.versions import read_version

__all__ = ["DatabaseFigures", "JournalSize", "journal_size", "read_figures", "schema_fits"]

#: Rows whose bodies stand for those of all others.
_SAMPLE = 512
_KINDS = {EventKind.PROGRESS: IS_PROGRESS, EventKind.STATUS: IS_LASTING}
#: The index that holds one entry for each row of a kind.
_INDEXES = {EventKind.PROGRESS: "ix_journal_progress", EventKind.STATUS: "ix_journal_lasting"}
#: Rows above which PostgreSQL's own estimate will do: to count, it may have to read the bodies.
_ESTIMATED = 100_000
_MICROSECONDS = 1_000_000


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
    #: Schedules that are enabled, and that are not.
    schedules_enabled: int
    schedules_disabled: int
    #: When the enabled one was to run that comes first; None without any.
    next_schedule: datetime | None
    #: Workers of the distributed engine, what they can run at a time, and the seconds since the
    #: one was heard of that has been silent longest; None without any.
    workers: int
    worker_slots: int
    worker_silence: float | None
    #: Name of a lease to the seconds until it ends unless it is renewed; 0 for one that has ended.
    leases: Mapping[str, float]


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
            **_schedules(connection),
            **_processes(connection),
        )


def journal_size(storage: SqlStorage) -> JournalSize:
    """Count the journal's rows by its indexes; takes a tenth of a second for a million.

    Of many rows in PostgreSQL, it returns the estimate that its planner has.
    """
    newest = (
        select(func.length(journal.c.body).label("bytes"))
        .order_by(journal.c.sequence.desc())
        .limit(_SAMPLE)
        .subquery()
    )
    with storage.read() as transaction:
        connection = transaction.connection
        rows = {kind: _rows(connection, kind) for kind in _KINDS}
        mean = connection.execute(select(func.avg(newest.c.bytes))).scalar()
    return JournalSize(rows=rows, mean_bytes=float(mean or 0))


def _rows(connection: Connection, kind: EventKind) -> int:
    """Return how many rows of a kind the journal has."""
    if connection.dialect.name == "postgresql":
        query = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)")
        estimate = connection.execute(query, {"name": _INDEXES[kind]}).scalar()
        if estimate is not None and estimate > _ESTIMATED:
            return int(estimate)
    statement = select(func.count()).select_from(journal).where(_KINDS[kind])
    return int(connection.execute(statement).scalar_one())


def _schedules(connection: Connection) -> dict[str, Any]:
    """Return how many schedules there are, and when the first of them is to run."""
    enabled = func.count().filter(schedules.c.enabled)
    first = func.min(schedules.c.next_run).filter(schedules.c.enabled)
    count, able, time = connection.execute(
        select(func.count(), enabled, first).select_from(schedules)
    ).one()
    return {
        "schedules_enabled": able,
        "schedules_disabled": count - able,
        "next_schedule": time,
    }


def _processes(connection: Connection) -> dict[str, Any]:
    """Return what the database knows of workers and leases, by its own clock."""
    now = now_of(connection)
    silence = now - type_coerce(func.min(workers.c.heartbeat), BigInteger)
    count, slots, longest = connection.execute(
        select(func.count(), func.coalesce(func.sum(workers.c.slots), 0), silence).select_from(
            workers
        )
    ).one()
    left = type_coerce(leases.c.until, BigInteger) - now
    return {
        "workers": count,
        "worker_slots": slots,
        "worker_silence": max(longest, 0) / _MICROSECONDS if count else None,
        "leases": {
            name: max(until, 0) / _MICROSECONDS
            for name, until in connection.execute(select(leases.c.name, left))
        },
    }


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
