"""What is done from time to time: by the leader old data goes and lost workers are reaped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

from pulpit.app.tenure import Term
from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.events.amqp import CURSOR as PUBLISHER
from pulpit.services.content import Content
from pulpit.services.dispatch import CURSOR as DISPATCH
from pulpit.services.retention import Keep, Retention
from pulpit.services.schedules import Schedules
from pulpit.services.uploads import UploadRetention
from pulpit.services.workers import Reaper
from pulpit.storage.database import SqlStorage

__all__ = ["Housekeeping"]

#: Seconds between two runs of the journal's retention, and two counts of its rows.
_COMPACT_EVERY = _COUNT_EVERY = 60.0
#: Seconds between two looks for publications that nobody reads any longer.
_CLEAN_EVERY = 300.0
#: Seconds between two looks for workers that are lost.
_REAP_EVERY = 1.0
#: Seconds between two looks for schedules that are due.
_RUN_EVERY = 1.0
#: Seconds between two looks for deliveries that were over long ago.
_PURGE_EVERY = 600.0
_SECONDS_A_DAY = 86_400


class Housekeeping:
    """Runs the jobs in threads, each at its pace; one that fails is told and tried again.

    Args:
        settings: of the server.
        storage: the database.
        content: what is published.
        uploads: what clients send.
        reaper: of the workers; None where there are none.
        schedules: whose tasks are handed in.
        count_journal: called by each server from time to time.
        failures: name of a job to how often it has failed; counted here.
        log: of the server.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        storage: SqlStorage,
        content: Content,
        uploads: UploadRetention,
        reaper: Reaper | None,
        schedules: Schedules,
        count_journal: Callable[[], None],
        failures: dict[str, int],
        log: Any,
    ) -> None:
        self._settings, self._content, self._reaper = settings, content, reaper
        self._uploads = uploads
        self._schedules = schedules
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
                delivery_days=settings.listeners.history_days,
                unconfirmed_bytes=keep.unconfirmed_size,
            ),
            readers=[PUBLISHER, DISPATCH],
        )

    @contextlib.asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        """Do what each server does for itself while the block runs."""
        async with _running(self._every(_COUNT_EVERY, self._count_journal, name="count_journal")):
            yield

    @contextlib.asynccontextmanager
    async def leading(self, term: Term) -> AsyncIterator[None]:
        """Do what only the leader does while the block runs, and the term is not over."""
        every = partial(self._every, may_run=lambda: term.holds)
        reaping = self._settings.data_reaping.reaper_interval * _SECONDS_A_DAY
        strays = self._content.remove_strays
        jobs = [
            every(_COMPACT_EVERY, self._retention.compact_journal, name="compact_journal"),
            every(_CLEAN_EVERY, self._content.clean_up, name="clean_up_publications"),
            every(_CLEAN_EVERY, self._uploads.remove_idle, name="remove_idle_uploads"),
            every(_RUN_EVERY, self._run_schedules, name="run_schedules"),
            every(_PURGE_EVERY, self._retention.purge_deliveries, name="purge_deliveries"),
            # it reads the names of all files, which a start has better things to do than
            every(reaping, strays, name="remove_strays", at_once=False),
            every(reaping, self._retention.purge_tasks, name="purge_tasks"),
        ]
        if self._reaper:
            jobs.append(every(_REAP_EVERY, partial(self._reap, self._reaper), name="reap_workers"))
        async with _running(*jobs):
            yield

    def _run_schedules(self) -> None:
        """Hand in the tasks of schedules that are due, and tell of it."""
        for task in self._schedules.run_due():
            self._log.info("a schedule has handed in a task", task_id=task.id)

    def _reap(self, reaper: Reaper) -> None:
        """Put right what lost workers have left, and tell of it."""
        reaped = reaper.run_once()
        for worker in reaped.workers:
            self._log.warning("a worker is lost", worker=worker.name)
        for task in reaped.tasks:
            self._log.info("task canceled: its worker is gone", task_id=task.id)
        if reaped.jobs:
            self._log.info("tasks are handed out again", tasks=reaped.jobs)

    async def _every(
        self,
        seconds: float,
        job: Callable[[], Any],
        *,
        name: str,
        at_once: bool = True,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        self._failures.setdefault(name, 0)
        if not at_once:
            await asyncio.sleep(seconds)
        while may_run():
            try:
                await asyncio.to_thread(job)
            except Exception as error:  # noqa: BLE001 - the next run may be better
                self._failures[name] += 1
                self._log.error("housekeeping failed", operation=name, reason=str(error))
            await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def _running(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run the jobs while the block runs."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
