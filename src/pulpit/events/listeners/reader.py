"""Reads what the listeners' windows want, for many of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from pulpit.events.listeners.bodies import Bodies
from pulpit.events.listeners.desk import Desk
from pulpit.events.listeners.lanes import Read
from pulpit.events.listeners.reading import read_pending
from pulpit.ports import Clock, Storage

__all__ = ["Reader"]


class Reader:
    """Reads one part after the other; for use in one event loop.

    Args:
        storage: where deliveries are.
        bodies: where their messages are held.
        clock: the present time.
        most: for how many listeners is read at once.
        done: called with those for whom was read, or tried to.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        bodies: Bodies,
        clock: Clock,
        most: int,
        done: Callable[[Collection[Desk]], None],
    ) -> None:
        self._storage, self._bodies, self._clock = storage, bodies, clock
        self._most, self._done = most, done
        #: For whom there may be something to read, in order.
        self._waiting: dict[Desk, None] = {}
        self._news = asyncio.Event()

    def want(self, desk: Desk) -> None:
        """Have a listener asked what it wants."""
        self._waiting[desk] = None
        self._news.set()

    async def run(self) -> None:
        """Read until canceled, or until the database fails."""
        while True:
            await self._news.wait()
            self._news.clear()
            while asked := self._asked():
                try:
                    await self._read(asked)
                finally:
                    self._done([desk for desk, _ in asked])

    def _asked(self) -> list[tuple[Desk, Read]]:
        """Return what to read at once."""
        asked: list[tuple[Desk, Read]] = []
        now = self._clock()
        while self._waiting and len(asked) < self._most:
            desk = next(iter(self._waiting))
            del self._waiting[desk]
            if not desk.is_closed and (read := desk.lanes.wanted(now)):
                asked.append((desk, read))
        return asked

    async def _read(self, asked: list[tuple[Desk, Read]]) -> None:
        wanted = [(desk.listener.id, read) for desk, read in asked]
        try:
            found = await asyncio.to_thread(
                read_pending, self._storage, wanted, self._bodies.lacking
            )
        except BaseException:
            for desk, read in asked:
                desk.lanes.not_read(read)
            raise
        self._bodies.add(found.messages)
        now = self._clock()
        for (desk, read), deliveries in zip(asked, found.deliveries, strict=True):
            desk.lanes.take_in(read, deliveries, now)
