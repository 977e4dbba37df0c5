"""What a round leaves behind: the journal, the task table, and what each channel received."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

from tests.faults.bodies import Body
from tests.faults.delays import Delay
from tests.faults.writes import Release, Write

__all__ = [
    "Arrival",
    "Channel",
    "Gap",
    "Query",
    "Row",
    "TaskRow",
    "Truth",
    "as_document",
    "digest",
    "head",
    "read",
    "sqlite_query",
]


#: Returns the rows that a statement selects.
Query = Callable[[LiteralString], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the journal."""

    sequence: int
    kind: str
    task: str
    revision: int
    state: str
    #: SHA-256 of the body.
    body: str


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """One row of the task table."""

    task: str
    state: str
    revision: int


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the database holds in the end, and what its users had been promised."""

    journal: Sequence[Row]
    tasks: Sequence[TaskRow]
    #: Tasks that the server said it had accepted.
    accepted: frozenset[str] = frozenset()
    #: The newest number when all had ended and the servers were told to stop; None: they were not.
    settled: int | None = None
    #: Tasks that somebody asked to be canceled, answered or not.
    canceled: frozenset[str] = frozenset()
    #: When bodies of tasks ran.
    bodies: Sequence[Body] = ()
    #: What processes of tasks wrote, and when they should have written no more.
    writes: Sequence[Write] = ()
    releases: Sequence[Release] = ()
    #: How long it took until somebody stepped in for who was lost.
    delays: Sequence[Delay] = ()

    @property
    def late_comers(self) -> frozenset[str]:
        """Tasks of requests that were on their way too long: nobody waits for what becomes of them.

        A connection that was cut off may bring one after everybody has been told to stop.
        """
        if self.settled is None:
            return frozenset()
        early = {row.task for row in self.journal if row.sequence <= self.settled}
        return frozenset(row.task for row in self.journal) - early - self.accepted


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One event as a channel brought it."""

    #: Which connection of the consumer, counted from 0.
    connection: int
    id: str
    sequence: int
    task: str
    kind: str
    revision: int
    previous: int
    #: SHA-256 of the body alone, as it came.
    body: str
    #: SHA-256 of all of it, properties, headers and body, but for what it says of folding.
    whole: str
    #: Whether the broker says that it had handed it out before, perhaps to who is gone.
    redelivered: bool = False


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Numbers (after, up_to] whose progress a broker may have lost with its memory."""

    after: int
    up_to: int


@dataclass(kw_only=True)
class Channel:
    """All that came by one channel, in order, and what it promises."""

    name: str
    arrivals: list[Arrival] = field(default_factory=list)
    #: Whether it brings every status change, whatever happens.
    durable: bool = True
    #: Whether the same event may come again.
    repeats: bool = True
    #: Whether events may have been folded anew: their sender was started again.
    refolds: bool = False
    #: Where progress may be missing.
    gaps: list[Gap] = field(default_factory=list)
    #: What the server said instead of an event: that some are gone.
    notices: list[str] = field(default_factory=list)


def digest(*parts: bytes) -> str:
    """Return the SHA-256 of the parts."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8))
        total.update(part)
    return total.hexdigest()


def head(query: Query) -> int:
    """Return the newest number of the journal; 0 while there is none."""
    return int(query("SELECT coalesce(max(sequence), 0) FROM journal")[0][0])


def read(query: Query) -> Truth:
    """Return what a database holds."""
    rows = query(
        "SELECT sequence, kind, task_id, revision, state, body FROM journal "
        "WHERE task_id IS NOT NULL ORDER BY sequence",
    )
    tasks = query("SELECT id, state, revision FROM tasks ORDER BY number")
    return Truth(
        journal=[
            Row(
                sequence=row[0],
                kind=row[1],
                task=row[2],
                revision=row[3],
                state=row[4],
                body=digest(row[5]),
            )
            for row in rows
        ],
        tasks=[TaskRow(task=row[0], state=row[1], revision=row[2]) for row in tasks],
    )


def sqlite_query(data: Path, statement: LiteralString) -> list[tuple[Any, ...]]:
    """Return the rows that the statement selects in a data folder, of a server that may run."""
    database = f"file:{data / 'pulpit.db'}?mode=ro"
    with closing(sqlite3.connect(database, uri=True, timeout=30)) as connection:
        return connection.execute(statement).fetchall()


def as_document(channel: Channel) -> Mapping[str, Any]:
    """Return the channel as evidence that can be written down."""
    return {
        "name": channel.name,
        "notices": channel.notices,
        "gaps": [[gap.after, gap.up_to] for gap in channel.gaps],
        "arrivals": [
            [
                a.connection,
                a.id,
                a.sequence,
                a.task,
                a.kind,
                a.revision,
                a.previous,
                a.whole,
                a.redelivered,
            ]
            for a in channel.arrivals
        ],
    }
