"""Fetches the distributed engine's jobs by Procrastinate, in a thread of its own.

This is the only module that knows Procrastinate's interface; its worker is run again, with a
growing pause, whenever it loses the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.connector import Notify
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from pulpit.domain.workers import JOB_NAME, JOB_QUEUE
from pulpit.engine.supervisor import Log

__all__ = ["JobFeed", "Room"]

#: Pauses before Procrastinate's worker is run again: the first and the longest, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
#: Seconds that a query waits for a connection.
_CONNECTION_TIMEOUT = 5.0
#: Seconds that the end waits for Procrastinate to let go of its jobs.
_LAST_WORDS = 5.0
#: What Procrastinate's worker is told to have it look for jobs.
_LOOK = json.dumps({"type": "job_inserted", "job_id": 0})
_NO_JOB: dict[str, Any] = {"id": None}
#: We end processes by a channel of our own, so it need not ask which jobs are to be aborted.
_NEVER = 86_400.0


class Room(Protocol):
    """Where jobs go; called from the feed's thread, must return at once."""

    def reserve(self) -> bool:
        """Tell whether one more job may be fetched now; if so, it has a place until it is here."""

    def give_back(self, *, all_of_them: bool = False) -> None:
        """Take note that no job has come for the place, or will for any."""

    def hand(self, task_id: str) -> None:
        """Take the task of the job that has come."""


