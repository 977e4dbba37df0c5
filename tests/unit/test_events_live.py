"""The journal as it grows, for channels on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from pulpit.domain.events import Event, EventKind, NewEvent
from pulpit.errors import DatabaseUnavailable, EventsGone
from pulpit.events.live import DoorFeed, follow
from pulpit.testing import MemoryStorage, RecordingSink

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_PATIENCE = 20.0


class _Log:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def warning(self, event: str, /, **fields: Any) -> None:
        """Keep one."""
        self.told.append(fields)


class _WrittenMeanwhile:
    """A journal into which somebody writes right after it was first read."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._reads = 0

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        found = self._storage.events.read(after, limit, most_bytes=most_bytes)
        self._reads += 1
        if self._reads == 1:
            _write(self._storage, 1)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage.events, name)


class _Away:
    """A journal whose database is away at first."""

    def __init__(self, storage: MemoryStorage, reads: int) -> None:
        self._storage = storage
        self._reads = reads

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        self._reads -= 1
        if self._reads >= 0:
            raise DatabaseUnavailable("refused")
        return self._storage.events.read(after, limit, most_bytes=most_bytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage.events, name)


def _write(storage: MemoryStorage, count: int, kind: EventKind = EventKind.STATUS) -> None:
    """Write events in one transaction."""
    event = NewEvent(
        kind=kind,
        type="t",
        task_id=None if kind is EventKind.LISTENER else "t",
        revision=1,
        state=None,
        tags=(),
        time=_NOW,
        body=b"{}",
    )
    with storage.write() as transaction:
        transaction.journal.append([event] * count)


def _lose(storage: MemoryStorage, floor: int) -> None:
    """Let the events up to a number be gone."""
    with storage.write() as transaction:
        transaction.state.floor = floor
        for number in range(1, floor + 1):
            transaction.state.journal.pop(number, None)


def _run(act: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(_PATIENCE):
            await act()

    asyncio.run(bounded())


def test_following_brings_all_in_order() -> None:
    """What is there, then what comes, written by other threads, in batches of bounded size."""
    storage = MemoryStorage()
    _write(storage, 1_200)

    async def act() -> None:
        numbers: list[int] = []
        async with aclosing(follow(storage.events, 5)) as batches:
            async for events in batches:
                assert 0 < len(events) <= 500
                numbers += [event.sequence for event in events]
                if numbers[-1] == 1_200:
                    threading.Thread(target=_write, args=(storage, 3)).start()
                if numbers[-1] == 1_203:
                    break
        assert numbers == list(range(6, 1_204))

    _run(act)


def test_no_event_slips_between_reading_and_waiting() -> None:
    """What is written just after the reader saw nothing wakes it all the same."""
    storage = MemoryStorage()

    async def act() -> None:
        source = _WrittenMeanwhile(storage)
        async with aclosing(follow(source, 0)) as batches:
            assert [event.sequence for event in await anext(batches)] == [1]

    _run(act)


@pytest.mark.parametrize("after", [0, 99])
def test_a_gap_is_raised(after: int) -> None:
    """Past retention, or ahead of the head."""
    storage = MemoryStorage()
    _write(storage, 5)
    _lose(storage, 3)

    async def act() -> None:
        with pytest.raises(EventsGone):
            await anext(follow(storage.events, after))

    _run(act)


def test_who_stops_is_woken_no_more() -> None:
    """The journal may be written after the loop is gone."""
    storage = MemoryStorage()

    async def act() -> None:
        waiting = asyncio.ensure_future(anext(follow(storage.events, 0)))
        await asyncio.sleep(0)
        assert storage.events._wakes
        waiting.cancel()
        await asyncio.wait({waiting})
        assert not storage.events._wakes

    _run(act)
    _write(storage, 1)


def test_a_wake_of_a_closed_loop_does_no_harm() -> None:
    """A commit just when the loop ends is no error of the writer's."""
    storage = MemoryStorage()
    kept: list[Any] = []

    async def act() -> None:
        _write(storage, 1)
        batches = follow(storage.events, 0)
        await anext(batches)
        kept.append(tuple(storage.events._wakes.values()))
        await batches.aclose()

    _run(act)
    for wake in kept[0]:
        wake()


def test_the_door_hears_of_tasks_from_now_on() -> None:
    """Nothing of the past, nothing of listeners, all else in order."""
    storage = MemoryStorage()
    _write(storage, 3)
    sink: RecordingSink[Event] = RecordingSink()

    async def act() -> None:
        feed = DoorFeed(storage.events, publish=sink, log=_Log())
        _write(storage, 1)
        feed.start()
        _write(storage, 2)
        _write(storage, 1, EventKind.LISTENER)
        _write(storage, 1, EventKind.PROGRESS)
        await feed.drain(_PATIENCE)
        await feed.stop()
        assert [event.sequence for event in sink.items] == [5, 6, 8]
        _write(storage, 1)
        assert len(sink.items) == 3

    _run(act)


def test_the_door_outlives_a_database_that_is_away() -> None:
    """It says so, and tells all there is once the database is back."""
    storage, log = MemoryStorage(), _Log()
    sink: RecordingSink[Event] = RecordingSink()
    feed = DoorFeed(_Away(storage, 2), publish=sink, log=log, rest=0.001)

    async def act() -> None:
        feed.start()
        _write(storage, 3)
        await feed.drain(_PATIENCE)
        await feed.stop()

    _run(act)
    assert [event.sequence for event in sink.items] == [1, 2, 3]
    assert [told["reason"] for told in log.told] == [
        "The database can't be used now: refused",
    ] * 2


def test_draining_ends_in_time() -> None:
    """A feed that can't keep up holds nobody up."""
    storage = MemoryStorage()

    async def act() -> None:
        feed = DoorFeed(storage.events, publish=lambda _event: None, log=_Log())
        _write(storage, 1)
        # never started: it will not come that far
        await feed.drain(0.01)
        await feed.stop()

    _run(act)


@pytest.mark.parametrize(("lost", "first"), [(6, 7), (4, 5)])
def test_the_door_skips_what_is_gone_and_says_so(lost: int, first: int) -> None:
    """It goes on with the oldest event that is left, with a warning that names the numbers."""
    storage, log = MemoryStorage(), _Log()
    _write(storage, 3)
    sink: RecordingSink[Event] = RecordingSink()

    async def act() -> None:
        feed = DoorFeed(storage.events, publish=sink, log=log)
        feed.start()
        _write(storage, 5)
        _lose(storage, lost)
        await feed.drain(_PATIENCE)
        await feed.stop()

    _run(act)
    assert [event.sequence for event in sink.items] == list(range(first, 9))
    assert [told["oldest"] for told in log.told] == [first]
