"""Every example consumer, run as it stands, against the door and against RabbitMQ."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import amqp
import pytest

from pulpit.domain.events import Event
from pulpit.events.message import EXCHANGE
from tests.acceptance.server import ReadyProcess
from tests.door_server import DoorThread, status, task_message
from tests.services import PATIENCE, missing
from tests.services.rabbitmq import RabbitMQ

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "consumers"
NODE_MODULES = Path(__file__).parent / "node" / "node_modules"
CONSUMERS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".py", ".js", ".sh"})


class Source(Protocol):
    """Where a consumer attaches."""

    url: str

    def publish(self, event: Event) -> None:
        """Send the event to all who listen."""


class _Door:
    """The server's own door."""

    def __init__(self, door: DoorThread) -> None:
        self.url = f"amqp://guest:guest@127.0.0.1:{door.port}"
        self._door = door

    def publish(self, event: Event) -> None:
        self._door.publish(event)


class _Broker:
    """RabbitMQ, fed as the publisher feeds it."""

    def __init__(self, broker: RabbitMQ, channel: amqp.Channel) -> None:
        self.url = broker.url.rstrip("/")
        self._channel = channel
        channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)

    def publish(self, event: Event) -> None:
        told = task_message(event)
        message = amqp.Message(
            told.body.decode(),
            content_type=told.content_type,
            content_encoding=told.content_encoding,
            application_headers=dict(told.headers),
        )
        self._channel.basic_publish(message, EXCHANGE, told.routing_key)


@pytest.fixture(params=["door", "rabbitmq"])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """Yield both places, one after the other."""
    if request.param == "door":
        with DoorThread() as door:
            yield _Door(door)
        return
    broker: RabbitMQ = request.getfixturevalue("rabbitmq")
    with amqp.Connection(f"{broker.host}:{broker.port}") as connection:
        yield _Broker(broker, connection.channel())


def command(name: str) -> list[str]:
    """Return the command that the example's first lines name."""
    programs = {".py": [sys.executable], ".js": ["node"], ".sh": ["sh"]}
    program = programs[Path(name).suffix]
    if name.endswith(".js") and not (NODE_MODULES / "amqplib").is_dir():
        missing("node's amqplib")
    if name.endswith(".sh") and shutil.which("amqp-consume") is None:
        missing("amqp-consume")
    return [*program, str(FOLDER / name)]


class Consumer:
    """An example that runs."""

    def __init__(self, name: str, url: str, *arguments: str) -> None:
        environ = {**os.environ, "AMQP_URL": url, "NODE_PATH": str(NODE_MODULES)}
        self._running = ReadyProcess([*command(name), *arguments], environ=environ)

    def received(self) -> list[tuple[str, str]]:
        """Return routing key and state of what was printed so far."""
        return _received(self._running.lines())

    def wait_for(self, key: str, state: str, *, seconds: float) -> bool:
        """Return whether this message was printed in time; fail if the example has ended."""
        found = self._running.wait_for(
            lambda lines: (key, state) in _received(lines), seconds=seconds
        )
        assert found or not self._running.ended, "".join(self._running.lines())
        return found

    def exit_code(self) -> int:
        """Wait for the end and return the exit code."""
        return self._running.process.wait(PATIENCE)

    def stop(self) -> None:
        """End the example, whatever it does."""
        self._running.kill()


def _received(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return routing key and state in the lines of an example."""
    told = []
    for line in lines:
        if line.startswith("{"):
            report = json.loads(line)
            told.append((f"tasks.{report['task_id']}", report["state"]))
        elif line.startswith("tasks."):
            key, _, state = line.strip().partition(" ")
            told.append((key, state))
    return told


def event(task: str, state: str, revision: int) -> Event:
    """Return a change of a task's state."""
    body = json.dumps({"task_id": task, "state": state, "tags": []}).encode()
    return status(task, revision, body)


@contextlib.contextmanager
def attached(name: str, source: Source, task: str, *arguments: str) -> Iterator[Consumer]:
    """Yield a running example that has received a first message of *task*."""
    consumer = Consumer(name, source.url, *arguments)
    try:
        deadline = time.monotonic() + PATIENCE
        source.publish(event(task, "waiting", 1))
        # what is sent before the queue is bound reaches nobody: it is sent again until it does
        while not consumer.wait_for(f"tasks.{task}", "waiting", seconds=0.2):
            assert time.monotonic() < deadline, f"{name} received nothing"
            source.publish(event(task, "waiting", 1))
        yield consumer
    finally:
        consumer.stop()


@pytest.mark.parametrize("name", CONSUMERS)
def test_all_events(name: str, source: Source) -> None:
    """Without an argument, the events of all tasks come, in order."""
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    with attached(name, source, first) as consumer:
        for task, state in ((first, "running"), (second, "waiting"), (first, "finished")):
            source.publish(event(task, state, 2))
        source.publish(event(second, "canceled", 3))
        assert consumer.wait_for(f"tasks.{second}", "canceled", seconds=PATIENCE)
        told = [item for item in consumer.received() if item != (f"tasks.{first}", "waiting")]
        assert told == [
            (f"tasks.{first}", "running"),
            (f"tasks.{second}", "waiting"),
            (f"tasks.{first}", "finished"),
            (f"tasks.{second}", "canceled"),
        ]


@pytest.mark.parametrize("name", CONSUMERS)
def test_one_task(name: str, source: Source) -> None:
    """With a UUID, that task's events come alone; what is more than a shell line then ends."""
    mine, other = str(uuid.uuid4()), str(uuid.uuid4())
    with attached(name, source, mine, mine) as consumer:
        source.publish(event(other, "finished", 2))
        source.publish(event(mine, "finished", 2))
        assert consumer.wait_for(f"tasks.{mine}", "finished", seconds=PATIENCE)
        if not name.endswith(".sh"):
            assert consumer.exit_code() == 0
        assert {key for key, _state in consumer.received()} == {f"tasks.{mine}"}


def test_every_example_is_listed() -> None:
    """The README of the examples names each of them."""
    readme = (FOLDER / "README.md").read_text()
    assert CONSUMERS
    assert [name for name in CONSUMERS if f"`{name}`" not in readme] == []
