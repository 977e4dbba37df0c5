"""TLS handshakes are bounded in time and number, whatever a client does, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
import structlog
import trustme
import uvloop

from pulpit.app.handshakes import Handshakes

_PATIENCE = 30.0
#: Longer than any test waits.
_NEVER = 600.0


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport.get_extra_info("sslcontext")
        assert self._transport.get_extra_info("socket").fileno() >= 0
        self._transport.write(data)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return who issues the certificates."""
    return trustme.CA()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what runs a coroutine on one of the loops."""

    def runner(main: Callable[[], object]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(main(), _PATIENCE))  # type: ignore[arg-type]

    return runner


@contextlib.asynccontextmanager
async def serving(
    authority: trustme.CA, *, seconds: float = _NEVER, most: int = 100
) -> AsyncIterator[tuple[Handshakes, int]]:
    """Yield the handshakes of an echo service, and its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    handshakes = Handshakes(lambda: context, seconds=seconds, most=most, log=structlog.get_logger())
    server = await asyncio.get_running_loop().create_server(
        lambda: handshakes.before(Echo), "127.0.0.1", 0
    )
    yield handshakes, server.sockets[0].getsockname()[1]
    handshakes.close()
    server.close()
    await server.wait_closed()


class Client:
    """A connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def secure(cls, authority: trustme.CA, port: int) -> Client:
        """Return one after its handshake."""
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    @classmethod
    async def plain(cls, port: int) -> Client:
        """Return one that has sent nothing."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def is_answered(self) -> bool:
        """Return whether it gets an echo."""
        self.writer.write(b"hello")
        return await self.reader.readexactly(5) == b"hello"

    async def ended(self) -> None:
        """Return once the server has closed it."""
        with contextlib.suppress(ConnectionError):
            assert await self.reader.read() == b""
        self.writer.close()


def test_clients_get_through(run: Callable[..., None], authority: trustme.CA) -> None:
    """Many at once, each after its handshake; the first words may come with it."""

    async def main() -> None:
        async with serving(authority) as (_, port):
            clients = [await Client.secure(authority, port) for _ in range(20)]
            assert all(await asyncio.gather(*(each.is_answered() for each in clients)))
            for each in clients:
                each.writer.close()
                await each.writer.wait_closed()

    run(main)


@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_begins_no_handshake_is_cut(
    run: Callable[..., None], authority: trustme.CA, words: bytes
) -> None:
    """Silence, half a hello and plain HTTP end within the time of a handshake."""

    async def main() -> None:
        async with serving(authority, seconds=0.3) as (_, port):
            client = await Client.plain(port)
            client.writer.write(words)
            await client.ended()

    run(main)


def test_the_oldest_gives_way(run: Callable[..., None], authority: trustme.CA) -> None:
    """Connections that say nothing keep nobody out, and take no more room than they may."""

    async def main() -> None:
        async with serving(authority, most=3) as (_, port):
            silent = [await Client.plain(port) for _ in range(4)]
            await silent[0].ended()
            client = await Client.secure(authority, port)
            assert await client.is_answered()
            await silent[1].ended()
            # the others are still waited for
            context = ssl.create_default_context()
            authority.configure_trust(context)
            await silent[3].writer.start_tls(context, server_hostname="127.0.0.1")
            assert await silent[3].is_answered()
            for each in (client, silent[3], silent[2]):
                each.writer.close()

    run(main)


def test_the_end(run: Callable[..., None], authority: trustme.CA) -> None:
    """Who has no protocol yet is cut, nobody comes in, and who is in stays."""

    async def main() -> None:
        async with serving(authority) as (handshakes, port):
            client = await Client.secure(authority, port)
            assert await client.is_answered()
            silent = await Client.plain(port)
            # the server has let it begin once it answers the next one
            (await Client.secure(authority, port)).writer.close()
            handshakes.close()
            await silent.ended()
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await Client.secure(authority, port)
            assert await client.is_answered()
            client.writer.close()

    run(main)
