"""What changes at a broker while the publisher is at work: each told once, and mended."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from pulpit.events.amqp import Publisher, Reason
from tests.integration.test_publisher_rabbitmq import publishing
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.services.rabbitmq import RabbitMQ

WELL = "Events are published to the broker"
#: What the documentation tells operators to give.
ENOUGH = ("pulp.api.v2", "pulp.api.v2", "")

#: Closes what is open: one that is being opened or closed would be cut off without a word.
_CLOSE = (
    '[rabbit_networking:close_connection(P, "maintenance") || P <- rabbit_networking:connections(),'
    " (catch rabbit_networking:connection_info(P, [state])) =:= [{state, running}]]"
)
#: What the channels are at.
_OCCUPATIONS = "[process_info(P, current_function) || P <- rabbit_channel:list_local()]"


@pytest.fixture
def zoo(rabbitmq: RabbitMQ) -> Iterator[str]:
    """Yield the URL of user and virtual host zoo."""
    rabbitmq.ctl("add_vhost", "zoo")
    rabbitmq.ctl("add_user", "zoo", "zoo")
    rabbitmq.ctl("set_permissions", "-p", "zoo", "zoo", *ENOUGH)
    yield f"amqp://zoo:zoo@127.0.0.1:{rabbitmq.port}/zoo"
    rabbitmq.ctl("delete_user", "zoo")
    rabbitmq.evaluate(
        'case rabbit_vhost:exists(<<"zoo">>) of true -> '
        'rabbit_vhost:delete(<<"zoo">>, <<"test">>); false -> ok end'
    )


def lines(logged: Any, reason: Reason) -> list[str]:
    """Return the lines of the log with that reason."""
    return [entry["event"] for entry in logged.entries if entry.get("reason") == reason]


def has_confirmed(publisher: Publisher, count: int) -> bool:
    """Return whether so many messages are confirmed."""
    return publisher.status().confirmed >= count


def await_failures(publisher: Publisher, reason: Reason, count: int = 2) -> None:
    """Wait until a reason has come up so often."""
    until(lambda: publisher.status().failures[reason] >= count)


def test_permissions_taken_away(rabbitmq: RabbitMQ, zoo: str) -> None:
    """The broker closes the channel (403): one line, however often it is tried again."""
    journal, cursors = MemoryJournal([make_event(1)]), MemoryCursors(amqp_publisher=0)
    with publishing(zoo, journal, cursors) as (publisher, logged):
        until(lambda: publisher.status().confirmed == 1)
        # it may still declare what is there, so that connecting goes well each time
        rabbitmq.ctl("set_permissions", "-p", "zoo", "zoo", ".*", "^$", ".*")
        # the channel forgets the permissions it knows of when it is idle for long enough
        until(lambda: "hibernate" in rabbitmq.evaluate(_OCCUPATIONS))
        journal.append(make_event(2))
        await_failures(publisher, Reason.NO_PERMISSION, 3)
        assert publisher.status().reason is Reason.NO_PERMISSION
        rabbitmq.ctl("set_permissions", "-p", "zoo", "zoo", *ENOUGH)
        until(lambda: publisher.status().lag == 0)
        assert publisher.status().reason is None
    (line,) = lines(logged, Reason.NO_PERMISSION)
    assert "user zoo" in line
    assert "permission to configure and write" in line
    assert [entry["event"] for entry in logged.entries if entry["log_level"] == "info"] == [
        WELL,
        WELL,
    ]


def test_a_virtual_host_deleted(rabbitmq: RabbitMQ, zoo: str) -> None:
    """The connection is closed, then refused; once it is there again, events flow."""
    journal, cursors = MemoryJournal([make_event(1)]), MemoryCursors(amqp_publisher=0)
    with publishing(zoo, journal, cursors) as (publisher, logged):
        until(lambda: publisher.status().confirmed == 1)
        rabbitmq.ctl("delete_vhost", "zoo")
        # an event before that would be told that there is no exchange
        await_failures(publisher, Reason.CLOSED_BY_BROKER, 1)
        journal.append(make_event(2))
        await_failures(publisher, Reason.NO_VHOST, 3)
        rabbitmq.ctl("add_vhost", "zoo")
        rabbitmq.ctl("set_permissions", "-p", "zoo", "zoo", *ENOUGH)
        until(lambda: publisher.status().lag == 0)
    (line,) = lines(logged, Reason.NO_VHOST)
    assert "create it" in line
    assert len(lines(logged, Reason.CLOSED_BY_BROKER)) == 1


def test_connections_closed_by_the_operator(rabbitmq: RabbitMQ) -> None:
    """It is told once, opened again by itself, and no event is lost."""
    journal, cursors = MemoryJournal([make_event(1)]), MemoryCursors(amqp_publisher=0)
    with publishing(rabbitmq.url, journal, cursors) as (publisher, logged):
        until(lambda: publisher.status().confirmed == 1)
        for count in (1, 2, 3):
            until(lambda: publisher.status().connected)
            # the broker's list may not have it yet
            until(lambda: "ok" in rabbitmq.evaluate(_CLOSE))
            # else the one that is closed might be taken for the next one
            await_failures(publisher, Reason.CLOSED_BY_BROKER, count)
        journal.append(make_event(2))
        until(lambda: publisher.status().confirmed == 2)
    (line,) = lines(logged, Reason.CLOSED_BY_BROKER)
    assert "maintenance" in line
    assert "opened again by itself" in line


def test_a_message_larger_than_the_broker_takes(rabbitmq: RabbitMQ) -> None:
    """It holds up what comes after it, and the line says which setting to raise."""
    journal, cursors = MemoryJournal([make_event(1)]), MemoryCursors(amqp_publisher=0)
    limit = "application:set_env(rabbit, max_message_size, {})"
    rabbitmq.evaluate(limit.format(1000))
    try:
        with publishing(rabbitmq.url, journal, cursors) as (publisher, logged):
            # confirmed only after a failure, it would count as progress, and be told of
            until(lambda: publisher.status().confirmed == 1)
            journal.append(make_event(2, body=b"x" * 5_000), make_event(3))
            await_failures(publisher, Reason.TOO_LARGE, 3)
            assert publisher.status().confirmed == 1
            rabbitmq.evaluate(limit.format(128 << 20))
            until(lambda: publisher.status().confirmed == 3)
    finally:
        rabbitmq.evaluate(limit.format(128 << 20))
    (line,) = lines(logged, Reason.TOO_LARGE)
    assert "max_message_size" in line


def test_one_full_queue_is_told_once_while_others_take_their_messages(
    rabbitmq: RabbitMQ,
) -> None:
    """A queue of one task that rejects: the other tasks' events are confirmed meanwhile."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    stuck = [make_event(number, task=1) for number in (1, 2)]
    journal, cursors = MemoryJournal(stuck), MemoryCursors(amqp_publisher=0)
    key = f"tasks.{stuck[0].task_id}"
    with (
        Consumer(rabbitmq.host, rabbitmq.port, key=key, arguments=full) as tight,
        publishing(rabbitmq.url, journal, cursors, resend_first=0.01) as (publisher, logged),
    ):
        for number in range(3, 200):
            journal.append(make_event(number, task=2))
            until(partial(has_confirmed, publisher, number - 1))
        assert publisher.status().reason is Reason.NACKED
        assert publisher.status().failures[Reason.NACKED] > 2
        tight.delete()
        until(lambda: publisher.status().lag == 0)
        assert publisher.status().reason is None
    assert sum("nack" in entry["event"] for entry in logged.entries) == 1
