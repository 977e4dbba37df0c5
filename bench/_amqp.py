"""The peers of the event benchmark: py-amqp alone, and the consumer that all are measured with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import amqp

from pulpit.events.message import EXCHANGE, Message

__all__ = ["Arrivals", "Consumer", "attached", "drain", "one_connection_each", "pace", "paced"]

#: Message id to the monotonic second of its arrival at the consumer.
Arrivals = dict[str, float]


class Consumer:
    """The consumer in its process; made by ``attached``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def arrivals(self) -> Arrivals:
        """Wait until all messages are there; return when each arrived."""
        arrivals: Arrivals = json.loads(self._line())
        return arrivals

    def _line(self) -> str:
        """Return the next line that the process says."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the consumer ended: see its errors above")
        return line

    def await_ready(self) -> None:
        """Wait until it is attached."""
        self._line()


@contextmanager
def attached(port: int, count: int, *, binding: str = "tasks.#") -> Iterator[Consumer]:
    """Attach a consumer in a process of its own.

    Args:
        port: of the broker.
        count: how many messages it waits for.
        binding: key of what it gets.
    """
    command = [sys.executable, "-m", "bench._consumer", str(port), str(count), binding]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        consumer = Consumer(process)
        try:
            consumer.await_ready()
            yield consumer
        except BaseException:
            process.kill()
            raise


def _plain(message: Message) -> amqp.Message:
    """Return the same message as py-amqp has it."""
    return amqp.Message(
        message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        application_headers=dict(message.headers),
        delivery_mode=message.delivery_mode,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )


class _Confirming:
    """A channel in confirm mode that counts what is confirmed."""

    def __init__(self, port: int) -> None:
        self.connection = amqp.Connection(f"127.0.0.1:{port}")
        self.connection.connect()
        self.channel = self.connection.channel()
        self.channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(self._acked)
        self._unconfirmed: dict[int, None] = {}
        self._tag = 0

    def _acked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - the library's signature
        """Forget what is confirmed."""
        if not multiple:
            self._unconfirmed.pop(tag, None)
            return
        while self._unconfirmed and (oldest := next(iter(self._unconfirmed))) <= tag:
            del self._unconfirmed[oldest]

    def publish(self, content: amqp.Message, key: str, window: int) -> None:
        """Publish when there is room in the window."""
        while len(self._unconfirmed) >= window:
            self.connection.drain_events()
        self._tag += 1
        self._unconfirmed[self._tag] = None
        self.channel.basic_publish(content, EXCHANGE, key)

    def settle(self) -> None:
        """Wait until everything is confirmed."""
        while self._unconfirmed:
            self.connection.drain_events()


def drain(port: int, messages: Sequence[Message], window: int) -> float:
    """Publish all with confirms through py-amqp alone; return the seconds from nothing to the end.

    The messages are made beforehand: the floor does no more than it must.
    """
    contents = [(_plain(message), message.routing_key) for message in messages]
    with attached(port, len(messages)) as consumer:
        began = time.perf_counter()
        channel = _Confirming(port)
        for content, key in contents:
            channel.publish(content, key, window)
        channel.settle()
        taken = time.perf_counter() - began
        consumer.arrivals()
    channel.connection.close()
    return taken


def one_connection_each(port: int, messages: Sequence[Message]) -> float:
    """Publish each message through a connection of its own; return the seconds."""
    contents = [(_plain(message), message.routing_key) for message in messages]
    with attached(port, len(messages)) as consumer:
        began = time.perf_counter()
        for content, key in contents:
            channel = _Confirming(port)
            channel.publish(content, key, 1)
            channel.settle()
            channel.connection.close()
        taken = time.perf_counter() - began
        consumer.arrivals()
    return taken


def pace(count: int, per_second: float) -> Iterator[int]:
    """Yield 0 to *count* in even steps of time; what is late is not made up for in a burst."""
    due = time.monotonic()
    for number in range(count):
        due = max(due + 1 / per_second, time.monotonic())
        if (left := due - time.monotonic()) > 0:
            time.sleep(left)
        yield number


def paced(port: int, messages: Sequence[Message], per_second: float) -> list[float]:
    """Publish at an even rate; return the seconds from publish to arrival of each."""
    contents = [(_plain(message), message) for message in messages]
    published = {}
    with attached(port, len(messages)) as consumer:
        channel = _Confirming(port)
        for number in pace(len(contents), per_second):
            content, message = contents[number]
            published[message.message_id] = time.monotonic()
            channel.publish(content, message.routing_key, len(contents))
        channel.settle()
        arrivals = consumer.arrivals()
    channel.connection.close()
    return [arrivals[name] - moment for name, moment in published.items()]
