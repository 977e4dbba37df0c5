"""Connections to receivers: opened to addresses that may be told, kept for the next delivery."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from functools import partial

from aiohappyeyeballs import start_connection

from pulpit.events.notifiers.attempts import Attempted, Phase
from pulpit.events.notifiers.connecting import Guard, Resolver, address_info, shown_peer
from pulpit.events.notifiers.http_connection import Connection
from pulpit.events.notifiers.targets import Target

__all__ = ["Pool"]

_KEEP_ALIVE = 15.0
#: Seconds after which the next address of a name is tried beside one that does not answer.
_NEXT_ADDRESS = 0.25

#: Whose connections are shared: those who have the same host, port and TLS.
_Key = tuple[str, int, ssl.SSLContext | None]


class Pool:
    """The connections of all listeners; for use in one event loop.

    Who delivers bounds how many there are at a time.

    Args:
        resolver: of the names of hosts; each address that it tells may be told.
        guard: makes the sockets, and judges each address again.
        keep_alive: seconds for which a connection is kept that nobody uses.
    """

    def __init__(
        self, resolver: Resolver, guard: Guard, *, keep_alive: float = _KEEP_ALIVE
    ) -> None:
        self._resolver, self._guard, self._keep_alive = resolver, guard, keep_alive
        #: The one that was used last stands last.
        self._kept: dict[_Key, deque[Connection]] = {}
        self._open: set[Connection] = set()
        self._all_closed: asyncio.Future[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    def take(self, target: Target, context: ssl.SSLContext | None) -> Connection | None:
        """Return a kept connection, which may turn out to be closed; None if there is none.

        Args:
            target: where to.
            context: the TLS that is wanted; None: none is.
        """
        kept = self._kept.get((target.host, target.port, context))
        if not kept:
            return None
        oldest = asyncio.get_running_loop().time() - self._keep_alive
        while kept:
            connection = kept.pop()
            if connection.is_usable:
                if connection.since > oldest:
                    return connection
                connection.abort()
        return None

    def keep(self, target: Target, context: ssl.SSLContext | None, connection: Connection) -> None:
        """Keep a connection that nobody uses, if it is of use."""
        if not connection.is_usable:
            return
        loop = asyncio.get_running_loop()
        connection.since = loop.time()
        key = target.host, target.port, context
        if (kept := self._kept.get(key)) is None:
            kept = self._kept[key] = deque()
        kept.append(connection)
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._keep_alive, self._sweep)

    async def open(
        self, target: Target, context: ssl.SSLContext | None, attempt: Attempted
    ) -> Connection:
        """Return a new connection.

        Args:
            target: where to.
            context: of TLS; None: there is none.
            attempt: for which it is opened; told how far that has come.

        Raises:
            OSError: there is none; the attempt may know more.
        """
        attempt.phase = Phase.CONNECTION
        if target.address is None:
            addresses = await self._resolver.resolve(target.host, target.port, attempt)
        else:
            addresses = [address_info(target.host, target.port)]
        sock = await start_connection(
            addresses,
            happy_eyeballs_delay=_NEXT_ADDRESS,
            socket_factory=partial(self._guard, attempt=attempt),
        )
        try:
            attempt.peer = shown_peer(sock.getpeername())
            if context is not None:
                attempt.phase = Phase.HANDSHAKE
            _, connection = await asyncio.get_running_loop().create_connection(
                partial(Connection, self._lost),
                sock=sock,
                ssl=context,
                server_hostname=None if context is None else target.host,
            )
        except BaseException:
            # the loop may not have taken it yet
            sock.close()
            raise
        # it may have ended while the loop told of it
        if connection.is_open:
            self._open.add(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        """Heed that a connection has ended."""
        self._open.discard(connection)
        if self._all_closed is not None and not (self._open or self._all_closed.done()):
            self._all_closed.set_result(None)

    def _sweep(self) -> None:
        """End the connections that nobody has used for a while."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._keep_alive
        for key, kept in list(self._kept.items()):
            while kept and not (kept[0].is_usable and kept[0].since > oldest):
                kept.popleft().abort()
            if not kept:
                del self._kept[key]
        self._sweeping = loop.call_later(self._keep_alive, self._sweep) if self._kept else None

    async def close(self) -> None:
        """End all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._kept.clear()
        if self._open:
            self._all_closed = asyncio.get_running_loop().create_future()
            for connection in tuple(self._open):
                connection.abort()
            await self._all_closed
            self._all_closed = None
        await self._resolver.close()
