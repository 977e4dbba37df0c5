"""What is done from time to time while the server runs: old data goes, the journal is counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.events.amqp import CURSOR
from pulpit.services.content import Content
from pulpit.services.retention import Keep, Retention
from pulpit.storage.database import SqlStorage

__all__ = ["Housekeeping"]

#: Seconds between two runs of the journal's retention.
_COMPACT_EVERY = 60.0
#: Seconds between two looks for publications that nobody reads any longer.
_CLEAN_EVERY = 300.0
_SECONDS_A_DAY = 86_400


class Housekeeping:
    """Runs the jobs in threads, each at its pace; one that fails is told and tried again.

    Args:
        settings: of the server.
        storage: the database.
        content: what is published.
        count_journal: called after each compaction of the journal.
        failures: name of a job to how often it has failed; counted here.
        log: of the server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        storage: SqlStorage,
        content: Content,
        count_journal: Callable[[], None],
        failures: dict[str, int],
        log: Any,
    ) -> None:
        self._settings, self._content = settings, content
        self._count_journal, self._failures, self._log = count_journal, failures, log
        keep = settings.events
        self._retention = Retention(
            storage,
            storage.cursors,
            clock=utc_now,
            keep=Keep(
                status_days=keep.status_days,
                status_rows=keep.status_rows,
                progress_hours=keep.progress_hours,
                progress_rows=keep.progress_rows,
                task_days=settings.data_reaping.task_status_history,
                unconfirmed_bytes=keep.unconfirmed_size,
            ),
            publisher_cursor=CURSOR,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the jobs while the block runs."""
        reaping = self._settings.data_reaping.reaper_interval * _SECONDS_A_DAY
        strays = self._content.remove_strays
        work = [
            self._every(_COMPACT_EVERY, self._compact, name="compact_journal"),
            self._every(_CLEAN_EVERY, self._content.clean_up, name="clean_up_publications"),
            # it reads the names of all files, which a start has better things to do than
            self._every(reaping, strays, name="remove_strays", at_once=False),
            self._every(reaping, self._retention.purge_tasks, name="purge_tasks"),
        ]
        jobs = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)

    def _compact(self) -> None:
        self._retention.compact_journal()
        self._count_journal()

    async def _every(
        self, seconds: float, job: Callable[[], Any], *, name: str, at_once: bool = True
    ) -> None:
        self._failures[name] = 0
        if not at_once:
            await asyncio.sleep(seconds)
        while True:
            try:
                await asyncio.to_thread(job)
            except Exception as error:  # noqa: BLE001 - the next run may be better
                self._failures[name] += 1
                self._log.error("housekeeping failed", operation=name, reason=str(error))
            await asyncio.sleep(seconds)
