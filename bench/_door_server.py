"""The door of the benchmark: ``python -m bench._door_server``; it takes orders on its input.

It says its port, then answers ``publish COUNT CONSUMERS`` with ``done`` once all is given to the
sockets, and ``idle`` with its resident memory in KiB.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop

from pulpit.domain.events import Event, EventKind
from pulpit.events.door import Door, DoorSettings
from pulpit.events.message import Message, message_of

__all__ = ["main", "make_messages"]

_BODY = b'{"task_id":"%s","state":"running","progress_report":{"filling":"%s"}}'
_BODY_BYTES = 1_500
_TASKS = 20
_BATCH = 50
#: Messages that may be on their way before the feed waits for its consumers.
_AHEAD = 2_000


def make_messages(count: int) -> list[tuple[Message, Event]]:
    """Return *count* changes of status of a few tasks, with bodies of 1.5 KB."""
    made = []
    tasks = [str(uuid.UUID(int=number)) for number in range(_TASKS)]
    now = datetime.now(tz=UTC)
    for number in range(count):
        task, revision = tasks[number % _TASKS], number // _TASKS + 1
        filling = b"x" * (_BODY_BYTES - len(_BODY) - len(task) + 4)
        event = Event(
            sequence=number,
            id=f"{task}-{revision}",
            kind=EventKind.STATUS,
            type="pulpit.task.status.v1",
            task_id=task,
            revision=revision,
            previous=revision - 1,
            state=None,
            tags=(),
            time=now,
            body=_BODY % (task.encode(), filling),
        )
        made.append((message_of(event, source="http://localhost:8080/"), event))
    return made


async def _nobody(_: str, __: str) -> bool:
    """Let only anonymous consumers in."""
    return False


async def _publish(door: Door, count: int, consumers: int) -> None:
    """Publish as fast as the consumers take it."""
    messages = make_messages(count)
    before = door.figures()["delivered"]
    for start in range(0, count, _BATCH):
        for message, event in messages[start : start + _BATCH]:
            door.publish(message, event)
        await asyncio.sleep(0)
        while start - (door.figures()["delivered"] - before) / consumers > _AHEAD:  # noqa: ASYNC110 - it lets the door write
            await asyncio.sleep(0)


def _resident() -> int:
    """Return the resident memory in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_024


async def main() -> None:
    """Open the door and do what is asked, until the input ends."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    settings = DoorSettings(port=0, anonymous_loopback=True)
    door = Door(settings, authenticate=_nobody, log=structlog.get_logger())
    await door.start()
    print(door.address[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["publish", count, consumers]:
                await _publish(door, int(count), int(consumers))
                print("done", flush=True)
            case ["idle"]:
                print(_resident(), flush=True)
    await door.stop()


if __name__ == "__main__":
    uvloop.run(main())
