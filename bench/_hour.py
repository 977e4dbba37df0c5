"""An hour of tasks on the real services and a clock that is moved by hand."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pulpit.config.settings import DataReaping, Events, Listeners
from pulpit.domain.events import Event, EventKind
from pulpit.domain.outcomes import Finished, Outcome, Progress, Update
from pulpit.domain.tasks import Task
from pulpit.events.amqp import CURSOR
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.retention import Keep, Retention
from pulpit.services.tasks import Tasks, repository_task
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import FrozenClock, RecordingEngine

__all__ = ["BODY", "GROUP", "Hour", "Size"]

_TASKS = 4
_TICKS_A_SECOND, _MINUTE = 10, 60
#: Progress events of each task in each tick; 50 a second.
_PROGRESS = 5
#: Progress events that are written in one transaction.
GROUP = _TASKS * _PROGRESS
#: Bytes of a body, and what one takes beside its filling.
BODY, _BARE = 1_500, 610


@dataclass(frozen=True, kw_only=True)
class Size:
    """A database file after a checkpoint, in bytes."""

    #: Pages that hold something.
    used: int
    #: All pages, free ones included.
    file: int

    @classmethod
    def of(cls, path: Path) -> Size:
        """Return the size of the database, its write-ahead log taken in."""
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise RuntimeError("the write-ahead log could not be taken in")
            page, pages, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
        return cls(used=(pages - free) * page, file=pages * page)


class Hour:
    """Tasks that come, tell and go, on a clock that is moved by hand.

    Args:
        folder: for the database; made.
        seconds: how long it lasts.
        telling: whether tasks tell progress.
        task_seconds: how long a task takes.
    """

    def __init__(
        self, folder: Path, *, seconds: int, telling: bool, task_seconds: int = 60
    ) -> None:
        folder.mkdir(parents=True)
        self.path = upgrade(folder)
        self.storage = SqliteStorage(self.path)
        self._seconds, self._telling = seconds, telling
        self._task_ticks = task_seconds * _TICKS_A_SECOND
        self._clock = FrozenClock()
        self._tasks = Tasks(self.storage, clock=self._clock, engine=RecordingEngine())
        self._lifecycle = Lifecycle(
            self.storage, clock=self._clock, completions={}, offer=lambda _: None
        )
        self._retention = Retention(
            self.storage,
            self.storage.cursors,
            clock=self._clock,
            keep=_keep(),
            readers=[CURSOR],
        )
        self._running: list[Task | None] = [None] * _TASKS
        self._report = {"yum_importer": {"state": "IN_PROGRESS", "fill": "x" * (BODY - _BARE)}}
        self.before = Size.of(self.path)
        #: Highest size of the write-ahead log that the end of a minute saw, in bytes.
        self.log_bytes = 0
        self.retention_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.storage.close()

    def pass_by(self, minute: Callable[[], None] = lambda: None) -> None:
        """Let the hour pass, and *minute* be called after each."""
        for tick in range(self._seconds * _TICKS_A_SECOND):
            self._clock.advance(seconds=1 / _TICKS_A_SECOND)
            for slot in range(_TASKS):
                # all begin at once and end one after the other
                if tick == 0 or (tick + slot * self._task_ticks // _TASKS) % self._task_ticks == 0:
                    self._turn_over(slot)
            if self._telling:
                self._tell(tick)
            if (tick + 1) % (_MINUTE * _TICKS_A_SECOND) == 0:
                self._log_grew()
                self.retain()
                minute()
        for slot in range(_TASKS):
            self._end(slot)

    def outlive_progress(self) -> None:
        """Let the time pass after which nobody may ask for the progress of these tasks."""
        self._clock.advance(hours=Events().progress_hours, seconds=1)
        self.retain()

    def retain(self) -> None:
        """Let retention run."""
        began = time.perf_counter()
        self._retention.compact_journal()
        self.retention_s += time.perf_counter() - began

    def events(self, kind: EventKind) -> Iterator[Event]:
        """Yield the events of the kind that the journal holds."""
        after = self.storage.events.oldest()
        while page := self.storage.events.read(after, 1_000):
            yield from (event for event in page if event.kind is kind)
            after = page[-1].sequence

    def _turn_over(self, slot: int) -> None:
        """End the task of a slot and begin the next one."""
        self._end(slot)
        task = repository_task(
            f"zoo-{slot}",
            now=self._clock(),
            task_type="pulp.server.managers.repo.sync.sync",
            operation="bench",
            tags=["pulp:action:sync"],
        )
        # from the start, so that no status change is smaller than progress is
        self._tasks.submit(replace(task, progress=self._report))
        (self._running[slot],) = self._lifecycle.claim("bench@localhost", 1)

    def _end(self, slot: int) -> None:
        if task := self._running[slot]:
            end = Finished(result={"added_count": 1}, report=self._report)
            self._lifecycle.record([_update(task, end)])
        self._running[slot] = None

    def _tell(self, tick: int) -> None:
        """Let each task tell its progress of one tick, all in one transaction."""
        stage = self._report["yum_importer"]
        self._lifecycle.record(
            [
                _update(
                    task, Progress(report={"yum_importer": {**stage, "done": tick * _PROGRESS + n}})
                )
                for n in range(_PROGRESS)
                for task in self._running
                if task
            ]
        )

    def _log_grew(self) -> None:
        log = self.path.with_name(f"{self.path.name}-wal")
        self.log_bytes = max(self.log_bytes, log.stat().st_size)


def _keep() -> Keep:
    """Return the bounds that a server has by default."""
    events = Events()
    return Keep(
        status_days=events.status_days,
        status_rows=events.status_rows,
        progress_hours=events.progress_hours,
        progress_rows=events.progress_rows,
        task_days=DataReaping().task_status_history,
        delivery_days=Listeners().history_days,
        unconfirmed_bytes=events.unconfirmed_size,
    )


def _update(task: Task, news: Progress | Outcome) -> Update:
    return Update(task_id=task.id, attempt=task.attempt, news=news)
