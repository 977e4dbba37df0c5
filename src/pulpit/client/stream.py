"""The two drivers of a stream: one that blocks, and one on an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

from pulpit.client.connection import AsyncConnection, Connection
from pulpit.client.errors import ApiError, Unreachable
from pulpit.client.following import Following

__all__ = ["AsyncEventStream", "EventStream"]

#: What comes: Event, Stale, and Snapshot where snapshots were asked for.
ItemT = TypeVar("ItemT")


class EventStream(Generic[ItemT]):
    """Events in journal order, without end; resumes by itself after the last one seen.

    Iterating again goes on where the last loop ended.
    """

    def __init__(
        self,
        connection: Connection,
        following: Following,
        *,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection, self._following, self._wait = connection, following, wait

    @property
    def since(self) -> int | None:
        """The number of the last event that was seen; to be kept by who wants to resume later."""
        return self._following.since

    def __iter__(self) -> Iterator[ItemT]:
        while True:
            try:
                for item in self._one_connection():
                    yield cast("ItemT", item)
            except (Unreachable, ApiError) as error:
                self._wait(self._following.failed(error))

    def _one_connection(self) -> Iterator[Any]:
        """Yield what comes until there is something else to be asked first."""
        following = self._following
        while request := following.request():
            yield from following.answered(self._connection.ask(request))
        with self._connection.stream(following.stream()) as response:
            following.opened()
            for chunk in response.iter_bytes():
                yield from following.received(chunk)
                if following.request():
                    return
            raise following.ended()


class AsyncEventStream(Generic[ItemT]):
    """As EventStream, for ``async for``."""

    def __init__(
        self,
        connection: AsyncConnection,
        following: Following,
        *,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection, self._following, self._wait = connection, following, wait

    @property
    def since(self) -> int | None:
        """The number of the last event that was seen; to be kept by who wants to resume later."""
        return self._following.since

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        while True:
            try:
                async with aclosing(self._one_connection()) as items:
                    async for item in items:
                        yield cast("ItemT", item)
            except (Unreachable, ApiError) as error:
                await self._wait(self._following.failed(error))

    async def _one_connection(self) -> AsyncGenerator[Any, None]:
        """Yield what comes until there is something else to be asked first."""
        following = self._following
        while request := following.request():
            for snapshot in following.answered(await self._connection.ask(request)):
                yield snapshot
        async with self._connection.stream(following.stream()) as response:
            following.opened()
            async for chunk in response.aiter_bytes():
                for item in following.received(chunk):
                    yield item
                if following.request():
                    return
            raise following.ended()
