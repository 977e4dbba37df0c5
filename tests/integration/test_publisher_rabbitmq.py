"""The publisher against a real broker: what arrives, and what survives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from pulpit.domain.events import Event, EventKind
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings
from pulpit.events.message import message_of
from tests.services.consumer import Consumer
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.services.rabbitmq import RabbitMQ

SOURCE = "https://pulp.example.com/"


@contextmanager
def publishing(
    url: str, journal: MemoryJournal, cursors: MemoryCursors, **settings: Any
) -> Iterator[tuple[Publisher, LogCapture]]:
    """Yield a started publisher; stop it in the end."""
    logged = LogCapture()
    quick = {"retry_first": 0.05, "retry_longest": 0.3, "retry_refused": 0.1}
    publisher = Publisher(
        PublisherSettings(**({"urls": url} | quick | settings)),
        source=journal,
        cursors=cursors,
        event_source_uri=SOURCE,
        log=structlog.wrap_logger(None, processors=[logged]),
    )
    publisher.start()
    try:
        yield publisher, logged
    finally:
        publisher.stop()


def _mixed(first: int, last: int) -> list[Event]:
    """Return events of three tasks, each third one a status change."""
    return [
        make_event(
            number,
            task=number % 3,
            revision=number // 3 + 1,
            kind=EventKind.PROGRESS if number % 9 else EventKind.STATUS,
            body=b'{"number": %d, "fill": "%b"}' % (number, b"x" * (number % 40) * 50),
        )
        for number in range(first, last + 1)
    ]


def _ids(messages: Sequence[Any]) -> list[str]:
    """Return the message ids, repeats left out."""
    return list(dict.fromkeys(message.properties["message_id"] for message in messages))


def test_events_arrive_in_order_word_for_word(rabbitmq: RabbitMQ) -> None:
    """Exchange, key, every property, every header and the body are exactly as documented."""
    events = _mixed(1, 1500)
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        cursors = MemoryCursors(amqp_publisher=0)
        with publishing(rabbitmq.url, MemoryJournal(events), cursors, fold_above=None):
            received = consumer.count(len(events))
    for event, got in zip(events, received, strict=True):
        expected = message_of(event, source=SOURCE)
        assert got.delivery_info["exchange"] == "pulp.api.v2"
        assert got.delivery_info["routing_key"] == expected.routing_key
        assert got.body.encode() == expected.body
        assert got.properties == {
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "application_headers": dict(expected.headers),
            "delivery_mode": 2 if event.kind is EventKind.STATUS else 1,
            "message_id": event.id,
            "timestamp": int(event.time.timestamp()),
            "type": event.type,
            "app_id": "pulpit",
        }


def test_large_revisions_arrive(rabbitmq: RabbitMQ) -> None:
    """The broker takes revisions of more than 31 bits, and hands them on as they are."""
    event = make_event(1, revision=2**31)
    journal, cursors = MemoryJournal([event]), MemoryCursors(amqp_publisher=0)
    with (
        Consumer(rabbitmq.host, rabbitmq.port) as consumer,
        publishing(rabbitmq.url, journal, cursors),
    ):
        (received,) = consumer.count(1)
    headers = received.properties["application_headers"]
    assert (headers["pulpit-revision"], headers["pulpit-previous"]) == (2**31, 2**31 - 1)


def test_one_task_by_its_uuid(rabbitmq: RabbitMQ) -> None:
    """A consumer bound to one task's key hears only of that task."""
    events = _mixed(1, 90)
    key = message_of(events[0], source=SOURCE).routing_key
    journal = MemoryJournal(events)
    with (
        Consumer(rabbitmq.host, rabbitmq.port, key=key) as consumer,
        publishing(rabbitmq.url, journal, MemoryCursors(amqp_publisher=0)),
    ):
        received = consumer.count(30)
    assert {message.delivery_info["routing_key"] for message in received} == {key}


def test_a_consumer_that_is_behind_gets_folded_progress(rabbitmq: RabbitMQ) -> None:
    """A long backlog is told by fewer messages: all status changes, and only the last progress."""
    events = _mixed(1, 1800)
    journal, cursors = MemoryJournal(events), MemoryCursors(amqp_publisher=0)
    with (
        Consumer(rabbitmq.host, rabbitmq.port) as consumer,
        publishing(rabbitmq.url, journal, cursors, fold_above=100) as (publisher, _),
    ):
        received = consumer.collect(lambda got: bool(got) and got[-1].message_id == "event-1800")
        status = publisher.status()
    told = [message.properties for message in received]
    ids = [properties["message_id"] for properties in told]
    assert [event.id for event in events if event.kind is EventKind.STATUS] == [
        name for name, properties in zip(ids, told, strict=True) if properties["delivery_mode"] == 2
    ]
    stands_for = sum(
        p["application_headers"]["pulpit-revision"] - p["application_headers"]["pulpit-previous"]
        for p in told
    )
    assert stands_for == len(events)
    assert status.folded == len(events) - len(received) > 1000


def test_a_killed_broker_loses_no_status(rabbitmq: RabbitMQ) -> None:
    """Killed in the middle and started again: each status arrives, repeats are the same bytes."""
    events = [make_event(number, body=b"s" * 1500) for number in range(1, 8001)]
    journal, cursors = MemoryJournal(events[:4000]), MemoryCursors(amqp_publisher=0)
    with Consumer(rabbitmq.host, rabbitmq.port, queue="survivor"):
        pass
    with publishing(rabbitmq.url, journal, cursors, fold_above=None) as (publisher, _):
        while publisher.status().confirmed < 500:
            journal.wait(1 << 40, 0.002)
        rabbitmq.kill()
        journal.append(*events[4000:])
        rabbitmq.start()
        with Consumer(rabbitmq.host, rabbitmq.port, queue="survivor") as consumer:
            received = consumer.collect(lambda got: len(got) >= 8000 and len(_ids(got)) == 8000, 60)
            consumer.delete()
    assert publisher.status().resent > 0
    assert _ids(received) == [event.id for event in events]
    seen: dict[str, Any] = {}
    for message in received:
        first = seen.setdefault(message.properties["message_id"], message)
        assert (message.body, message.properties) == (first.body, first.properties)
    assert cursors.load(CURSOR) == 8000


def test_after_a_stop_it_goes_on_where_it_was(rabbitmq: RabbitMQ) -> None:
    """The cursor saved at the stop is the last number confirmed; nothing comes twice."""
    journal, cursors = MemoryJournal(_mixed(1, 300)), MemoryCursors(amqp_publisher=0)
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        with publishing(rabbitmq.url, journal, cursors):
            consumer.count(100)
        assert cursors.load(CURSOR) == 300
        journal.append(*_mixed(301, 400))
        with publishing(rabbitmq.url, journal, cursors):
            received = consumer.count(400)
    assert [message.properties["message_id"] for message in received] == [
        f"event-{number}" for number in range(1, 401)
    ]


@pytest.mark.parametrize("size", [0, 131_072 - 8, 131_072, 1 << 20])
def test_bodies_of_every_size(rabbitmq: RabbitMQ, size: int) -> None:
    """Empty ones, one frame to the last byte, and many frames."""
    journal = MemoryJournal([make_event(1, body=b"y" * size), make_event(2)])
    with (
        Consumer(rabbitmq.host, rabbitmq.port) as consumer,
        publishing(rabbitmq.url, journal, MemoryCursors(amqp_publisher=0)),
    ):
        received = consumer.count(2)
    assert [len(message.body) for message in received] == [size, len('{"revision": 2}')]
