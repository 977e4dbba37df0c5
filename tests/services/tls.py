"""TLS in front of a service that has none."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from threading import Thread
from types import TracebackType
from typing import Self

__all__ = ["TlsFront"]


class TlsFront:
    """Listens with TLS on a free port of 127.0.0.1 and passes bytes to a port without it.

    Args:
        context: the server's certificate, and whom it asks for one.
        port: of 127.0.0.1, where the service is.
    """

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context, self._target = context, port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in [self._server, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._server.close()

    def _accept(self) -> None:
        """Serve each client in a thread of its own until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                thread = Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        """Pass bytes both ways until one side ends."""
        # a client that refuses the certificate, or ends without goodbye, is of no interest
        with client, contextlib.suppress(OSError):
            secure = self._context.wrap_socket(client, server_side=True)
            with secure, socket.create_connection(("127.0.0.1", self._target)) as plain:
                self._open += secure, plain
                while True:
                    ready = (
                        [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
                    )
                    for source in ready:
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        (plain if source is secure else secure).sendall(data)
