"""HTTP on the wire: heads are bounded in size and time, before anybody is asked who it is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from pulpit.api.protocol import BoundedHttp
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from tests.api_site import AUTH, Site, assert_error

_PATIENCE = 30.0
_HOST = b"Host: x\r\n"


class _Hasty(BoundedHttp):
    """Waits for a head for a moment only."""

    head_seconds = 0.2
    late_seconds = 0.1


@contextlib.asynccontextmanager
async def _serving(
    site: Site, protocol: type[BoundedHttp] = BoundedHttp
) -> AsyncIterator[tuple[str, int]]:
    """Serve the site over the protocol; yield its address."""
    config = uvicorn.Config(site.app, log_config=None, lifespan="off", http=protocol)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()
        server.should_exit = True
        await asyncio.wait_for(running, _PATIENCE)


async def _sent(address: tuple[str, int], *parts: bytes, endless: bytes = b"") -> bytes:
    """Send parts, then *endless* again and again; return what comes back until the end."""
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(_PATIENCE):
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            for _ in range(100):
                if not endless:
                    break
                writer.write(endless)
                await writer.drain()
            else:
                pytest.fail("more was taken than fits a head")
        except ConnectionError:
            pass
        try:
            return await reader.read()
        except ConnectionError:
            # the server has closed while there was more to read
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("parts", "endless"),
    [
        ([b"GET /"], b"a" * (1 << 16)),
        ([b"GET / HTTP/1.1\r\n", _HOST, b"X-Long: "], b"a" * (1 << 16)),
        ([b"GET / HTTP/1.1\r\n", _HOST], b"x: y\r\n" * (1 << 13)),
        ([b"GET / HTTP/1.1\r\n", _HOST, b"x"], b"x" * (1 << 16)),
        (
            [
                b"POST / HTTP/1.1\r\n",
                _HOST,
                b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
            ],
            b"x: y\r\n" * (1 << 13),
        ),
    ],
)
def test_an_endless_head_is_cut_off(site: Site, parts: list[bytes], endless: bytes) -> None:
    """A URL, a header, many headers or trailers without end cost the server next to nothing."""

    async def run() -> None:
        async with _serving(site) as address:
            received = await _sent(address, *parts, endless=endless)
            assert received[:12] in {b"", b"HTTP/1.1 431", b"HTTP/1.1 400", b"HTTP/1.1 404"}

    asyncio.run(run())


def test_a_long_head_is_told_to_be_too_long(site: Site) -> None:
    """Who sends no more than a little too much reads why it was refused."""

    async def run() -> None:
        async with _serving(site) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
            for _ in range(70):
                writer.write(b"a" * 1024)
                await writer.drain()
            received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
            assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
            # what comes after the answer does not reset the connection, or it might go unread
            for _ in range(70):
                writer.write(b"a" * 1024)
                await writer.drain()
            assert await asyncio.wait_for(reader.read(), _PATIENCE) == b""
            writer.close()

    asyncio.run(run())


def test_who_sends_on_after_a_refusal_is_not_listened_to_for_long(site: Site) -> None:
    """The connection ends though the client never does, and never reads."""

    async def run() -> None:
        async with _serving(site, _Hasty) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nX-Long: " + b"a" * (65 << 10))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)

            async def send_on() -> None:
                while True:
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.sleep(0.01)

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(send_on(), _PATIENCE)
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("start", [b"", b"GET /pulp/api", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(site: Site, start: bytes) -> None:
    """A connection that says nothing, or stops in the middle of a head, is closed."""

    async def run() -> None:
        async with _serving(site, _Hasty) as address:
            received = await _sent(address, start)
            assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n")

    asyncio.run(run())


def test_a_second_head_must_come_in_time_too(site: Site) -> None:
    """A connection that is kept alive has as long for each request."""
    request = b"GET /pulp/api/v2/status/ HTTP/1.1\r\n" + _HOST + b"\r\n"

    async def run() -> None:
        async with _serving(site, _Hasty) as address:
            received = await _sent(address, request + b"GET /half")
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"HTTP/1.1 408 Request Timeout\r\n" in received

    asyncio.run(run())


def test_good_requests_are_not_troubled(site: Site) -> None:
    """Many in one piece, bodies of many pieces and a head just below the bound are answered."""
    status = b"GET /pulp/api/v2/status/ HTTP/1.1\r\n" + _HOST
    long_head = status + b"X-Long: " + b"a" * 60_000 + b"\r\n\r\n"
    last = status + b"Connection: close\r\n\r\n"

    async def run() -> None:
        async with _serving(site) as address:
            many = await _sent(address, (status + b"\r\n") * 2_000 + last)
            assert many.count(b"HTTP/1.1 200 OK\r\n") == 2_001
            received = await _sent(address, *(bytes([byte]) for byte in status), b"\r\n", last)
            assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
            received = await _sent(address, long_head[:30_000], long_head[30_000:], last)
            assert received.count(b"HTTP/1.1 200 OK\r\n") == 2

    asyncio.run(run())


def test_a_body_that_does_not_come_is_not_waited_for(site: Site) -> None:
    """It is 408 in the error body."""
    hasty = Gate(site.logins, site.permissions, log=site.log, body_seconds=0.05)
    route = hasty.route("/slow/", POST=lambda call: pytest.fail(call.body.decode()))
    site.serve(web_application([route]))

    async def body() -> AsyncIterator[bytes]:
        yield b'{"id": '
        await asyncio.Event().wait()

    answer = site.ask("POST", "/slow/", auth=AUTH, content=body())
    assert_error(answer, 408, "PLPIT13")
