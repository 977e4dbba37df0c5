"""The publisher and brokers that refuse, stall or are none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import amqp
import pytest
import structlog
from structlog.testing import LogCapture

from pulpit.events.amqp import CURSOR, Reason
from pulpit.events.door import Door, DoorSettings
from tests.integration.test_publisher_rabbitmq import publishing
from tests.services import free_ports, until
from tests.services.consumer import Consumer
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.services.rabbitmq import RabbitMQ


def _journal(count: int, body: bytes | None = None) -> MemoryJournal:
    """Return a journal of status events."""
    return MemoryJournal([make_event(number, body=body) for number in range(1, count + 1)])


def _errors(logged: Any) -> list[str]:
    """Return the lines logged as errors."""
    return [entry["event"] for entry in logged.entries if entry["log_level"] == "error"]


@pytest.fixture
def admin(rabbitmq: RabbitMQ) -> Iterator[Any]:
    """Yield a channel to set the scene with."""
    connection = amqp.Connection(f"{rabbitmq.host}:{rabbitmq.port}")
    connection.connect()
    with contextlib.closing(connection):
        yield connection.channel()


def test_a_wrong_password_is_told_once_until_it_is_right(rabbitmq: RabbitMQ) -> None:
    """One line says what to correct; when it is, events flow without a restart."""
    url = rabbitmq.url.replace("guest:guest", "zoo:keeper")
    with publishing(url, _journal(3), MemoryCursors(amqp_publisher=0)) as (publisher, logged):
        until(lambda: publisher.status().reason is Reason.REFUSED_CREDENTIALS)
        rabbitmq.ctl("add_user", "zoo", "keeper")
        try:
            until(lambda: publisher.status().reason is Reason.NO_VHOST)
            rabbitmq.ctl("set_permissions", "zoo", "", ".*", ".*")
            until(lambda: publisher.status().reason is Reason.NO_PERMISSION)
            rabbitmq.ctl("set_permissions", "zoo", ".*", ".*", ".*")
            until(lambda: publisher.status().confirmed == 3)
        finally:
            rabbitmq.ctl("delete_user", "zoo")
    assert "event_notification_url" in _errors(logged)[0]
    assert len(_errors(logged)) == 3
    assert "keeper" not in repr(logged.entries)


def test_an_exchange_of_another_kind_is_told(rabbitmq: RabbitMQ, admin: Any) -> None:
    """The log says which exchange to delete; once it is gone, events flow."""
    admin.exchange_delete("pulp.api.v2")
    admin.exchange_declare("pulp.api.v2", "fanout", durable=True, auto_delete=False)
    journal, cursors = _journal(3), MemoryCursors(amqp_publisher=0)
    with publishing(rabbitmq.url, journal, cursors) as (publisher, logged):
        until(lambda: bool(_errors(logged)))
        admin.exchange_delete("pulp.api.v2")
        until(lambda: publisher.status().confirmed == 3)
    (line,) = _errors(logged)
    assert "pulp.api.v2" in line
    assert "delete it" in line


def test_an_exchange_deleted_meanwhile_is_declared_again(rabbitmq: RabbitMQ, admin: Any) -> None:
    """Whoever deletes the exchange under the publisher loses no event."""
    journal, cursors = _journal(1), MemoryCursors(amqp_publisher=0)
    with publishing(rabbitmq.url, journal, cursors) as (publisher, logged):
        until(lambda: publisher.status().confirmed == 1)
        admin.exchange_delete("pulp.api.v2")
        journal.append(make_event(2))
        until(lambda: publisher.status().confirmed == 2)
    assert any("404" in entry["event"] for entry in logged.entries)


def test_a_full_queue_that_rejects_delays_and_loses_nothing(rabbitmq: RabbitMQ, admin: Any) -> None:
    """Refused messages (nack) come again until the broker takes them over."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    journal, cursors = _journal(4), MemoryCursors(amqp_publisher=0)
    with (
        Consumer(rabbitmq.host, rabbitmq.port, arguments=full) as tight,
        publishing(rabbitmq.url, journal, cursors, resend_first=0.05) as (publisher, logged),
    ):
        until(lambda: publisher.status().resent > 3)
        assert publisher.status().confirmed < 4
        assert (cursors.load(CURSOR) or 0) < 4
        tight.delete()
        until(lambda: publisher.status().confirmed == 4)
    assert cursors.load(CURSOR) == 4
    assert sum("nack" in entry["event"] for entry in logged.entries) == 1


def test_a_blocked_broker_gets_its_events_when_it_can_take_them(rabbitmq: RabbitMQ) -> None:
    """A memory alarm halts the publisher, told once; after it each event arrives, none twice."""
    journal, cursors = MemoryJournal(), MemoryCursors()
    events = [make_event(number, body=b"z" * 1500) for number in range(1, 2001)]
    with (
        Consumer(rabbitmq.host, rabbitmq.port) as consumer,
        publishing(rabbitmq.url, journal, cursors, fold_above=None) as (publisher, logged),
    ):
        until(lambda: publisher.status().connected)
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
        try:
            # a broker says that it is blocked to who publishes, once the alarm is heard everywhere
            rest = iter(events)

            def is_blocked() -> bool:
                status = publisher.status()
                if not status.blocked and status.confirmed == journal.head():
                    journal.append(next(rest))
                return status.blocked

            until(is_blocked)
            journal.append(*rest)
            assert publisher.status().published <= 500
            # longer than the second after which the library's default would cut us off
            time.sleep(1.5)
            assert publisher.status().connected
        finally:
            rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
        received = consumer.count(2000)
    assert [m.properties["message_id"] for m in received] == [event.id for event in events]
    assert sum("alarm" in entry["event"] for entry in logged.entries) == 1
    assert publisher.status().resent == 0


