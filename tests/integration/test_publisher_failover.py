"""Several URLs: who takes over, what is sent again, and that it stays there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pulpit.events.amqp import CURSOR, Reason
from tests.integration.test_publisher_rabbitmq import publishing
from tests.services import until
from tests.services.cluster import Cluster
from tests.services.consumer import Consumer
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.services.rabbitmq import RabbitMQ, lent
from tests.services.wire import Wire

WINDOW = 500


@pytest.fixture(scope="module")
def other_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Yield a second broker."""
    with lent(RabbitMQ, tmp_path_factory.mktemp("other")) as broker:
        yield broker


@pytest.fixture
def other(other_session: RabbitMQ) -> RabbitMQ:
    """Return the second broker, started again if a test before ended it."""
    other_session.start()
    return other_session


def _told(logged: Any) -> list[tuple[str, str]]:
    """Return the level and the reason of each line, or its words where it has none."""
    return [(entry["log_level"], entry.get("reason", entry["event"])) for entry in logged.entries]


def _ids(messages: list[Any]) -> list[str]:
    """Return the message ids."""
    return [message.properties["message_id"] for message in messages]


def _url(port: int) -> str:
    return f"amqp://guest:guest@127.0.0.1:{port}/"


#: How many messages are in queue one.
_HELD = (
    '{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"one">>)), '
    "{ok, N, _} = rabbit_amqqueue:stat(Q), N"
)
WELL = ("info", "Events are published to the broker")


def test_no_more_than_the_window_is_unconfirmed(rabbitmq: RabbitMQ) -> None:
    """Seen on the wire: 500 messages and no more, with confirms and without them."""
    events = [make_event(number) for number in range(1, 4001)]
    journal, cursors = MemoryJournal(events[:3000]), MemoryCursors(amqp_publisher=0)
    with (
        Wire(rabbitmq.port) as wire,
        publishing(_url(wire.port), journal, cursors, fold_above=None) as (publisher, _),
    ):
        until(lambda: publisher.status().confirmed == 3000)
        assert 1 < wire.most_unconfirmed <= WINDOW
        wire.hold()
        journal.append(*events[3000:])
        wire.await_true(lambda wire: len(wire.published) == 3000 + WINDOW)
        # it reads what it could send, once there is room
        journal.append(make_event(4001))
        assert wire.most_unconfirmed == WINDOW
        assert publisher.status().published == 3000 + WINDOW
        wire.cut()
    assert len(wire.published) >= 3000 + WINDOW


def test_the_unconfirmed_go_to_the_next_broker_under_the_same_ids(
    rabbitmq: RabbitMQ, other: RabbitMQ
) -> None:
    """A broker that is killed with 500 unconfirmed messages: the next one gets them all."""
    events = [make_event(number, body=b"%d" % number * 40) for number in range(1, 2001)]
    journal, cursors = MemoryJournal(events), MemoryCursors(amqp_publisher=0)
    with Wire(rabbitmq.port) as wire, Consumer(other.host, other.port) as consumer:
        wire.hold()
        urls = f"{_url(wire.port)};{other.url}"
        with publishing(urls, journal, cursors, fold_above=None) as (publisher, logged):
            wire.await_true(lambda wire: wire.most_unconfirmed == WINDOW)
            assert cursors.load(CURSOR) == 0
            rabbitmq.kill()
            wire.cut()
            received = consumer.count(len(events))
            until(lambda: publisher.status().lag == 0)
            status = publisher.status()
        first = wire.published
    assert _ids(received)[:WINDOW] == first == [event.id for event in events[:WINDOW]]
    assert _ids(received) == [event.id for event in events]
    assert [message.body.encode() for message in received] == [event.body for event in events]
    assert status.resent == WINDOW
    assert status.failures[Reason.LOST] == 1
    assert str(other.port) in status.url
    assert _told(logged) == [WELL, ("warning", "lost"), WELL]


