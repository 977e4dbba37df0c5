"""The journal as it grows, for channels that live on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol

from pulpit.domain.events import Event
from pulpit.errors import DatabaseFailed, EventsGone
from pulpit.ports import EventSource

__all__ = ["DATABASE_REST", "DoorFeed", "follow", "wake_loop"]

#: Events read at once.
_BATCH = 500
#: Seconds before the journal is read again while the database is away.
DATABASE_REST = 1.0


async def follow(source: EventSource, after: int) -> AsyncGenerator[Sequence[Event], None]:
    """Yield the events after *after*, in order, as they come.

    The reader holds a number, not events: who is slow to take a batch reads the next one later.

    Args:
        source: the journal.
        after: the number to go on from.

    Raises:
        EventsGone: what comes next is past retention.
    """
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    unsubscribe = source.subscribe(lambda: wake_loop(loop, news))
    try:
        while True:
            news.clear()
            events = await asyncio.to_thread(source.read, after, _BATCH)
            if events:
                after = events[-1].sequence
                yield events
            else:
                await news.wait()
    finally:
        unsubscribe()


def wake_loop(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    """Set the event of a loop from another thread, which need not wait for that."""
    # set means that the reader has yet to read, and will see what was committed just now
    if news.is_set():
        return
    # the loop may be closing already
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(news.set)


class _Log(Protocol):
    """What is needed of the log."""

    def warning(self, event: str, /, **fields: Any) -> Any: ...


class DoorFeed:
    """Carries task events to a channel that keeps nothing, from now on.

    Args:
        source: the journal.
        publish: takes each event; on the event loop.
        log: where gaps are told.
        rest: seconds before the journal is read again while the database is away.
    """

    def __init__(
        self,
        source: EventSource,
        *,
        publish: Callable[[Event], None],
        log: _Log,
        rest: float = DATABASE_REST,
    ) -> None:
        self._rest = rest
        self._source = source
        self._publish = publish
        self._log = log
        self._told = source.head()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    @property
    def position(self) -> int:
        """The number of the event that was passed on last."""
        return self._told

    def start(self) -> None:
        """Begin at the journal's head."""
        self._told = self._source.head()
        self._task = asyncio.create_task(self._run())

    async def drain(self, seconds: float) -> None:
        """Wait until all that is in the journal now is told, or time is up."""
        head = self._source.head()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._told >= head)

    async def stop(self) -> None:
        """Tell no more."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                async for events in follow(self._source, self._told):
                    await self._tell(events)
            except EventsGone as gone:
                self._log.warning("the door skips events past retention", **gone.data)
                self._told = gone.resume
            except DatabaseFailed as error:
                self._log.warning(
                    "the door can't read the journal; trying again", reason=str(error)
                )
                await asyncio.sleep(self._rest)

    async def _tell(self, events: Sequence[Event]) -> None:
        """Pass on what is of tasks, and tell who waits for that."""
        for event in events:
            if event.task_id is not None:
                self._publish(event)
        async with self._changed:
            self._told = events[-1].sequence
            self._changed.notify_all()
