"""The journal: one ordered log of events, written with what they tell of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Connection,
    CursorResult,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from pulpit.domain.events import Event, EventKind, NewEvent
from pulpit.domain.tasks import COMPLETE, TaskState
from pulpit.errors import EventsGone
from pulpit.ports import ToldBefore
from pulpit.storage.history import next_of, progress_before
from pulpit.storage.journal_signal import JournalSignal
from pulpit.storage.rows import insert_ignoring, upsert
from pulpit.storage.tables import IS_LASTING, IS_PROGRESS, journal, settings, tasks

__all__ = ["SqlJournal", "SqlJournalStore", "name_journal", "newest"]

#: Setting that holds the highest number of a status row that retention deleted.
_FLOOR = "journal.floor"
#: Setting that holds the journal's own name, which makes event ids unique.
_JOURNAL_ID = "journal.id"
#: Rows fetched at once where bytes are counted.
_ROWS = 16
#: The newest row, which retention leaves alone, so that the head never seems to go back.
_NEWEST = select(func.max(journal.c.sequence)).scalar_subquery()
#: Building a statement takes longer than running it; every reader of the journal runs this one.
_NEXT = (
    select(journal)
    .where(journal.c.sequence > bindparam("after"))
    .order_by(journal.c.sequence)
    .limit(bindparam("most"))
)
_APPEND = insert(journal)
_LAST = select(func.max(journal.c.sequence))
#: Looking a member up is cheaper than calling its class.
_KINDS = {kind.value: kind for kind in EventKind}
_STATES: dict[str | None, TaskState | None] = {state.value: state for state in TaskState}
_STATES[None] = None


class SqlJournalStore:
    """Implements ``pulpit.ports.JournalStore``."""

    def __init__(
        self, connection: Connection, written: Callable[[int, Sequence[NewEvent]], None]
    ) -> None:
        self._connection = connection
        self._written = written

    def append(self, events: Sequence[NewEvent]) -> Sequence[int]:
        if not events:
            return []
        # writers take turns, so the rows just written are the newest ones, without a gap
        last = self._write(events)
        self._written(last, events)
        return range(last - len(events) + 1, last + 1)

    def _write(self, events: Sequence[NewEvent]) -> int:
        """Add rows in the order of the events; return the number of the last."""
        rows = [
            {
                "kind": event.kind.value,
                "type": event.type,
                "task_id": event.task_id,
                "revision": event.revision,
                "previous": event.revision - 1,
                "state": event.state.value if event.state else None,
                "tags": list(event.tags),
                "time": event.time,
                "body": event.body,
            }
            for event in events
        ]
        self._connection.execute(_APPEND, rows)
        return int(self._connection.execute(_LAST).scalar_one())

    def head(self) -> int:
        return newest(self._connection)

    def compact(
        self,
        *,
        now: datetime,
        status_days: float,
        status_rows: int,
        progress_hours: float,
        progress_rows: int,
        keep_after: int | None,
        keep_bytes: int,
        limit: int,
    ) -> int:
        gone = self._compact_progress(now - timedelta(hours=progress_hours), progress_rows, limit)
        overdue = self._overdue(now - timedelta(days=status_days), status_rows)
        if keep_after is not None and self._bytes_above(overdue, keep_after) <= keep_bytes:
            overdue = overdue.where(journal.c.sequence <= keep_after)
        return gone + self._delete_status(overdue.order_by(journal.c.sequence).limit(limit))

    def _compact_progress(self, ended_before: datetime, rows: int, limit: int) -> int:
        """Delete progress of tasks that ended long ago, and what is too much of a single task."""
        doomed: set[int] = set()
        task_ids: set[str] = set()
        for task_id, surplus in self._crowded(ended_before, rows):
            # a task's newest row stays: what comes after it will not say what it stands for
            newest = select(func.max(journal.c.sequence)).where(journal.c.task_id == task_id)
            found = self._connection.execute(
                select(journal.c.sequence)
                .where(
                    IS_PROGRESS,
                    journal.c.task_id == task_id,
                    journal.c.sequence < newest.scalar_subquery(),
                )
                .order_by(journal.c.sequence)
                .limit(min(surplus, limit - len(doomed))),
            )
            doomed.update(found.scalars())
            task_ids.add(task_id)
            if len(doomed) >= limit:
                break
        if doomed:
            self._tell_compaction(task_ids, doomed)
            self._delete(doomed)
        return len(doomed)

    def _crowded(self, ended_before: datetime, rows: int) -> Sequence[tuple[str, int]]:
        """Return the tasks that have too much progress here, with how much too much."""
        # an index of progress alone answers this, however long the journal is
        counted = (
            select(journal.c.task_id, func.count().label("rows"))
            .where(IS_PROGRESS)
            .group_by(journal.c.task_id)
            .subquery()
        )
        ended = tasks.c.state.in_([state.value for state in COMPLETE]) & (
            tasks.c.finish_time < ended_before
        )
        surplus = case(
            (or_(tasks.c.id.is_(None), ended), counted.c.rows), else_=counted.c.rows - rows
        )
        found = self._connection.execute(
            select(counted.c.task_id, surplus)
            .outerjoin(tasks, tasks.c.id == counted.c.task_id)
            .where(surplus > 0),
        )
        return [(row[0], row[1]) for row in found]

    def _tell_compaction(self, task_ids: set[str], doomed: set[int]) -> None:
        """Let each event that stays stand for those just before it that go."""
        changed = []
        for task_id in task_ids:
            # revision of the row before, if that goes, and what it stands for
            gone: dict[int, int] = {}
            for row in self._connection.execute(
                select(journal.c.sequence, journal.c.revision, journal.c.previous)
                .where(journal.c.task_id == task_id)
                .order_by(journal.c.sequence),
            ):
                # where revisions don't meet, a status row is gone that nobody may stand for
                previous = gone.get(row.previous, row.previous)
                gone = {row.revision: previous} if row.sequence in doomed else {}
                if previous != row.previous and not gone:
                    changed.append({"of_sequence": row.sequence, "stands_from": previous})
        if changed:
            self._connection.execute(
                update(journal)
                .where(journal.c.sequence == bindparam("of_sequence"))
                .values(previous=bindparam("stands_from")),
                changed,
            )

    def _overdue(self, before: datetime, rows: int) -> Select[int]:
        """Return what selects the lasting rows that are too old or too many; never the newest."""
        surplus = (
            select(journal.c.sequence)
            .where(IS_LASTING)
            .order_by(journal.c.sequence.desc())
            .offset(rows)
            .limit(1)
            .scalar_subquery()
        )
        return select(journal.c.sequence).where(
            IS_LASTING,
            journal.c.sequence < _NEWEST,
            or_(journal.c.time < before, journal.c.sequence <= surplus),
        )

    def _bytes_above(self, overdue: Select[int], sequence: int) -> int:
        """Return the bytes of the overdue bodies with a number above that."""
        size = overdue.with_only_columns(func.coalesce(func.sum(func.length(journal.c.body)), 0))
        return int(self._connection.execute(size.where(journal.c.sequence > sequence)).scalar_one())

    def _delete_status(self, overdue: Select[int]) -> int:
        """Delete lasting rows, and keep the highest number of them."""
        sequences = [row[0] for row in self._connection.execute(overdue)]
        if not sequences:
            return 0
        self._delete(sequences)
        # times may go back where numbers don't
        floor = max(sequences[-1], int(_setting(self._connection, _FLOOR) or 0))
        upsert(self._connection, settings, [{"name": _FLOOR, "value": str(floor)}])
        return len(sequences)

    def _delete(self, sequences: Collection[int]) -> None:
        self._connection.execute(
            delete(journal).where(journal.c.sequence == bindparam("of_sequence")),
            [{"of_sequence": sequence} for sequence in sequences],
        )


class SqlJournal:
    """Implements ``pulpit.ports.EventHistory``.

    Args:
        reading: opens a transaction that only reads, from one snapshot.
        signal: knows the newest number.
    """

    def __init__(
        self, reading: Callable[[], AbstractContextManager[Connection]], signal: JournalSignal
    ) -> None:
        self._reading = reading
        self._signal = signal
        with reading() as connection:
            signal.advance(newest(connection))

    @cached_property
    def _id(self) -> str:
        """The journal's own name."""
        with self._reading() as connection:
            return _setting(connection, _JOURNAL_ID) or ""

    def head(self) -> int:
        return self._signal.head

    def oldest(self) -> int:
        with self._reading() as connection:
            return int(_setting(connection, _FLOOR) or 0)

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        return self._read(_NEXT, after, limit, most_bytes)

    def read_tasks(
        self, after: int, limit: int, task_ids: Collection[str], *, most_bytes: int | None = None
    ) -> Sequence[Event]:
        return self._read(next_of(task_ids), after, limit, most_bytes)

    def progress_before(self, after: int) -> Mapping[str, ToldBefore]:
        with self._reading() as connection:
            return progress_before(connection, after)

    def _read(
        self, statement: Select[Any], after: int, limit: int, most_bytes: int | None
    ) -> Sequence[Event]:
        with self._reading() as connection:
            rows = connection.execute(statement, {"after": after, "most": limit})
            events = self._events(rows if most_bytes is None else _bounded(rows, most_bytes))
            # where no number is left out nothing is missed
            if not events or events[-1].sequence != after + len(events):
                floor = int(_setting(connection, _FLOOR) or 0)
                if after < floor or (not events and after > newest(connection)):
                    raise EventsGone(since=after, oldest=floor + 1, head=newest(connection))
        return events

    def wait(self, after: int, timeout: float | None) -> bool:
        return self._signal.wait(after, timeout)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        return self._signal.subscribe(wake)

    def _events(self, rows: Iterable[Sequence[Any]]) -> list[Event]:
        """Return the events that the rows hold, each with the columns in the table's order."""
        name = self._id
        # unpacked, because looking columns up by name would double the time that a row takes
        return [
            Event(
                sequence=sequence,
                id=f"{name}:{sequence}",
                kind=_KINDS[kind],
                type=type_,
                task_id=task_id,
                revision=revision,
                previous=previous,
                state=_STATES[state],
                tags=tuple(tags),
                time=time,
                body=body,
            )
            for (
                sequence,
                kind,
                type_,
                task_id,
                revision,
                previous,
                state,
                tags,
                time,
                body,
            ) in rows
        ]


def _bounded(rows: CursorResult[Any], most_bytes: int) -> Iterator[Sequence[Any]]:
    """Yield rows until their bodies have so many bytes."""
    size = 0
    # few at a time, so that what is too much is not read
    for row in rows.yield_per(_ROWS):
        yield row
        size += len(row[-1])
        if size >= most_bytes:
            break
    rows.close()


def newest(connection: Connection) -> int:
    """Return the head of this snapshot, which the signal may not have been told of yet."""
    return connection.execute(select(_NEWEST)).scalar() or 0


def _setting(connection: Connection, name: str) -> str | None:
    """Return a value that the server keeps about itself."""
    return connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar()


def name_journal(connection: Connection) -> None:
    """Give a new journal a name of its own; one that has a name keeps it."""
    insert_ignoring(connection, settings, [{"name": _JOURNAL_ID, "value": str(uuid4())}])
