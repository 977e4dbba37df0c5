"""What stores do otherwise where many machines write at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from sqlalchemy import Connection, Text, cast, func, select

from pulpit.domain.units import Unit
from pulpit.storage.content import SqlContentStore
from pulpit.storage.journal import SqlJournalStore
from pulpit.storage.locks import AdvisoryLock, lock, lock_shared
from pulpit.storage.publications import SqlPublicationStore
from pulpit.storage.tables import journal, reservations, tasks
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

_NEWEST = func.max(journal.c.sequence)
#: The newest number; all who listen are told it.
_LAST = select(_NEWEST, func.pg_notify(JOURNAL_CHANNEL, cast(_NEWEST, Text)))


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

    def _last(self) -> int:
        # the same statement tells all who listen, once the transaction is committed
        return int(self._connection.execute(_LAST).scalar_one())


class PostgresContentStore(SqlContentStore):
    """Implements ``pulpit.ports.ContentStore``; not for transactions that only read.

    With its first statement it waits for who removes orphans, and keeps others from doing so.
    """

    @cached_property
    def _connection(self) -> Connection:
        lock_shared(self._given, AdvisoryLock.CONTENT)
        return self._given

    def replace(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        # two that replace the same units in another order would wait for each other
        lock(self._connection, AdvisoryLock.REPLACING)
        return super().replace(units)

    def remove_orphans(self, unit_ids: Collection[int] | None = None) -> tuple[int, Sequence[str]]:
        lock(self._given, AdvisoryLock.CONTENT)
        return super().remove_orphans(unit_ids)


class PostgresPublicationStore(SqlPublicationStore):
    """Implements ``pulpit.ports.PublicationStore``."""

    def add_files(
        self, publication_id: int, units: Mapping[str, int], files: Collection[str]
    ) -> None:
        # the units must not go as orphans before this is committed
        lock_shared(self._connection, AdvisoryLock.CONTENT)
        super().add_files(publication_id, units, files)
