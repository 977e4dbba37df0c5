"""What stands in front of a service: a listener that serves each client in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
from abc import ABC, abstractmethod
from threading import Thread
from types import TracebackType
from typing import Self

__all__ = ["Front"]


class Front(ABC):
    """Listens on a port of this machine and hands its clients on to one of 127.0.0.1.

    Args:
        port: of 127.0.0.1, where the service is.
        listen: the port to listen at; 0 for any that is free.
        host: the address to listen at.
    """

    def __init__(self, port: int, *, listen: int = 0, host: str = "127.0.0.1") -> None:
        self._target, self.host = port, host
        self._server = socket.create_server((host, listen), backlog=64)
        self.port: int = self._server.getsockname()[1]
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
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._server.close()

    @abstractmethod
    def cut(self) -> None:
        """End all connections without a word."""

    @abstractmethod
    def _serve(self, client: socket.socket) -> None:
        """Serve a client until its end, and close it; an OSError ends it too."""

    def _service(self) -> socket.socket:
        """Return a new connection to the service."""
        return socket.create_connection(("127.0.0.1", self._target))

    def _accept(self) -> None:
        """Serve each client in a thread of its own until the listener is shut down."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                thread = Thread(target=self._guarded, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _guarded(self, client: socket.socket) -> None:
        """Serve a client; that a side is gone is of no interest."""
        with client, contextlib.suppress(OSError):
            self._serve(client)
