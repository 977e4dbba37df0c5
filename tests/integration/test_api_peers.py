"""Readers of the stream that are gone are noticed; those that only read nothing are kept."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
import trustme
import uvicorn
import uvloop

from pulpit.api.events import EVENTS
from pulpit.api.protocol import BoundedHttp
from pulpit.app.handshakes import Handshakes
from pulpit.domain.events import EventKind, NewEvent
from pulpit.events.fanout import Fanout
from tests.api_site import AUTH, Site

_PATIENCE = 30.0
#: Linux' socket option that takes a filter of packets.
_SO_ATTACH_FILTER = 26

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's words are Linux'")


class _QuickHttp(BoundedHttp):
    """The server's protocol, less patient; the kernel's probes come at 3 and 6.2 seconds."""

    silent_seconds: ClassVar[float] = 4.0


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def authority(request: pytest.FixtureRequest) -> trustme.CA | None:
    """Return who vouches for the server, if it speaks TLS."""
    return trustme.CA() if request.param else None


@contextlib.asynccontextmanager
async def _serving(site: Site, authority: trustme.CA | None) -> AsyncIterator[tuple[str, int]]:
    """Serve the site and yield its address."""
    http: Any = _QuickHttp
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        handshakes = Handshakes(lambda: context, seconds=_PATIENCE, most=9, log=site.log)

        def http(**given: Any) -> asyncio.Protocol:
            return handshakes.before(lambda: _QuickHttp(**given))

    config = uvicorn.Config(site.app, log_config=None, lifespan="off", http=http)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()
        site.fanout.close()
        server.should_exit = True
        await asyncio.wait_for(running, _PATIENCE)


def _attach(address: tuple[str, int], authority: trustme.CA | None) -> socket.socket:
    """Return a connection that has asked for all events, and takes few bytes."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    connection.settimeout(_PATIENCE)
    connection.connect(address)
    if authority:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
    login = base64.b64encode(":".join(AUTH).encode()).decode()
    connection.sendall(
        f"GET {EVENTS}?since=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: Basic {login}\r\n\r\n".encode()
    )
    assert connection.recv(16)
    return connection


def _vanish(connection: socket.socket) -> None:
    """Let the kernel throw away all that comes, as if the machine were gone."""
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(nothing))
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _write(site: Site, count: int) -> None:
    event = NewEvent(
        kind=EventKind.STATUS,
        type="t",
        task_id="t",
        revision=1,
        state=None,
        tags=(),
        time=site.clock(),
        body=b'"' + b"x" * 1_000 + b'"',
    )
    with site.storage.write() as transaction:
        transaction.journal.append([event] * count)


async def _wait_for(fanout: Fanout, **figures: int) -> None:
    """Wait until the fan-out tells these figures."""
    async with asyncio.timeout(_PATIENCE):
        while not figures.items() <= fanout.figures().items():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


def _read_all(connection: socket.socket, last: int) -> None:
    """Read up to the event of a number."""
    rest = b""
    while b"\nid: %d\n" % last not in rest:
        rest = rest[-50:] + connection.recv(1 << 20)


def test_a_dead_reader_is_noticed_and_a_stuck_one_kept(
    site: Site, authority: trustme.CA | None
) -> None:
    """Both have taken nothing for as long; the one that lives reads on as if nothing was."""
    count = 3_000
    _write(site, count)

    async def run() -> None:
        async with _serving(site, authority) as address:
            dead = await asyncio.to_thread(_attach, address, authority)
            stuck = await asyncio.to_thread(_attach, address, authority)
            with dead, stuck:
                _vanish(dead)
                await _wait_for(site.fanout, dead=1)
                assert site.fanout.figures()["readers"] == 1
                await asyncio.to_thread(_read_all, stuck, count)
                assert site.fanout.figures()["dead"] == 1

    uvloop.run(run())


def test_a_dead_reader_with_little_to_take_is_noticed(
    site: Site, authority: trustme.CA | None
) -> None:
    """A few bytes that nobody acknowledges are enough."""

    async def run() -> None:
        async with _serving(site, authority) as address:
            with await asyncio.to_thread(_attach, address, authority) as dead:
                await _wait_for(site.fanout, readers=1)
                _vanish(dead)
                await asyncio.to_thread(_write, site, 1)
                await _wait_for(site.fanout, dead=1, readers=0)

    uvloop.run(run())
