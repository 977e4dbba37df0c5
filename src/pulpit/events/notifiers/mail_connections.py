"""Connections to the mail server, kept for the next mail for a little while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pulpit.events.notifiers.mail_server import MailServer

__all__ = ["MailConnections"]

#: Seconds for which one is kept: less than any mail server waits.
_KEEP = 10.0
#: Mails by one connection: mail servers end those that take many.
_MOST_MAILS = 100


class MailConnections:
    """A few connections at a time; for use in one event loop.

    Args:
        make: returns one that is not open yet.
        most: how many are kept.
        keep: seconds for which one is kept that nobody uses.
    """

    def __init__(self, make: Callable[[], MailServer], *, most: int, keep: float = _KEEP) -> None:
        self._make, self._most, self._keep = make, most, keep
        #: Those that nobody uses, the newest last, and the timers that end them.
        self._idle: dict[MailServer, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def take(self, *, fresh: bool = False) -> MailServer:
        """Return a connection that is kept, or a new one.

        Args:
            fresh: whether it must be a new one; one that is kept makes room for it.
        """
        while self._idle:
            server, timer = self._idle.popitem()
            timer.cancel()
            if not server.is_open:
                server.drop()
            elif fresh:
                self._leave(server)
                break
            else:
                return server
        return self._make()

    def give_back(self, server: MailServer) -> None:
        """Keep a connection by which a mail was sent, if it is of use."""
        if not server.is_open:
            server.drop()
        elif server.mails >= _MOST_MAILS or len(self._idle) >= self._most:
            self._leave(server)
        else:
            loop = asyncio.get_running_loop()
            self._idle[server] = loop.call_later(self._keep, self._tire, server)

    def _tire(self, server: MailServer) -> None:
        """End a connection that nobody has used."""
        del self._idle[server]
        self._leave(server)

    def _leave(self, server: MailServer) -> None:
        """End a connection in good order, beside all else."""
        leaving = asyncio.create_task(_left(server))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """End all connections that nobody uses."""
        while self._idle:
            server, timer = self._idle.popitem()
            timer.cancel()
            self._leave(server)
        if self._leaving:
            await asyncio.wait(self._leaving)


async def _left(server: MailServer) -> None:
    """Say goodbye, and end the connection whatever comes of that."""
    try:
        await server.goodbye()
    finally:
        server.drop()
