"""A web application and an AMQP door in a thread of their own, on ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette

from pulpit.domain.events import Event
from pulpit.events.door import Door, DoorSettings
from pulpit.events.fanout import Fanout, Reader
from pulpit.events.live import DoorFeed
from pulpit.events.message import message_of
from pulpit.events.parts import Bounds
from pulpit.ports import EventHistory

__all__ = ["HOST", "NO_DOOR", "Opened", "Problems", "Serving", "free_socket"]

HOST = "127.0.0.1"
NO_DOOR = "the plane has no door: make it with EventPlane(door=True)"
#: Seconds that starting or stopping may take on a busy machine.
_PATIENCE = 30.0

T = TypeVar("T")


class Problems:
    """A log that keeps what went wrong inside, so that no test passes over it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, event: str, /, **fields: Any) -> None:
        """Keep nothing of what is as it should be."""

    #: A consumer that goes away without a word, or logs in wrongly, is what tests are about.
    warning = info

    def exception(self, event: str, /, **fields: Any) -> None:
        """Keep a defect."""
        self.told.append(f"{event}: {fields}")

    error = exception


class Opened:
    """Counts the streams that were opened since the start."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def add(self) -> None:
        """Count one more."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float) -> None:
        """Block until *count* were opened.

        Raises:
            AssertionError: there were fewer in that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, timeout):
                raise AssertionError(f"{self._count} of {count} streams opened in {timeout} s")


class _Fanout(Fanout):
    """A fan-out whose readers are counted; it keeps nothing, so that all read the journal."""

    def __init__(self, source: EventHistory, opened: Opened) -> None:
        super().__init__(source, kept=Bounds(count=0, size=0))
        self._opened = opened

    def attach(self, after: int, **options: Any) -> Reader:
        reader = super().attach(after, **options)
        self._opened.add()
        return reader


class _Uvicorn(uvicorn.Server):
    """Uvicorn without signal handlers, which are the test's own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def free_socket(port: int = 0) -> socket.socket:
    """Return a socket that listens on a port of this machine; 0 takes a free one."""
    return socket.create_server((HOST, port))


class Serving:
    """One run of the servers, from its start to its stop.

    Args:
        listener: where HTTP is spoken; closed at the stop.
        application: makes the web application, in the thread of the loop.
        source: the journal.
        opened: counts streams.
        problems: where defects are told.
        event_source_uri: CloudEvents' ``source``, for messages at the door.
        door_port: where the door opens; 0 takes a free port, None opens none.
        authenticate: whether a login and a password are those of a user.
    """

    def __init__(
        self,
        listener: socket.socket,
        application: Callable[[Fanout], Starlette],
        *,
        source: EventHistory,
        opened: Opened,
        problems: Problems,
        event_source_uri: str,
        door_port: int | None,
        authenticate: Callable[[str, str], bool],
    ) -> None:
        self._listener, self._application = listener, application
        self._source, self._opened, self._problems = source, opened, problems
        self._uri, self._authenticate = event_source_uri, authenticate
        self._door = self._make_door(door_port) if door_port is not None else None
        self._feed = DoorFeed(source, publish=self._publish, log=problems) if self._door else None
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="event plane", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server
        self._ending: asyncio.Event

    def start(self) -> None:
        """Return once both are open."""
        self._thread.start()
        self._started.result(_PATIENCE)

    def stop(self) -> None:
        """Let nobody in, cut all connections, and return once both are closed."""
        self.call(self._close)
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError(f"the event plane has not stopped in {_PATIENCE} s")

    def cut(self) -> None:
        """Cut all HTTP connections, as a network that fails would."""
        self.call(self._abort)

    @property
    def door_port(self) -> int | None:
        """Where the door is open."""
        return self._door.address[1] if self._door else None

    def repeat(self, events: Sequence[Event]) -> None:
        """Send events to those at the door once more, after all that they are still to get.

        Raises:
            RuntimeError: there is no door.
        """
        feed = self._feed
        if feed is None:
            raise RuntimeError(NO_DOOR)

        async def run() -> None:
            await feed.drain(_PATIENCE)
            for event in events:
                self._publish(event)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(_PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        """Return what *function* returns in the thread of the loop."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_PATIENCE)

    def _close(self) -> None:
        """Close the port at once, so that who was cut off can't come back."""
        for listening in self._server.servers:
            listening.close()
        self._abort()

    def _abort(self) -> None:
        for protocol in list(self._server.server_state.connections):
            transport = getattr(protocol, "transport", None)
            if transport is not None:
                transport.abort()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - whoever starts it is told
            if self._started.done():
                self._problems.exception("the event plane failed", reason=repr(error))
            else:
                self._started.set_exception(error)

    async def _main(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        fanout = _Fanout(self._source, self._opened)
        config = uvicorn.Config(
            self._application(fanout), log_config=None, lifespan="off", ws="none"
        )
        self._server = _Uvicorn(config)
        serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        async with contextlib.AsyncExitStack() as stack:
            if self._door and self._feed:
                await self._door.start()
                stack.push_async_callback(self._door.stop)
                self._feed.start()
                stack.push_async_callback(self._feed.stop)
            # it answers once it has taken the socket, which listens already
            self._started.set_result(None)
            await self._ending.wait()
            fanout.close()
        self._server.should_exit = True
        await serving

    def _make_door(self, port: int) -> Door:
        settings = DoorSettings(host=HOST, port=port, anonymous_loopback=True)
        return Door(settings, authenticate=self._ask, log=self._problems)

    async def _ask(self, login: str, password: str) -> bool:
        return await asyncio.to_thread(self._authenticate, login, password)

    def _publish(self, event: Event) -> None:
        assert self._door is not None
        self._door.publish(message_of(event, source=self._uri), event)