class _Connector(PsycopgConnector):
    """Procrastinate's way to the database, with what its worker lacks.

    That worker forgets a notification that comes while it fetches, does not look for what was
    announced while it did not listen, and does not end when its side tasks fail.

    Args:
        database: what psycopg is given to connect.
        room: where fetched jobs go.
    """

    def __init__(self, database: Mapping[str, Any], room: Room) -> None:
        super().__init__(
            # each of its questions is one statement, and an answer tells whether it can be asked
            kwargs={**database, "autocommit": True},
            pool_factory=_pool,
            min_size=1,
            max_size=4,
            timeout=_CONNECTION_TIMEOUT,
            reconnect_timeout=_CONNECTION_TIMEOUT,
        )
        self._database, self._room = database, room
        self._notify: Notify | None = None
        self._channel = ""
        self._heard = 0
        #: Set to the first error, after which the worker is of no use.
        self.broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Note that the database failed if the block does."""
        try:
            yield
        except Exception as error:
            if not self.broken.done():
                self.broken.set_result(error)
            raise

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        with self._watching():
            await super().execute_query_async(query, **arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        with self._watching():
            if "queues" not in arguments:
                return await self._one(query, arguments)
            while self._room.reserve():
                heard = self._heard
                row = await self._fetched(query, arguments)
                # nothing may be awaited between this comparison and the return
                if row["id"] is not None or heard == self._heard:
                    return row
            return _NO_JOB

    async def _fetched(self, query: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Fetch a job, and give the room for it back if there is none."""
        row = _NO_JOB
        try:
            row = await self._one(query, arguments)
        finally:
            if row["id"] is None:
                self._room.give_back()
        return row

    async def _one(self, query: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
        return row

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        with self._watching():
            connection = await _connect(self._database)
            async with connection:
                for self._channel in channels:
                    await connection.execute(
                        sql.SQL("LISTEN {}").format(sql.Identifier(self._channel))
                    )
                self._notify = on_notification
                await self.look()
                async for notification in connection.notifies():
                    self._heard += 1
                    await on_notification(
                        channel=notification.channel, payload=notification.payload
                    )

    async def look(self) -> None:
        """Have the worker look for jobs."""
        if self._notify is not None:
            self._heard += 1
            await self._notify(channel=self._channel, payload=_LOOK)


class JobFeed:
    """Hands each job's task on, and keeps the job until the task is told to be done.

    Args:
        database: what psycopg is given to connect.
        name: of the worker.
        slots: how many jobs it holds at once.
        timeout: seconds without a heartbeat after which its jobs are handed out again.
        polling: seconds between two looks for jobs that nobody announced.
        room: where tasks are handed on.
        log: where to tell what goes wrong.
    """

    def __init__(
        self,
        database: Mapping[str, Any],
        *,
        name: str,
        slots: int,
        timeout: float,
        polling: float,
        room: Room,
        log: Log,
    ) -> None:
        self._database = database
        self._room, self._log = room, log
        self._running: dict[str, Any] = {
            "queues": [JOB_QUEUE],
            "name": name,
            "concurrency": slots,
            "fetch_job_polling_interval": polling,
            "abort_job_polling_interval": _NEVER,
            "shutdown_graceful_timeout": 0,
            "delete_jobs": "always",
            "install_signal_handlers": False,
            "update_heartbeat_interval": timeout / 6,
            "stalled_worker_timeout": timeout,
        }
        self._held: dict[str, list[asyncio.Future[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._connector: _Connector | None = None
        self._looking: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Fetch jobs from now on."""
        self._loop = asyncio.new_event_loop()
        # what a lost database leaves behind is told once, when the worker is run again
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread.start()

    def quit(self) -> None:
        """Let no more jobs be fetched, and the held ones go; returns at once."""
        self._call(self._stop.set)

    def join(self) -> None:
        """Wait for the end, but no longer than the database may take to hear of it."""
        self._thread.join(_LAST_WORDS)

    def done(self, task_ids: Collection[str]) -> None:
        """Let go of the jobs of the tasks, if there are any; returns at once."""
        if any(task_id in self._held for task_id in task_ids):
            self._call(self._release, list(task_ids))

    def look(self) -> None:
        """Look for jobs: there is room again; returns at once."""
        self._call(self._look)

    def _call(self, act: Callable[..., Any], *arguments: Any) -> None:
        # once the loop is closed there is nothing left to let go of
        with contextlib.suppress(RuntimeError):
            self._running_loop.call_soon_threadsafe(act, *arguments)

    @property
    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the feed's thread."""
        assert self._loop is not None, "not started"
        return self._loop

    # ------------------------------------------------------------------ the feed's thread

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._running_loop) as runner:
            runner.run(self._feed())

    async def _feed(self) -> None:
        """Run Procrastinate's worker until told to stop, again and again if need be."""
        pause, told = _FIRST_PAUSE, ""
        while not self._stop.is_set():
            began = self._running_loop.time()
            try:
                end = await self._fetch()
            except Exception as error:  # noqa: BLE001 - jobs wait, the next run may be better
                end = error
            if self._stop.is_set():
                return
            if self._running_loop.time() - began > _LONGEST_PAUSE:
                pause, told = _FIRST_PAUSE, ""
            if (reason := _first_line(end)) != told:
                self._log.warning("jobs can't be fetched; trying again", reason=reason)
            told = reason
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _fetch(self) -> BaseException | None:
        """Run Procrastinate's worker once; return what has ended it, None for a stop."""
        # the pool that Procrastinate opens would not tell for half a minute that this fails
        await (await _connect(self._database)).close()
        self._room.give_back(all_of_them=True)
        self._connector = _Connector(self._database, self._room)
        app = App(connector=self._connector)
        app.task(name=JOB_NAME, queue=JOB_QUEUE)(self._hold)
        broken = self._connector.broken
        async with app.open_async():
            running = asyncio.create_task(app.run_worker_async(**self._running))
            stopping = asyncio.create_task(self._stop.wait())
            ends: set[asyncio.Future[Any]] = {running, stopping, broken}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in (running, stopping):
                task.cancel()
            await asyncio.wait({running, stopping})
        if broken.done():
            return broken.result()
        return None if running.cancelled() else running.exception()

    async def _hold(self, task_id: str) -> None:
        """Do a job: hand its task on, and wait until it is done."""
        done = self._running_loop.create_future()
        self._held.setdefault(task_id, []).append(done)
        self._room.hand(task_id)
        await done

    def _release(self, task_ids: Collection[str]) -> None:
        for task_id in task_ids:
            for done in self._held.pop(task_id, ()):
                if not done.done():
                    done.set_result(None)

    def _look(self) -> None:
        if self._connector is not None:
            self._looking = self._running_loop.create_task(self._connector.look())


def _pool(**settings: Any) -> AsyncConnectionPool:
    """Return Procrastinate's pool, which asks no connection whether it is there before each use."""
    return AsyncConnectionPool(**settings | {"check": None})


async def _connect(database: Mapping[str, Any]) -> psycopg.AsyncConnection[Any]:
    """Open a connection that needs no commits."""
    return await psycopg.AsyncConnection.connect(autocommit=True, **database)


def _first_line(reason: object) -> str:
    """Return what went wrong without libpq's guesses below it, which vary."""
    return str(reason).strip().partition("\n")[0]
