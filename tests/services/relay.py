"""A TCP path to a service that can be cut and held up, byte by byte."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from threading import Event as Flag
from threading import Lock
from types import TracebackType

from tests.services.front import Front

__all__ = ["Relay"]

#: Closing resets the connection, as a lost path or a firewall does.
_RESET = struct.pack("ii", 1, 0)


class Relay(Front):
    """Passes bytes to a port and back.

    Args:
        port: of 127.0.0.1, where the service is.
        host: the address to listen at.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        super().__init__(port, host=host)
        self._guard = Lock()
        self._open: set[socket.socket] = set()
        #: Bytes from clients that still pass; None: all.
        self._left: int | None = None
        self._flowing = Flag()
        self._flowing.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resume()
        super().__exit__(kind, error, trace)

    def cut(self, *, after: int = 0) -> None:
        """Reset all connections once *after* more bytes from clients have passed."""
        with self._guard:
            if after:
                self._left = after
                return
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def halt(self) -> None:
        """Carry nothing; connections stay open and silent, new ones too."""
        self._flowing.clear()

    def resume(self) -> None:
        """Carry everything again, and forget a cut that has not come."""
        with self._guard:
            self._left = None
        self._flowing.set()

    def _serve(self, client: socket.socket) -> None:
        self._flowing.wait()
        with self._service() as service:
            both = {client, service}
            with self._guard:
                self._open |= both
            try:
                while self._pass(client, service):
                    pass
            finally:
                with self._guard:
                    self._open -= both
                for sock in both:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _pass(self, client: socket.socket, service: socket.socket) -> bool:
        """Pass on what is there; return whether there may be more."""
        for source in select.select([client, service], [], [])[0]:
            data = source.recv(1 << 16)
            self._flowing.wait()
            if source is client:
                allowed = self._allowed(len(data))
                service.sendall(data[:allowed])
                if allowed < len(data):
                    return False
            else:
                client.sendall(data)
            if not data:
                return False
        return True

    def _allowed(self, size: int) -> int:
        """Return how many of *size* bytes from a client may pass, and count them."""
        with self._guard:
            if self._left is None:
                return size
            if size < self._left:
                self._left -= size
                return size
            # the next connection is a good one, and of this frame one byte at least is missing
            allowed, self._left = min(self._left, size - 1), None
            return allowed
