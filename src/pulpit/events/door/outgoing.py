"""What leaves on a connection: one joined write a tick, and bounds for a peer that stalls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Outgoing"]

_FLUSH_BYTES: Final = 1 << 16


class Outgoing:
    """Collects frames for a transport.

    Args:
        transport: writes them.
        buffer_bytes: deliveries stop while more than this waits to be sent.
        unread_reply_bytes: replies that may gather while the peer does not read.
        on_excess: called once there are more.
    """

    __slots__ = (
        "_buffer_bytes",
        "_bytes",
        "_on_excess",
        "_parts",
        "_stalled",
        "_transport",
        "_unread",
        "_unread_limit",
        "spoke",
    )

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        *,
        buffer_bytes: int,
        unread_reply_bytes: int,
        on_excess: Callable[[], None],
    ) -> None:
        transport.set_write_buffer_limits(high=buffer_bytes)
        self._transport = transport
        self._buffer_bytes = buffer_bytes
        self._unread_limit = unread_reply_bytes
        self._on_excess = on_excess
        self._parts: list[bytes] = []
        self._bytes = 0
        self._unread = 0
        self._stalled = False
        #: Something was sent since this was last set to False.
        self.spoke = False

    @property
    def stalled(self) -> bool:
        """True while the peer does not read."""
        return self._stalled

    @property
    def writable(self) -> bool:
        """True while deliveries may be written."""
        return not self._stalled and self._bytes < self._buffer_bytes

    def stall(self) -> None:
        """The transport's buffer is full."""
        self._stalled = True

    def go_on(self) -> None:
        """The transport's buffer has room again."""
        self._stalled = False
        self._unread = 0

    def write(self, data: bytes) -> None:
        """Send *data* with whatever else this tick brings."""
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes >= _FLUSH_BYTES:
            self.flush()

    def reply(self, data: bytes) -> None:
        """Send an answer, which must not wait for room, so that too many end the connection."""
        if self._stalled:
            self._unread += len(data)
            if self._unread > self._unread_limit:
                self._on_excess()
                return
        self.write(data)

    def flush(self) -> None:
        """Give everything to the transport."""
        if self._parts:
            data = b"".join(self._parts)
            self.drop()
            self.spoke = True
            self._transport.write(data)

    def drop(self) -> None:
        """Forget what was not given to the transport yet."""
        self._parts.clear()
        self._bytes = 0
