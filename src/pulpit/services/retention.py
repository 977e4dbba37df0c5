"""What is old goes: journal rows, ended tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

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
    #: Bytes of overdue status rows past which they go even if the broker has not confirmed them.
    unconfirmed_bytes: int


class Retention:
    """Deletes what is past retention.

    Args:
        storage: where it is.
        cursors: how far the broker has confirmed.
        clock: the present time.
        keep: the bounds.
        publisher_cursor: name of the publisher's cursor, None while there is no publisher.
    """

    def __init__(
        self,
        storage: Storage,
        cursors: CursorStore,
        *,
        clock: Clock,
        keep: Keep,
        publisher_cursor: str | None,
    ) -> None:
        self._storage = storage
        self._cursors = cursors
        self._clock = clock
        self._keep = keep
        self._publisher_cursor = publisher_cursor

    def compact_journal(self) -> int:
        """Delete journal rows that are past retention; return how many."""
        total = 0
        while True:
            gone = self._compact()
            total += gone
            if gone < _ROWS:
                return total

    def _compact(self) -> int:
        keep = self._keep
        with self._storage.write() as transaction:
            return transaction.journal.compact(
                now=self._clock(),
                status_days=min(keep.status_days, _LONGEST_DAYS),
                status_rows=keep.status_rows,
                progress_hours=min(keep.progress_hours, _LONGEST_DAYS * _HOURS_A_DAY),
                progress_rows=keep.progress_rows,
                keep_after=self._confirmed(),
                keep_bytes=keep.unconfirmed_bytes,
                limit=_ROWS,
            )

    def _confirmed(self) -> int | None:
        """Return the number above which the broker still needs what is there."""
        return self._cursors.load(self._publisher_cursor) if self._publisher_cursor else None

    def purge_tasks(self) -> int:
        """Delete tasks that ended long ago; return how many."""
        before = self._clock() - timedelta(days=min(self._keep.task_days, _LONGEST_DAYS))
        with self._storage.write() as transaction:
            return transaction.tasks.purge(COMPLETE, before=before)
