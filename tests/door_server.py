"""A door in a thread of its own, fed by the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from pulpit.domain.events import Event, EventKind
from pulpit.events.door import Door, DoorSettings
from pulpit.events.message import Message, message_of
from tests.door_wire import Wire

__all__ = ["DoorThread", "Recorder", "progress", "status", "task_message"]

T = TypeVar("T")
_MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


def _event(kind: EventKind, task: str, revision: int, body: bytes) -> Event:
    return Event(
        sequence=revision,
        id=f"{task}-{revision}",
        kind=kind,
        type=f"pulpit.task.{kind.value}.v1",
        task_id=task,
        revision=revision,
        previous=revision - 1,
        state=None,
        tags=(),
        time=_MOMENT,
        body=body or f'{{"task":"{task}","revision":{revision}}}'.encode(),
    )


def progress(task: str, revision: int, body: bytes = b"") -> Event:
    """Return a progress event."""
    return _event(EventKind.PROGRESS, task, revision, body)


def status(task: str, revision: int, body: bytes = b"") -> Event:
    """Return a change of status."""
    return _event(EventKind.STATUS, task, revision, body)


def task_message(event: Event) -> Message:
    """Return the message of *event*."""
    return message_of(event, source="http://server/")


class Recorder:
    """A log that keeps its events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    warning = info

    def named(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of all events of that name."""
        return [fields for name, fields in self.events if name == event]


class DoorThread:
    """``with DoorThread() as door: door.publish(status("t", 1))``; the login is admin, secret."""

    def __init__(
        self,
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        authenticate: Callable[[str, str], Awaitable[bool]] | None = None,
        **settings: Any,
    ) -> None:
        self.log = Recorder()
        self.settings = DoorSettings(**{"port": 0, "anonymous_loopback": True, **settings})
        self.asked: list[tuple[str, str]] = []
        self._loop_factory = loop_factory
        self._authenticate = authenticate or self._is_admin
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="door")

    def __enter__(self) -> Self:
        self._thread.start()
        self.loop = self._started.result(10)
        self.host, self.port = self.door.address
        self.url = f"amqp://guest:guest@{self.host}:{self.port}/"
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], T]) -> T:
        """Return the result of *function*, called in the thread of the door."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def publish(self, *events: Event) -> None:
        """Publish *events* in one go."""

        def run() -> None:
            for event in events:
                self.door.publish(task_message(event), event)

        self.call(run)

    def figures(self) -> dict[str, int]:
        """Return what the door counts."""
        return self.call(self.door.figures)

    def wire(self, **arguments: Any) -> Wire:
        """Return a bare client."""
        return Wire(self.host, self.port, **arguments)

    def stop(self) -> None:
        """Stop the door, with its thread still running."""
        asyncio.run_coroutine_threadsafe(self.door.stop(), self.loop).result(30)

    async def _is_admin(self, login: str, password: str) -> bool:
        self.asked.append((login, password))
        return (login, password) == ("admin", "secret")

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._ending = asyncio.Event()
        self.door = Door(self.settings, authenticate=self._authenticate, log=self.log)
        try:
            await self.door.start()
        except BaseException as error:
            self._started.set_exception(error)
            raise
        self._started.set_result(asyncio.get_running_loop())
        await self._ending.wait()
        await self.door.stop()
