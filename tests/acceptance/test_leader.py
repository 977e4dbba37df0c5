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
from pulpit.domain.events import Event, EventKind
from pulpit.storage.postgresql import PostgresStorage
from tests.acceptance.pulpit_house import PulpitHouse
from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import create, on
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ

#: Tasks handed in before the leader goes, and as many while nobody leads.
_TASKS = 6
_LOG = logging.getLogger(__name__)


@pytest.fixture
def house(rabbitmq: RabbitMQ, postgresql_url: str, tmp_path: Path) -> Iterator[PulpitHouse]:
    """Yield two servers that may publish, and a worker."""
    with PulpitHouse(tmp_path, postgresql_url, workers=1, config=on(rabbitmq.url)) as house:
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


@pytest.mark.parametrize("end", [kill, freeze, stop])
def test_another_server_goes_on(
    house: PulpitHouse, rabbitmq: RabbitMQ, end: Callable[[PulpitServer], None]
) -> None:
    """Under a stream of tasks nothing is lost, and what arrives is in order."""
    leader, other = parted(house)
    tasks: list[str] = []
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer, other.client() as client:
        create(other)
        hand_in(client, tasks)
        until(lambda: client.task(tasks[0]).state.is_complete)
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
