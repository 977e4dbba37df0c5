"""A receiver of webhooks that notes what arrives, and misbehaves on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from tests.services.ports import free_ports

__all__ = ["Arrival", "Conduct", "Receiver"]

_SECONDS = 30.0


class Conduct(StrEnum):
    """What a request meets."""

    TAKEN = "taken"
    ERROR = "error"
    SLOW = "slow"
    REDIRECT = "redirect"
    RESET = "reset"
    HANG = "hang"
    FLOOD = "flood"


_ILL = [each for each in Conduct if each is not Conduct.TAKEN]
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
_REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
_FLOOD = b"HTTP/1.1 500 Internal Server Error\r\n\r\n"
#: Closes with RST.
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request that has arrived as a whole."""

    path: str
    #: The header ``webhook-id``.
    id: str
    body: bytes
    conduct: Conduct


class Receiver:
    """Listens on a free port of 127.0.0.1, in a thread; a context manager.

    Args:
        seed: of what it does.
        ill: how many of the requests it treats badly, from 0 to 1.
        most: how often it does that to one id at the most.
    """

    def __init__(self, *, seed: int = 1, ill: float = 0.0, most: int = 2) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._random, self._ill, self._most = random.Random(seed), ill, most
        self._treated: Counter[str] = Counter()
        self._arrivals: list[Arrival] = []
        self._turn = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._listening: socket.socket | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.refuse()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SECONDS)
        self._loop.close()

    @property
    def arrivals(self) -> list[Arrival]:
        """All that has arrived, in order."""
        with self._turn:
            return list(self._arrivals)

    def open(self) -> None:
        """Accept connections."""
        self._call(self._open())

    def refuse(self) -> None:
        """Accept none any more, and reset those there are."""
        self._call(self._refuse())

    def behave(self) -> None:
        """Treat nothing badly from now on."""
        self._ill = 0.0

    def _call(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(_SECONDS)

    async def _open(self) -> None:
        self._listening = listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept, listening)

    async def _refuse(self) -> None:
        if self._listening:
            self._loop.remove_reader(self._listening)
            self._listening.close()
        for writer in self._connections:
            writer.transport.abort()

    async def _end(self) -> None:
        """Wait for the end of all connections."""
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        """Serve who comes; a task that waits for that forgets who comes as it is canceled."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = listening.accept()
            serving = self._loop.create_task(self._serve(connection))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        self._connections.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._connections.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request; return whether the connection may carry another one."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        id_ = headers["webhook-id"]
        conduct = self._conduct(id_)
        arrival = Arrival(path=head[0].split(" ")[1], id=id_, body=body, conduct=conduct)
        with self._turn:
            self._arrivals.append(arrival)
        return await self._answer(conduct, reader, writer)

    def _conduct(self, id_: str) -> Conduct:
        """Return what to do with a request."""
        if self._treated[id_] >= self._most or self._random.random() >= self._ill:
            return Conduct.TAKEN
        self._treated[id_] += 1
        return self._random.choice(_ILL)

    async def _answer(
        self, conduct: Conduct, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer as is called for; return whether the connection may carry another request."""
        match conduct:
            case Conduct.TAKEN:
                writer.write(_TAKEN)
            case Conduct.SLOW:
                for byte in _TAKEN:
                    if writer.is_closing():
                        return False
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.002)
            case Conduct.ERROR:
                writer.write(_ERROR)
            case Conduct.REDIRECT:
                writer.write(_REDIRECT)
            case Conduct.RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                writer.transport.abort()
                return False
            case Conduct.HANG:
                # until whoever waits gives up
                await reader.read()
                return False
            case Conduct.FLOOD:
                writer.write(_FLOOD)
                while not writer.is_closing():
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                return False
        await writer.drain()
        return True
