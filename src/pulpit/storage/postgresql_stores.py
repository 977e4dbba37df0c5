"""What stores do otherwise where many machines write at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select, text

from pulpit.domain.events import NewEvent
from pulpit.domain.units import Unit
from pulpit.storage.content import SqlContentStore
from pulpit.storage.journal import SqlJournalStore
from pulpit.storage.locks import AdvisoryLock, lock, lock_shared
from pulpit.storage.publications import SqlPublicationStore
from pulpit.storage.tables import microseconds, reservations, tasks
from pulpit.storage.tasks import SqlTaskStore

__all__ = [
    "JOURNAL_CHANNEL",
    "PostgresContentStore",
    "PostgresJournalStore",
    "PostgresPublicationStore",
    "PostgresTaskStore",
]

#: Where each commit that wrote events tells the newest number.
JOURNAL_CHANNEL = "pulpit_journal"

#: Adds events in their order, and tells all who listen the newest number: one round trip.
_APPEND = text("""
    WITH added AS (
        INSERT INTO journal (
            kind, type, task_id, revision, previous, state, tags, time, body
        )
        SELECT kind, type, task_id, revision, revision - 1, state, CAST(tags AS json), time, body
        FROM unnest(
            CAST(:kind AS text[]), CAST(:type AS text[]), CAST(:task_id AS text[]),
            CAST(:revision AS integer[]), CAST(:state AS text[]), CAST(:tags AS text[]),
            CAST(:time AS bigint[]), CAST(:body AS bytea[])
        ) WITH ORDINALITY
            AS new (kind, type, task_id, revision, state, tags, time, body, place)
        ORDER BY place
        RETURNING sequence
    )
    SELECT max(sequence), pg_notify(:channel, CAST(max(sequence) AS text)) FROM added
""")


class PostgresTaskStore(SqlTaskStore):
    """Implements ``pulpit.ports.TaskStore``."""

    def fence(self, task_id: str, attempt: int) -> None:
        # held to the end of the transaction: who releases the task waits for what it writes
        number = select(tasks.c.number).where(tasks.c.id == task_id).scalar_subquery()
        held = select(reservations.c.resource).where(reservations.c.task_number == number)
        self._connection.execute(held.with_for_update(read=True, key_share=True)).all()
        # only now: a cancel that was committed before the release is seen by a later statement
        super().fence(task_id, attempt)


class PostgresJournalStore(SqlJournalStore):
    """Implements ``pulpit.ports.JournalStore``."""

    def _write(self, events: Sequence[NewEvent]) -> int:
        columns = {
            "kind": [event.kind.value for event in events],
            "type": [event.type for event in events],
            "task_id": [event.task_id for event in events],
            "revision": [event.revision for event in events],
            "state": [event.state and event.state.value for event in events],
            "tags": [msgspec.json.encode(event.tags).decode() for event in events],
            "time": [microseconds(event.time) for event in events],
            "body": [event.body for event in events],
        }
        last = self._connection.execute(_APPEND, {**columns, "channel": JOURNAL_CHANNEL})
        return int(last.scalar_one())


class PostgresContentStore(SqlContentStore):
    """Implements ``pulpit.ports.ContentStore``; not for transactions that only read.

    With its first statement it waits for who removes orphans, and keeps others from doing so.
    """

    _is_sharing = False

    @property
    def _connection(self) -> Connection:
        # a cached property would hold a lock of all threads while this one waits in the database
        if not self._is_sharing:
            self._is_sharing = True
            lock_shared(self._given, AdvisoryLock.CONTENT)
        return self._given

    def replace(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        # two that replace the same units in another order would wait for each other
        lock(self._connection, AdvisoryLock.REPLACING)
        return super().replace(units)

    def remove_orphans(self, unit_ids: Collection[int] | None = None) -> tuple[int, Sequence[str]]:
        lock(self._given, AdvisoryLock.CONTENT)
        return super().remove_orphans(unit_ids)

    def drop_artifacts(self, digests: Collection[str]) -> Collection[str]:
        lock(self._given, AdvisoryLock.CONTENT)
        return super().drop_artifacts(digests)


class PostgresPublicationStore(SqlPublicationStore):
    """Implements ``pulpit.ports.PublicationStore``."""

    def add_files(
        self, publication_id: int, units: Mapping[str, int], files: Collection[str]
    ) -> None:
        # the units must not go as orphans before this is committed
        lock_shared(self._connection, AdvisoryLock.CONTENT)
        super().add_files(publication_id, units, files)
