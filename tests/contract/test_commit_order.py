"""Commits out of order: who follows by number never passes one that is still to come."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.domain.events import NewEvent
from pulpit.storage.postgresql import PostgresStorage
from tests.contract.databases import Database, LentStorage, MakeDatabase, new_event, new_task
from tests.services.postgresql import PostgresServer

#: What one transaction does: how many events it writes, whether it lets the others run between
#: that and its end, and whether it is rolled back.
_Plan = tuple[int, bool, bool]
_PLANS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=6),
    min_size=2,
    max_size=3,
)
_PATIENCE = 20.0


class _Undone(Exception):
    """Ends a transaction that is to be rolled back."""


class _Race:
    """Writers and readers that go their ways at the same time.

    Args:
        databases: one empty database, opened by each process that there is.
        readers: how many events each reader reads at once.
    """

    def __init__(self, databases: Sequence[Database], readers: Sequence[int]) -> None:
        self._databases, self._readers = databases, readers
        self._written = threading.Event()
        #: Each reader lets a writer that dawdles go on with the next look.
        self._looks = threading.Condition()
        self._count = 0

    def run(self, plans: Sequence[Sequence[_Plan]]) -> tuple[list[int], list[list[int]]]:
        """Return the numbers that were committed, and what each reader saw."""
        with ThreadPoolExecutor(len(plans) + len(self._readers)) as pool:
            reading = [
                pool.submit(self._read, self._of(-1 - number), limit)
                for number, limit in enumerate(self._readers)
            ]
            writing = [
                pool.submit(self._write, self._of(number), str(number), plan)
                for number, plan in enumerate(plans)
            ]
            try:
                committed = [each for done in writing for each in done.result(_PATIENCE)]
            finally:
                self._written.set()
            return sorted(committed), [done.result(_PATIENCE) for done in reading]

    def _of(self, number: int) -> Database:
        """Return the database of one of the processes."""
        return self._databases[number % len(self._databases)]

    def _write(self, database: Database, task_id: str, plans: Sequence[_Plan]) -> list[int]:
        """Return the numbers of what was committed."""
        committed: list[int] = []
        revision = 0
        for count, dawdles, undone in plans:
            events = [
                new_event(task_id=task_id, revision=revision + number + 1)
                for number in range(count)
            ]
            with contextlib.suppress(_Undone):
                committed += self._commit(database, events, dawdles=dawdles, undone=undone)
                revision += count
        return committed

    def _commit(
        self, database: Database, events: Sequence[NewEvent], *, dawdles: bool, undone: bool
    ) -> Sequence[int]:
        """Return the numbers of the events of one transaction."""
        with database.write() as transaction:
            transaction.tasks.add(new_task())
            numbers = transaction.journal.append(events)
            if dawdles:
                self._let_readers_look()
            if undone:
                raise _Undone
        return numbers

    def _let_readers_look(self) -> None:
        """Wait until a reader has looked twice, with this transaction open."""
        with self._looks:
            seen = self._count
            assert self._looks.wait_for(lambda: self._count >= seen + 2, _PATIENCE)

    def _read(self, database: Database, limit: int) -> list[int]:
        """Follow the journal until all is written; return the numbers that were seen."""
        seen: list[int] = []
        while True:
            over = self._written.is_set()
            events = database.events.read(seen[-1] if seen else 0, limit)
            seen += [event.sequence for event in events]
            with self._looks:
                self._count += 1
                self._looks.notify_all()
            if over and not events:
                return seen


def _race(open_all: Callable[[], Sequence[Database]]) -> None:
    """Let writers and readers race again and again, each time on a new database."""

    @settings(max_examples=25, deadline=None)
    @given(plans=_PLANS, readers=st.lists(st.integers(1, 4), min_size=1, max_size=2))
    def race(plans: list[list[_Plan]], readers: list[int]) -> None:
        databases = open_all()
        try:
            committed, seen = _Race(databases, readers).run(plans)
            assert committed == sorted(set(committed))
            assert seen == [committed] * len(readers)
            for task_id in "012":
                events = [e for e in databases[0].events.read(0, 1_000) if e.task_id == task_id]
                revisions = [event.revision for event in events]
                assert revisions == list(range(1, len(revisions) + 1))
        finally:
            for database in reversed(databases):
                database.close()

    race()


def test_no_reader_passes_a_number_that_commits_later(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    """However writers interleave, fail and dawdle, each reader sees all, once and in order."""
    _race(lambda: [make_database(tmp_path)])


def test_no_reader_of_another_process_passes_a_number(postgresql: PostgresServer) -> None:
    """Nor does one whose writers are other processes."""

    def open_all() -> Sequence[Database]:
        first = LentStorage(postgresql)
        return [first, PostgresStorage(first.url)]

    _race(open_all)
