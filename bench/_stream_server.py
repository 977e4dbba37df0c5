"""The servers of the stream benchmark: ``python -m bench._stream_server (pulpit | bare) FOLDER``.

``pulpit`` serves the event stream of a journal as the server does; ``bare`` writes the same frames
to all connections and does nothing else. Both say their port, then answer the orders on their
input: ``write COUNT RATE`` with ``done``, once COUNT events of about 1.5 KB came at RATE a second;
``figures`` with the resident memory in KiB and the seconds of processor time so far.

Each body holds the time just before the commit, in nanoseconds of the monotonic clock, which is
the same for all processes.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn
import uvloop
from argon2 import PasswordHasher

from bench._memory import resident
from pulpit.api.events import routes
from pulpit.api.protocol import BoundedHttp
from pulpit.api.server import web_application
from pulpit.api.web import Gate
from pulpit.domain.clock import utc_now
from pulpit.domain.events import EventKind, NewEvent
from pulpit.domain.tasks import TaskState
from pulpit.events.fanout import Fanout
from pulpit.services.logins import Logins
from pulpit.services.permissions import Permissions
from pulpit.services.users import Users
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["AUTH", "BACKLOG", "main"]

AUTH = ("bench", "bench")
#: Events that are there before anybody listens, so that who reads them and stops is stuck.
BACKLOG = 3_000
_BODY = b'{"sent":%d,"filling":"%s"}'
_FILLING = b"x" * 1_450
_TASKS = 20

#: Writes the event of a number.
_Write = Callable[[int], None]


def _body() -> bytes:
    return _BODY % (time.monotonic_ns(), _FILLING)


def _event(number: int) -> NewEvent:
    """Return a change of status of one of a few tasks."""
    return NewEvent(
        kind=EventKind.STATUS,
        type="pulpit.task.status.v1",
        task_id=f"task-{number % _TASKS}",
        revision=number // _TASKS + 1,
        state=TaskState.RUNNING,
        tags=("pulp:repository:zoo", "pulp:action:sync"),
        time=utc_now(),
        body=_body(),
    )


class _Bare(asyncio.Protocol):
    """A connection that gets every frame as long as it takes them."""

    everybody: set[_Bare]

    def __init__(self, everybody: set[_Bare]) -> None:
        self.everybody = everybody
        self.transport: asyncio.Transport
        self.is_stuck = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n: alive\n\n")
            self.everybody.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.everybody.discard(self)

    def pause_writing(self) -> None:
        self.is_stuck = True

    def resume_writing(self) -> None:
        self.is_stuck = False


async def _serve_bare() -> tuple[int, _Write]:
    """Open the bare server; return its port and what writes."""
    everybody: set[_Bare] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Bare(everybody), "127.0.0.1", 0, backlog=2_048)

    def send(number: int) -> None:
        body = _body()
        frame = b"id: %d\nevent: pulpit.task.status.v1\ndata: %s\n\n" % (number, body)
        for each in everybody:
            if not each.is_stuck:
                each.transport.write(frame)

    def write(number: int) -> None:
        loop.call_soon_threadsafe(send, number)

    return server.sockets[0].getsockname()[1], write


async def _serve_pulpit(folder: Path) -> tuple[int, _Write]:
    """Open the stream of a new journal with a backlog; return its port and what writes."""
    storage = SqliteStorage(upgrade(folder))
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    Users(storage, clock=utc_now, hasher=hasher).ensure_first(*AUTH)
    with storage.write() as transaction:
        transaction.journal.append([_event(number) for number in range(BACKLOG)])
    logins = Logins(storage, clock=utc_now, hasher=hasher)
    gate = Gate(logins, Permissions(storage), log=structlog.get_logger())
    uri = "http://127.0.0.1:8080/"
    app = web_application(
        routes(gate, storage.events, Fanout(storage.events), event_source_uri=uri)
    )
    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http=BoundedHttp,
        backlog=2_048,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    task.add_done_callback(lambda _: storage.close())

    def write(number: int) -> None:
        with storage.write() as transaction:
            transaction.journal.append([_event(number)])

    return server.servers[0].sockets[0].getsockname()[1], write


def _pace(write: _Write, count: int, rate: float) -> None:
    """Write events at a rate; in a thread, as the engine's are written."""
    begun = time.monotonic()
    for number in range(count):
        time.sleep(max(begun + number / rate - time.monotonic(), 0))
        write(BACKLOG + number)


async def main(kind: str, folder: str) -> None:
    """Serve and do what is asked, until the input ends."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serving = _serve_bare() if kind == "bare" else _serve_pulpit(Path(folder))
    port, write = await serving
    print(port, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["write", count, rate]:
                await asyncio.to_thread(_pace, write, int(count), float(rate))
                print("done", flush=True)
            case ["figures"]:
                used = resource.getrusage(resource.RUSAGE_SELF)
                print(resident(os.getpid()) // 1_024, used.ru_utime + used.ru_stime, flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
