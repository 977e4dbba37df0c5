"""Receivers of deliveries by HTTP that do as a test says, byte by byte; and who delivers."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pulpit.config import Settings
from pulpit.config.settings import Listeners
from pulpit.domain.clock import utc_now
from pulpit.domain.deliveries import Parcel
from pulpit.domain.listeners import Listener, NotifierType, OpenListener, Secrets, SigningSecret
from pulpit.events.notifiers.connecting import Lookup, look_up
from pulpit.events.notifiers.http import HttpNotifier

__all__ = [
    "NOW",
    "SECRET",
    "SOURCE",
    "Behavior",
    "Log",
    "Post",
    "Receiver",
    "Stream",
    "answering",
    "listener",
    "notifying",
    "parcel",
    "receiving",
]

SECRET = SigningSecret(value="whsec_" + base64.b64encode(b"keeper-of-secrets-24-long").decode())
SOURCE = str(Settings().event_source)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Post:
    """A request as it came."""

    line: str
    #: By name in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: The connection that it came on, counted from 1.
    connection: int


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One connection to a receiver."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    receiver: Receiver
    number: int

    async def post(self) -> Post | None:
        """Return the next request; None once there are no more."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        line, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        came = Post(line=line, headers=headers, body=body, connection=self.number)
        self.receiver.posts.append(came)
        return came

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> None:
        """Do nothing until the client goes."""
        while await self.reader.read(1 << 16):
            continue

    def reset(self) -> None:
        """End the connection without goodbye."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behavior = Callable[[Stream], Awaitable[None]]


@dataclass(kw_only=True)
class Receiver:
    """A server that listens."""

    port: int = 0
    secure: bool = False
    posts: list[Post] = field(default_factory=list)
    connections: int = 0

    def url(self, host: str = "127.0.0.1", path: str = "/hook?a=b") -> str:
        """Return where it is told."""
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{path}"


@asynccontextmanager
async def receiving(
    behave: Behavior, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver that treats each connection so."""
    receiver = Receiver(secure=tls is not None)
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        stream = Stream(
            reader=reader, writer=writer, receiver=receiver, number=receiver.connections
        )
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await behave(stream)
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def answering(answer: bytes | str, *, body: bytes = b"") -> Behavior:
    """Return a receiver that answers all requests alike.

    Args:
        answer: status and headers as lines, or all of it as bytes.
        body: what follows, with its length told.
    """
    if isinstance(answer, str):
        head = "\r\n".join(["HTTP/1.1 " + answer, f"Content-Length: {len(body)}", "", ""])
        answer = head.encode("latin-1") + body

    async def behave(stream: Stream) -> None:
        while await stream.post():
            await stream.send(answer)

    return behave


@dataclass
class Log:
    """A log that remembers."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def error(self, event: str, /, **fields: Any) -> None:
        """Remember an error, and where it was."""
        fields["trace"] = traceback.format_exc()
        self.told.append((event, fields))


@asynccontextmanager
async def notifying(
    *,
    seconds: float = 60.0,
    allow: str | None = "127.0.0.0/8",
    lookup: Lookup = look_up,
    clock: Callable[[], datetime] = utc_now,
    log: Log | None = None,
) -> AsyncIterator[HttpNotifier]:
    """Yield a notifier that may reach this machine; it must have no error of its own."""
    told = log or Log()
    networks = (ipaddress.ip_network(allow),) if allow else ()
    notifier = HttpNotifier(
        Listeners(timeout=seconds, allow_networks=networks),
        event_source=SOURCE,
        clock=clock,
        log=told,
        lookup=lookup,
    )
    try:
        yield notifier
    finally:
        await notifier.close()
    if log is None:
        assert not told.told, told.told


def listener(
    url: str, *, password: str | None = None, revision: int = 1, **config: Any
) -> OpenListener:
    """Return a listener of type http."""
    return OpenListener(
        listener=Listener(
            id="65f0c0de4f1d2a0001a2b3c4",
            notifier_type=NotifierType.HTTP,
            config={"url": url, **config},
            event_types=("*",),
            created=NOW,
            last_updated=NOW,
            revision=revision,
        ),
        secrets=Secrets(password=password, signing=(SECRET,)),
    )


def parcel(body: bytes = b'{"event_type":"repo.sync.finish"}', number: int = 1) -> Parcel:
    """Return what is delivered."""
    return Parcel(
        id=f"delivery-{number}",
        event_type="repo.sync.finish",
        sequence=number,
        event_id=f"event-{number}",
        task_id="0b3f2d5c-4a5e-4b7e-9a57-6a7f6a0a1c2d",
        repo_id="zoo",
        time=NOW,
        body=body,
    )