def test_stopping_before_a_frozen_broker_takes_no_longer_than_said(rabbitmq: RabbitMQ) -> None:
    """A broker that answers nothing holds up nobody; the cursor stays where it was confirmed."""
    journal, cursors = _journal(10), MemoryCursors(amqp_publisher=0)
    with publishing(rabbitmq.url, journal, cursors) as (publisher, _):
        until(lambda: publisher.status().confirmed == 10)
        rabbitmq.freeze()
        try:
            journal.append(*[make_event(n, body=b"f" * 100_000) for n in range(11, 200)])
            began = time.monotonic()
            publisher.stop(timeout=0.5)
            assert time.monotonic() - began < 4
        finally:
            rabbitmq.thaw()
    assert cursors.load(CURSOR) == 10


def test_a_silent_broker_is_given_up_and_found_again(rabbitmq: RabbitMQ) -> None:
    """Without heartbeats of the broker the connection is lost; when it wakes, all is confirmed."""
    journal, cursors = _journal(1), MemoryCursors(amqp_publisher=0)
    settings = {"heartbeat": 1, "connect_timeout": 0.5}
    with publishing(rabbitmq.url, journal, cursors, **settings) as (publisher, logged):
        until(lambda: publisher.status().confirmed == 1)
        # idle for longer than a broker waits for heartbeats: ours keep the connection
        time.sleep(2.5)
        assert [entry["log_level"] for entry in logged.entries] == ["info"]
        rabbitmq.freeze()
        try:
            journal.append(make_event(2))
            until(lambda: "silent" in (publisher.status().last_error or ""))
        finally:
            rabbitmq.thaw()
        until(lambda: publisher.status().confirmed == 2)


def test_no_broker_at_all_is_told_once(rabbitmq: RabbitMQ) -> None:
    """A closed port makes one line; a second URL takes over."""
    (port,) = free_ports(1)
    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    with publishing(url, _journal(1), MemoryCursors(amqp_publisher=0)) as (publisher, logged):
        until(lambda: publisher.status().last_error is not None)
        time.sleep(0.3)
    assert len(logged.entries) == 1
    both = f"{url};{rabbitmq.url}"
    with publishing(both, _journal(1), MemoryCursors(amqp_publisher=0)) as (publisher, _):
        until(lambda: publisher.status().confirmed == 1)
        assert str(rabbitmq.port) in publisher.status().url


@contextmanager
def _listener(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer each connection with *answer*; yield the port and what clients sent first."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        """Serve one client after the other until the socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    heard.append(client.recv(8))
                    client.sendall(answer)
                    client.recv(4096)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], heard
    finally:
        # closing alone does not wake a thread that accepts
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


@contextmanager
def _door() -> Iterator[int]:
    """Open the server's own door to nobody; yield its port."""

    async def refuse(_login: str, _password: str) -> bool:
        return False

    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    door = Door(
        DoorSettings(host="127.0.0.1", port=0, anonymous_loopback=False),
        authenticate=refuse,
        log=structlog.wrap_logger(None, processors=[LogCapture()]),
    )
    try:
        asyncio.run_coroutine_threadsafe(door.start(), loop).result(5)
        yield door.address[1]
    finally:
        asyncio.run_coroutine_threadsafe(door.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def test_our_own_door_is_known_and_left_alone() -> None:
    """The server's door is named in the log, what to set instead as well, and never tried again."""
    with _door() as port:
        url = f"amqp://127.0.0.1:{port}/"
        with publishing(url, _journal(1), MemoryCursors(amqp_publisher=0)) as (publisher, logged):
            until(lambda: bool(_errors(logged)))
            time.sleep(0.3)
    (line,) = _errors(logged)
    assert "own AMQP door" in line
    assert "event_notification_url" in line
    assert len(logged.entries) == 1
    assert publisher.status().confirmed == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100,
        b"AMQP\x00\x01\x00\x00",
        b"",
        b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce",
        b"\x01\x00\x05\x00\x00\x00\x04\x00\x14\x00\x28\xce",
        b"\x02\x00\x00\x00\x00\x00\x01\x00\xce",
    ],
    ids=["http", "other version", "nothing", "short start", "unknown channel", "header first"],
)
def test_something_that_is_no_broker_does_no_harm(answer: bytes) -> None:
    """Whatever answers at the URL, it is told and tried again, and the thread lives."""
    with _listener(answer) as (port, heard):
        url = f"amqp://127.0.0.1:{port}/"
        settings = {"connect_timeout": 0.3}
        journal, cursors = _journal(1), MemoryCursors(amqp_publisher=0)
        with publishing(url, journal, cursors, **settings) as (publisher, logged):
            until(lambda: len(heard) > 1)
    assert publisher.status().last_error is not None
    assert not any("failed" in entry["event"] for entry in logged.entries)