def test_each_broker_in_turn_and_no_way_back_before_it_must(
    rabbitmq: RabbitMQ, other: RabbitMQ
) -> None:
    """First one is killed, then the other; the one in use stays in use when its elder is back."""
    journal, cursors = MemoryJournal(), MemoryCursors()
    numbers = iter(range(1, 1 << 30))

    def write_and_await(count: int) -> None:
        """Write so many events and wait until all that were written are confirmed."""
        journal.append(*[make_event(next(numbers)) for _ in range(count)])
        until(lambda: publisher.status().confirmed == journal.head())

    with Consumer(rabbitmq.host, rabbitmq.port, queue="one"):
        pass
    with Consumer(other.host, other.port, queue="two"):
        pass
    urls = f"{rabbitmq.url};{other.url}"
    with publishing(urls, journal, cursors, fold_above=None) as (publisher, logged):
        write_and_await(100)
        assert str(rabbitmq.port) in publisher.status().url
        rabbitmq.kill()
        write_and_await(100)
        assert str(other.port) in publisher.status().url
        rabbitmq.start()
        write_and_await(100)
        assert str(other.port) in publisher.status().url
        other.kill()
        write_and_await(100)
        assert str(rabbitmq.port) in publisher.status().url
        # else it would not be known whether what is missed later never came, or did not stay
        assert rabbitmq.evaluate(_HELD) == "200"
        # both are away
        rabbitmq.kill()
        journal.append(*[make_event(next(numbers)) for _ in range(100)])
        until(lambda: publisher.status().failures[Reason.UNREACHABLE] > 4)
        other.start()
        write_and_await(100)
        assert str(other.port) in publisher.status().url
    rabbitmq.start()
    received = []
    for broker, queue in ((rabbitmq, "one"), (other, "two")):
        with Consumer(broker.host, broker.port, queue=queue) as consumer:
            count = consumer.channel.queue_declare(queue, passive=True).message_count
            received += consumer.count(count)
            consumer.delete()
    assert set(_ids(received)) == {f"event-{number}" for number in range(1, 601)}
    lines = _told(logged)
    assert lines[:6] == [
        WELL,
        ("warning", "lost"),
        WELL,
        ("warning", "lost"),
        WELL,
        ("warning", "lost"),
    ]
    # while both were away, each was told once; then the one that was back
    assert sorted(lines[6:-1]) == [("warning", "unreachable")] * 2
    assert lines[-1] == WELL


def test_a_node_of_a_cluster_is_killed(rabbitmq_cluster: Cluster) -> None:
    """The next URL's node takes over; a quorum queue gets every event, and nothing flaps."""
    nodes = rabbitmq_cluster.nodes
    journal, cursors = MemoryJournal(), MemoryCursors()
    arguments = {"x-queue-type": "quorum"}
    # the consumer stands at a node that lives on
    with Consumer(nodes[2].host, nodes[2].port, queue="quorum", arguments=arguments) as consumer:
        rabbitmq_cluster.await_quorum("quorum")
        urls = ";".join(node.url for node in nodes)
        with publishing(urls, journal, cursors, fold_above=None) as (publisher, logged):
            journal.append(*[make_event(number) for number in range(1, 1001)])
            until(lambda: publisher.status().confirmed > 100)
            nodes[0].kill()
            journal.append(*[make_event(number) for number in range(1001, 2001)])
            until(lambda: publisher.status().lag == 0)
            assert str(nodes[1].port) in publisher.status().url
            nodes[0].start()
            rabbitmq_cluster.await_whole()
            journal.append(make_event(2001))
            until(lambda: publisher.status().lag == 0)
            assert str(nodes[1].port) in publisher.status().url
        received = consumer.collect(
            lambda got: len(set(_ids(got))) == 2001 if got[-1:] else False, 60
        )
        consumer.delete()
    assert list(dict.fromkeys(_ids(received))) == [f"event-{n}" for n in range(1, 2002)]
    assert _told(logged) == [WELL, ("warning", "lost"), WELL]
