"""What is old goes: journal rows, ended tasks, deliveries that are over."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from pulpit.domain.tasks import COMPLETE
from pulpit.ports import Clock, CursorStore, Storage

__all__ = ["Keep", "Retention"]

#: Rows deleted in one transaction, so that writers get their turn.
_ROWS = 2_000
#: A century; times much longer ago can't be told.
_LONGEST_DAYS = 36_500.0
_HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How much is kept, and for how long."""

    status_days: float
    status_rows: int
    progress_hours: float
    progress_rows: int
    task_days: float
    #: For deliveries that are over.
    delivery_days: float
    #: Bytes of overdue status rows past which they go even if somebody has not read them yet.
    unconfirmed_bytes: int


class Retention:
    """Deletes what is past retention.

    Args:
        storage: where it is.
        cursors: how far those who read the journal have come.
        clock: the present time.
        keep: the bounds.
        readers: names of the cursors of those who are to read every status change, such as the
            publisher, whose broker must have confirmed it.
    """

    def __init__(
        self,
        storage: Storage,
        cursors: CursorStore,
        *,
        clock: Clock,
        keep: Keep,
        readers: Collection[str],
    ) -> None:
        self._storage = storage
        self._cursors = cursors
        self._clock = clock
        self._keep = keep
        self._readers = readers

    def compact_journal(self) -> int:
        """Delete journal rows that are past retention; return how many."""
        return _in_parts(self._compact)

    def _compact(self) -> int:
        keep = self._keep
        with self._storage.write() as transaction:
            return transaction.journal.compact(
                now=self._clock(),
                status_days=min(keep.status_days, _LONGEST_DAYS),
                status_rows=keep.status_rows,
                progress_hours=min(keep.progress_hours, _LONGEST_DAYS * _HOURS_A_DAY),
                progress_rows=keep.progress_rows,
                keep_after=self._read_by_all(),
                keep_bytes=keep.unconfirmed_bytes,
                limit=_ROWS,
            )

    def _read_by_all(self) -> int | None:
        """Return the number above which somebody still needs what is there."""
        found = map(self._cursors.load, self._readers)
        return min((number for number in found if number is not None), default=None)

    def purge_tasks(self) -> int:
        """Delete tasks that ended long ago; return how many."""
        with self._storage.write() as transaction:
            return transaction.tasks.purge(COMPLETE, before=self._ago(self._keep.task_days))

    def purge_deliveries(self) -> int:
        """Delete deliveries that were over long ago, and their messages; return how many rows."""
        return _in_parts(self._purge_deliveries)

    def _purge_deliveries(self) -> int:
        before = self._ago(self._keep.delivery_days)
        with self._storage.write_beside() as transaction:
            return transaction.deliveries.purge(before=before, limit=_ROWS)

    def _ago(self, days: float) -> datetime:
        return self._clock() - timedelta(days=min(days, _LONGEST_DAYS))


def _in_parts(act: Callable[[], int]) -> int:
    """Do what deletes some rows at a time until none are left; return how many there were."""
    total = 0
    while True:
        gone = act()
        total += gone
        if gone < _ROWS:
            return total
