"""TLS before any protocol: a client is let on once its handshake is over, which is bounded."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

__all__ = ["Handshakes"]

#: Seconds that a client gets to answer our goodbye.
_GOODBYE_SECONDS = 5.0


class Handshakes:
    """The handshakes of one port; all methods belong to the thread of the event loop.

    Args:
        context: returns the context for the next handshake.
        seconds: in which a handshake must be over.
        most: handshakes at a time; the oldest gives way to a new one.
        log: a structlog logger.
    """

    def __init__(
        self, context: Callable[[], ssl.SSLContext], *, seconds: float, most: int, log: Any
    ) -> None:
        self._context = context
        self._seconds, self._most, self._log = seconds, most, log
        # in order of arrival
        self._going_on: dict[asyncio.Task[None], None] = {}
        self._closed = False

    def before(self, protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.Protocol:
        """Return what a server lets begin; *protocol* makes what goes on after the handshake."""
        return _Arrival(protocol, self._begin)

    def close(self) -> None:
        """Break off the handshakes that go on, and let nobody begin one."""
        self._closed = True
        for task in self._going_on:
            task.cancel()

    def _begin(self, plug: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        if self._closed:
            plug.close()
            return
        if len(self._going_on) >= self._most:
            oldest = next(iter(self._going_on))
            del self._going_on[oldest]
            oldest.cancel()
        task = asyncio.get_running_loop().create_task(self._shake(plug, protocol))
        self._going_on[task] = None
        task.add_done_callback(lambda done: self._going_on.pop(done, None))

    async def _shake(
        self, plug: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                plug,
                ssl=self._context(),
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError as error:
            # whoever speaks no TLS, has gone, or does not trust us: not ours to mend
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            self._log.debug("a TLS handshake failed", reason=reason)
            plug.close()
        except asyncio.CancelledError:
            plug.close()
            raise


class _Arrival(asyncio.Protocol):
    """A connection that was accepted: its socket goes elsewhere before anything is read of it."""

    def __init__(
        self,
        protocol: Callable[[], asyncio.BaseProtocol],
        begin: Callable[[socket.socket, Callable[[], asyncio.BaseProtocol]], None],
    ) -> None:
        self._protocol, self._begin = protocol, begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the socket over: an event loop does TLS from the first byte on only as its own."""
        # what a server lets begin is a stream
        stream = cast("asyncio.Transport", transport)
        accepted = stream.get_extra_info("socket")
        if accepted.family == socket.AF_UNIX:
            # nobody listens in on this machine's own
            plain = self._protocol()
            stream.set_protocol(plain)
            plain.connection_made(stream)
            return
        plug = socket.socket(fileno=os.dup(accepted.fileno()))
        stream.abort()
        self._begin(plug, self._protocol)
