"""One of the servers publishes; when it is killed, frozen or stopped another one goes on."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pulpit.client import Client
from pulpit.domain.deliveries import Delivery, DeliveryState
from pulpit.domain.events import Event, EventKind
from pulpit.domain.listeners import NotifierType
from pulpit.domain.tasks import TaskState
from pulpit.services.dispatch import CURSOR
from pulpit.storage.postgresql import PostgresStorage
from tests.acceptance.pulpit_house import PulpitHouse
from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import create, on
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ
from tests.services.receiver import Receiver

#: Tasks handed in before the leader goes, and as many while nobody leads.
_TASKS = 6
_LISTENERS = """
[listeners]
allow_networks: 127.0.0.0/8
retry_hours: 0.02
timeout: 1
"""
#: Of the listener of type amqp.
_EXCHANGE = "zoo.events"
_LOG = logging.getLogger(__name__)


@pytest.fixture
def house(rabbitmq: RabbitMQ, postgresql_url: str, tmp_path: Path) -> Iterator[PulpitHouse]:
    """Yield two servers that may publish, and a worker."""
    with PulpitHouse(
        tmp_path, postgresql_url, workers=1, config=on(rabbitmq.url, _LISTENERS)
    ) as house:
        yield house


def publisher(server: PulpitServer) -> dict[str, Any]:
    """Return what the status says of publishing."""
    with server.client() as client:
        told: dict[str, Any] = client.status()["events"]["publisher"]
        return told


def leads(server: PulpitServer) -> bool:
    """Return whether the server publishes."""
    return bool(publisher(server).get("connected"))


def stands_by(server: PulpitServer) -> bool:
    """Return whether another server publishes, to the knowledge of this one."""
    return bool(publisher(server).get("standby"))


def parted(house: PulpitHouse) -> tuple[PulpitServer, PulpitServer]:
    """Return the server that publishes, and the other one, once each says so."""
    first, second = house.servers

    def look() -> tuple[PulpitServer, PulpitServer] | None:
        if leads(first) and stands_by(second):
            return first, second
        return (second, first) if leads(second) and stands_by(first) else None

    return until(look, "one server publishes and the other stands by")


def hand_in(client: Client, tasks: list[str]) -> None:
    """Hand in some publishes of repository zoo, and note which."""
    for _ in range(_TASKS):
        tasks.extend(client.publish("zoo", "web", override={"force_full": True}).spawned)


def status_changes(url: str) -> Sequence[Event]:
    """Return the status changes in the journal."""
    with PostgresStorage(url, connections=2) as storage:
        read = storage.events.read(0, 100_000)
    return [event for event in read if event.kind is EventKind.STATUS]


def arrived(consumer: Consumer, changes: Sequence[Event]) -> Sequence[Any]:
    """Return what the consumer has got once all the changes are among it."""
    wanted = {event.id for event in changes}
    return consumer.collect(
        lambda got: wanted <= {message.properties["message_id"] for message in got}
    )


def check(received: Sequence[Any], changes: Sequence[Event]) -> None:
    """Make sure that nothing is lost, repeats are exact, and first arrivals are in order."""
    first: dict[str, Any] = {}
    for message in received:
        again = first.setdefault(message.properties["message_id"], message)
        assert (again.body, again.headers) == (message.body, message.headers)
    numbers = [message.headers["cloudEvents:sequence"] for message in first.values()]
    assert numbers == sorted(numbers)
    assert {event.id for event in changes} <= set(first)


def kill(server: PulpitServer) -> None:
    """End it as a crash would."""
    server.kill()


def freeze(server: PulpitServer) -> None:
    """Let it stand still, with all its connections."""
    os.kill(server.pid, signal.SIGSTOP)


def stop(server: PulpitServer) -> None:
    """End it in good order."""
    server.stop()


def listen(client: Client, url: str) -> dict[NotifierType, str]:
    """Create a listener of each type that is told all of tasks and repositories; return the ids."""
    configs = {NotifierType.HTTP: {"url": url}, NotifierType.AMQP: {"exchange": _EXCHANGE}}
    return {
        kind: client.create_listener(
            {
                "notifier_type_id": kind.value,
                "notifier_config": config,
                "event_types": ["*", "task.*"],
            }
        ).id
        for kind, config in configs.items()
    }


def all_told(url: str) -> bool:
    """Return whether all events are deliveries, and none of these is to be tried."""
    with PostgresStorage(url, connections=2) as storage, storage.read() as transaction:
        told = storage.cursors.load(CURSOR)
        return told == storage.events.head() and not transaction.deliveries.counts()


def told(url: str, listener_id: str) -> Sequence[Delivery]:
    """Return what a listener was told, in order."""
    with PostgresStorage(url, connections=2) as storage, storage.read() as transaction:
        page = transaction.deliveries.page(
            listener_id=listener_id, states=(), since=None, before=None, limit=10_000
        )
    return sorted(page, key=lambda each: each.number)


def wanted(changes: Sequence[Event]) -> Sequence[tuple[str, int]]:
    """Return event type and number of all that listeners are to be told of publishes."""
    found: set[tuple[str, int]] = set()
    for change in changes:
        assert change.state is not None
        found.add((f"task.{change.state}", change.sequence))
        if change.state is TaskState.RUNNING:
            found.add(("repo.publish.start", change.sequence))
        elif change.state.is_complete:
            found.add(("repo.publish.finish", change.sequence))
    return sorted(found)


def check_told(
    house: PulpitHouse, ids: dict[NotifierType, str], receiver: Receiver, consumer: Consumer
) -> None:
    """Make sure that listeners are told all, in order, and repeats under the same id."""
    until(lambda: all_told(house.url), "all is told")
    expected = wanted(status_changes(house.url))
    for kind, listener_id in ids.items():
        mine = told(house.url, listener_id)
        assert {each.state for each in mine} == {DeliveryState.DELIVERED}
        assert sorted((each.event_type, each.sequence) for each in mine) == expected
        if kind is NotifierType.HTTP:
            came = [(each.id, each.body) for each in receiver.arrivals]
        else:
            sent = consumer.until(mine[-1].id)
            came = [(each.message_id, each.body.encode()) for each in sent]
        first: dict[str, bytes] = {}
        for id_, body in came:
            assert first.setdefault(id_, body) == body
        # all of them are of one repository
        assert list(first) == [each.id for each in mine]


@pytest.mark.parametrize("end", [kill, freeze, stop])
def test_another_server_goes_on(
    house: PulpitHouse, rabbitmq: RabbitMQ, end: Callable[[PulpitServer], None]
) -> None:
    """Under a stream of tasks nothing is lost, and what arrives is in order, at listeners too."""
    leader, other = parted(house)
    tasks: list[str] = []
    with (
        Consumer(rabbitmq.host, rabbitmq.port) as consumer,
        Receiver() as receiver,
        Consumer(rabbitmq.host, rabbitmq.port, key="none") as listening,
        other.client() as client,
    ):
        create(other)
        ids = listen(client, receiver.url)
        listening.channel.exchange_declare(_EXCHANGE, "topic", durable=True, auto_delete=False)
        listening.channel.queue_bind(listening.queue, _EXCHANGE, "pulp.server.#")
        hand_in(client, tasks)
        until(lambda: client.task(tasks[0]).state.is_complete and receiver.arrivals)
        began = time.monotonic()
        end(leader)
        hand_in(client, tasks)
        until(lambda: leads(other), "the other one publishes")
        _LOG.info("taken over after %.2f s", time.monotonic() - began)
        if leader.running:
            os.kill(leader.pid, signal.SIGCONT)
            until(lambda: stands_by(leader), "the one that was frozen stands by")
        for task in tasks:
            until(lambda: client.task(task).state.is_complete)  # noqa: B023
        changes = status_changes(house.url)
        check(arrived(consumer, changes), changes)
        check_told(house, ids, receiver, listening)
    assert "Traceback" not in house.log()


def test_a_server_that_comes_back_finds_its_place(house: PulpitHouse, rabbitmq: RabbitMQ) -> None:
    """Both are gone, tasks have ended meanwhile, and whoever comes first publishes the rest."""
    leader, other = parted(house)
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        with other.client() as client:
            create(other)
            tasks: list[str] = []
            hand_in(client, tasks)
        leader.kill()
        other.kill()
        other.start()
        until(lambda: leads(other), "it publishes")
        with other.client() as client:
            until(lambda: client.task(tasks[-1]).state.is_complete)
        changes = status_changes(house.url)
        check(arrived(consumer, changes), changes)
