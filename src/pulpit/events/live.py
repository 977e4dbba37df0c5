"""The journal as it grows, for channels that live on the event loop."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from pulpit.domain.events import Event, EventKind
from pulpit.errors import EventsGone
from pulpit.ports import EventSource

__all__ = ["DoorFeed", "SharedReads", "follow"]

#: Events read at once.
_BATCH = 500
#: Bytes of bodies that are kept for readers at the head.
_KEPT_BYTES = 4 << 20

#: Returns the next events after a number, at most so many.
Read = Callable[[int, int], Awaitable[Sequence[Event]]]


class SharedReads:
    """Reads the journal once for all readers in an event loop that are at its head.

    The newest events are kept in memory, of which the number is bounded and the size as well; who
    is behind them reads from the journal itself.

    Args:
        source: the journal.
        kept: events in memory at the most.
        kept_bytes: of their bodies, at the most.
    """

    def __init__(
        self, source: EventSource, *, kept: int = _BATCH, kept_bytes: int = _KEPT_BYTES
    ) -> None:
        self._source = source
        self._most, self._most_bytes = kept, kept_bytes
        self._turn = asyncio.Lock()
        self._events: list[Event] = []
        #: The number after which nothing is missing in what is kept.
        self._since = 0
        self._bytes = 0

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """Return the next events, as the journal's own ``read`` does."""
        if after == self._source.head():
            return []
        if found := self._kept(after, limit):
            return found
        if after < self._since:
            return await asyncio.to_thread(self._source.read, after, limit)
        async with self._turn:
            # somebody may have read it while this one waited
            if found := self._kept(after, limit):
                return found
            events = await asyncio.to_thread(self._source.read, after, limit)
            self._keep(after, events)
            return events

    def _kept(self, after: int, limit: int) -> Sequence[Event]:
        """Return what is kept of the next events; nothing when some may be missing."""
        if after < self._since:
            return []
        start = bisect.bisect_right(self._events, after, key=_number)
        return self._events[start : start + limit]

    def _keep(self, after: int, events: Sequence[Event]) -> None:
        """Keep the events that follow *after*, and of all that is kept the newest."""
        if not self._events or self._events[-1].sequence != after:
            self._events, self._since, self._bytes = [], after, 0
        self._events += events
        self._bytes += sum(len(event.body) for event in events)
        surplus = 0
        while len(self._events) - surplus > self._most or self._bytes > self._most_bytes:
            self._since = self._events[surplus].sequence
            self._bytes -= len(self._events[surplus].body)
            surplus += 1
        del self._events[:surplus]


def _number(event: Event) -> int:
    return event.sequence


async def follow(
    source: EventSource, after: int, *, idle: float | None = None, read: Read | None = None
) -> AsyncGenerator[Sequence[Event], None]:
    """Yield the events after *after*, in order, as they come.

    The reader holds a number, not events: who is slow to take a batch reads the next one later.

    Args:
        source: the journal.
        after: the number to go on from.
        idle: yield an empty batch after so many seconds without events; None: never.
        read: how to read; None reads from the journal itself.

    Raises:
        EventsGone: what comes next is past retention.
    """
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    unsubscribe = source.subscribe(lambda: _tell(loop, news))
    try:
        while True:
            news.clear()
            if read:
                events = await read(after, _BATCH)
            else:
                events = await asyncio.to_thread(source.read, after, _BATCH)
            if events:
                after = events[-1].sequence
                yield events
                continue
            try:
                await asyncio.wait_for(news.wait(), idle)
            except TimeoutError:
                yield []
    finally:
        unsubscribe()


def _tell(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    """Set the event from another thread."""
    # set means that the reader has yet to read, and will see what was committed just now
    if news.is_set():
        return
    # the loop may be closing already
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(news.set)


class _Log(Protocol):
    """What is needed of the log."""

    def warning(self, event: str, **fields: Any) -> Any: ...


class DoorFeed:
    """Carries task events to a channel that keeps nothing, from now on.

    Args:
        source: the journal.
        publish: takes each event; on the event loop.
        log: where gaps are told.
    """

    def __init__(self, source: EventSource, *, publish: Callable[[Event], None], log: _Log) -> None:
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
                self._told = gone.head if gone.since > gone.head else gone.oldest - 1

    async def _tell(self, events: Sequence[Event]) -> None:
        """Pass on what is of tasks, and tell who waits for that."""
        for event in events:
            if event.kind is not EventKind.REPOSITORY:
                self._publish(event)
        async with self._changed:
            self._told = events[-1].sequence
            self._changed.notify_all()
