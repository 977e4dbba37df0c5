"""Consumers that note all they receive: of a queue, of the door, of the HTTP stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import amqp
import httpx
from amqp.exceptions import AMQPError

from tests.faults.records import Arrival, Channel, digest

__all__ = ["Consumer", "DoorConsumer", "QueueConsumer", "StreamConsumer", "sse_events"]

_EXCHANGE = "pulp.api.v2"
#: Headers of what an event stands for.
_FOLDING = {"pulpit-previous", "pulpit-folded"}
#: Type of the message after which nothing more is in a queue.
_LAST = "last"
#: Seconds before a lost connection is tried again, and after which a consumer looks up.
_PAUSE, _TICK = 0.1, 0.2
_PREFETCH = 200


class Consumer:
    """A consumer in a thread of its own, which connects again and again until told to stop.

    Args:
        channel: where arrivals are noted.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._stopping = threading.Event()
        self._connections = 0
        #: Number of the newest event that came.
        self.newest = 0
        #: Numbers of all events that came.
        self.came: set[int] = set()
        self._thread = threading.Thread(target=self._run, name=channel.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        """Connect, consume, and connect again."""
        while not self._stopping.is_set():
            try:
                self._consume()
            except (AMQPError, httpx.HTTPError, OSError):
                self._stopping.wait(_PAUSE)
            self._connections += 1

    def _consume(self) -> None:
        """Consume by one connection until it is lost or stopped."""
        raise NotImplementedError

    def _note(self, arrival: Arrival) -> None:
        """Keep what came."""
        self.channel.arrivals.append(arrival)
        self.came.add(arrival.sequence)
        self.newest = max(self.newest, arrival.sequence)


class _AmqpConsumer(Consumer):
    """What consumers by AMQP have in common."""

    def _drain(self, connection: Any) -> None:
        """Let messages come until the connection is lost or this is stopped."""
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                connection.drain_events(timeout=_TICK)

    def _note_message(self, message: Any) -> None:
        """Keep a message of the server's."""
        told: Mapping[str, Any] = message.properties
        headers: Mapping[str, Any] = told["application_headers"]
        sent = {name: value for name, value in headers.items() if name not in _FOLDING}
        # what a quorum queue adds to a redelivery was never sent by the server
        sent.pop("x-delivery-count", None)
        sent |= {name: value for name, value in told.items() if name != "application_headers"}
        body = message.body.encode()
        self._note(
            Arrival(
                connection=self._connections,
                id=told["message_id"],
                sequence=int(headers["cloudEvents:sequence"]),
                task=headers["cloudEvents:subject"],
                kind=told["type"].split(".")[-2],
                revision=headers["pulpit-revision"],
                previous=headers["pulpit-previous"],
                body=digest(body),
                whole=digest(body, json.dumps(sent, sort_keys=True).encode()),
                redelivered=message.delivery_info["redelivered"],
            )
        )


class QueueConsumer(_AmqpConsumer):
    """Drains a durable queue, whichever node of its broker lives.

    Args:
        channel: where arrivals are noted.
        urls: of the nodes.
        queue: its name, which is free.
        arguments: of the queue.
    """

    def __init__(
        self, channel: Channel, *, urls: Sequence[str], queue: str, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(channel)
        self._urls, self._queue, self._arguments = urls, queue, arguments
        self._drained = threading.Event()

    def bind(self) -> None:
        """Declare exchange and queue, and bind it to all tasks."""
        with _channel(self._urls[0]) as channel:
            channel.exchange_declare(_EXCHANGE, "topic", durable=True, auto_delete=False)
            channel.queue_declare(
                self._queue, durable=True, auto_delete=False, arguments=dict(self._arguments)
            )
            channel.queue_bind(self._queue, _EXCHANGE, "tasks.#")

    def drain(self, seconds: float) -> bool:
        """Consume all that is in the queue; return whether that was done in time."""
        with _channel(self._urls[0]) as channel:
            channel.confirm_select()
            last = amqp.Message("", type=_LAST, delivery_mode=2)
            channel.basic_publish_confirm(last, "", self._queue)
        return self._drained.wait(seconds)

    def delete(self) -> None:
        """Delete the queue."""
        with _channel(self._urls[0]) as channel:
            channel.queue_delete(self._queue)

    def _consume(self) -> None:
        with _channel(self._urls[self._connections % len(self._urls)]) as channel:

            def take(message: Any) -> None:
                """Keep a message, or see that nothing comes after it."""
                if message.properties.get("type") == _LAST:
                    self._drained.set()
                else:
                    self._note_message(message)
                channel.basic_ack(message.delivery_tag)

            channel.basic_qos(prefetch_size=0, prefetch_count=_PREFETCH, a_global=False)
            channel.basic_consume(self._queue, callback=take)
            self._drain(channel.connection)


class DoorConsumer(_AmqpConsumer):
    """Consumes live at the server's own door.

    Args:
        channel: where arrivals are noted.
        url: of the door.
    """

    def __init__(self, channel: Channel, *, url: str) -> None:
        super().__init__(channel)
        self._url = url

    def _consume(self) -> None:
        with _channel(self._url) as channel:
            queue = channel.queue_declare("", exclusive=True).queue
            channel.queue_bind(queue, _EXCHANGE, "tasks.#")
            channel.basic_consume(queue, no_ack=True, callback=self._note_message)
            self._drain(channel.connection)


class StreamConsumer(Consumer):
    """Follows the HTTP stream as CloudEvents, from its very beginning, and resumes.

    Args:
        channel: where arrivals are noted.
        urls: of the servers, of which the next one is asked each time that a connection is lost.
        auth: login and password.
    """

    def __init__(self, channel: Channel, *, urls: Sequence[str], auth: tuple[str, str]) -> None:
        super().__init__(channel)
        self._urls = urls
        # more than the server's heartbeat
        self._client = httpx.Client(auth=auth, timeout=httpx.Timeout(30, connect=2))
        self._last_id = "0"

    def stop(self) -> None:
        super().stop()
        self.close()

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def _consume(self) -> None:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": self._last_id}
        url = self._urls[self._connections % len(self._urls)]
        path = "/pulpit/v1/events/?format=cloudevents"
        with self._client.stream("GET", url + path, headers=headers) as answer:
            answer.raise_for_status()
            for event_id, name, data in sse_events(answer.iter_bytes()):
                if name == "stale":
                    self.channel.notices.append(data)
                else:
                    self.note_event(data)
                    self._last_id = event_id
                if self._stopping.is_set():
                    return

    def note_event(self, data: str) -> None:
        """Keep an event."""
        event = json.loads(data)
        # the body stands in the event as it stands in the journal
        body = data.partition('"data":')[2].removesuffix("}").encode()
        self._note(
            Arrival(
                connection=self._connections,
                id=event["id"],
                sequence=int(event["sequence"]),
                task=event["subject"],
                kind=event["pulpitkind"],
                revision=event["pulpitrevision"],
                previous=event["pulpitprevious"],
                body=digest(body),
                whole=digest(data.encode()),
            )
        )


@contextmanager
def _channel(url: str) -> Iterator[Any]:
    """Yield a channel of a new connection."""
    parts = urlsplit(url)
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        connect_timeout=5,
    )
    try:
        connection.connect()
        yield connection.channel()
        connection.close()
    finally:
        connection.collect()


def sse_events(chunks: Iterator[bytes]) -> Iterator[tuple[str, str, str]]:
    """Yield id, name and data of each whole event of a ``text/event-stream``."""
    buffer = b""
    for chunk in chunks:
        *frames, buffer = (buffer + chunk).split(b"\n\n")
        for frame in frames:
            lines = [line.partition(": ") for line in frame.decode().split("\n")]
            fields = {name: value for name, _, value in lines if name}
            if "data" in fields:
                yield fields.get("id", ""), fields["event"], fields["data"]
