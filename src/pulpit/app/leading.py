"""Doing what only one of the servers does, while this one leads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from pulpit.app.tenure import Tenure, Term

__all__ = ["Leading"]

#: Seconds until duties that could not be taken up are tried again.
_RETRY = 0.5


class Leading:
    """Takes up the duties of a leader and lays them down; for use in one event loop.

    Args:
        tenure: whether this process leads.
        duties: what is to be done during a term: entered when it begins, left when it is over or
            the server stops.
        log: of the server.
    """

    def __init__(
        self,
        tenure: Tenure,
        duties: Callable[[Term], AbstractAsyncContextManager[None]],
        *,
        log: Any,
    ) -> None:
        self._tenure, self._duties, self._log = tenure, duties, log
        self._news = asyncio.Event()
        self._term: Term | None = None
        self._done = contextlib.AsyncExitStack()
        #: The term whose duties are done here.
        self._served: Term | None = None
        self._ending = False

    @property
    def leads(self) -> bool:
        """Whether this server leads."""
        return self._term is not None and self._term.holds

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lead whenever that is to be had while the block runs; in the end others may."""
        loop = asyncio.get_running_loop()

        def changed(term: Term | None) -> None:
            # the loop may be gone by now
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._heed, term)

        first = await asyncio.to_thread(self._tenure.start, changed)
        if not self._news.is_set():
            # what has changed meanwhile is newer
            self._term = first
        try:
            if self._term:
                # what can't be done at all is told before the server is ready
                await self._take_up(self._term)
            following = asyncio.create_task(self._follow())
            try:
                yield
            finally:
                self._ending = True
                self._news.set()
                await following
        finally:
            # others begin where this one has ended
            await self._done.aclose()
            await asyncio.to_thread(self._tenure.stop)

    def _heed(self, term: Term | None) -> None:
        """Note what has changed."""
        self._term = term
        self._news.set()

    async def _follow(self) -> None:
        """Take up the duties of each term and lay them down after it."""
        while not self._ending:
            try:
                if self._served is not self._term:
                    self._served = None
                    await self._done.aclose()
                if self.leads and self._served is None and self._term:
                    await self._take_up(self._term)
            except Exception as error:  # noqa: BLE001 - the database may be back the next time
                self._log.error("the leader's duties can't be taken up", reason=str(error))
                await asyncio.sleep(_RETRY)
            else:
                await self._news.wait()
                self._news.clear()

    async def _take_up(self, term: Term) -> None:
        """Do the duties from now on."""
        await self._done.enter_async_context(self._duties(term))
        self._served = term
