"""TLS in front of a service that has none."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl

from tests.services.front import Front

__all__ = ["TlsFront"]


class TlsFront(Front):
    """Speaks TLS with clients and passes bytes to a port without it.

    Args:
        context: the server's certificate, and whom it asks for one.
        port: of 127.0.0.1, where the service is.
    """

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        super().__init__(port)
        self._context = context
        self._open: list[socket.socket] = []

    def cut(self) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        self._open.append(client)
        # a client that refuses the certificate, or ends without goodbye, is an OSError too
        secure = self._context.wrap_socket(client, server_side=True)
        with secure, self._service() as plain:
            self._open += secure, plain
            while True:
                ready = [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (plain if source is secure else secure).sendall(data)
