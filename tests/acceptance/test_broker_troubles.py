"""A broker that is down, refuses, stalls or is none: no task waits, one line says what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import amqp
import pytest

from pulpit.client import Client
from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import ALL, connected, create, events, on, states, sync
from tests.services import free_ports, until
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ
from tests.services.wire import Wire


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield a server with repository zoo that logs JSON."""
    data = tmp_path_factory.mktemp("troubles") / "data"
    with PulpitServer(data, "log_type: json\n", door=False) as server:
        create(server)
        yield server


@pytest.fixture
def client(server: PulpitServer) -> Iterator[Client]:
    """Yield a client; afterwards events by AMQP are off again."""
    with server.client() as client:
        yield client
        reload(server, "")
        events(client, lambda told: told["way"] == "off")


def reload(server: PulpitServer, config: str) -> None:
    """Have the server read another configuration."""
    server.reload(f"log_type: json\n{config}")


@contextmanager
def nothing_listens(_broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield the URL of a closed port."""
    yield f"amqp://127.0.0.1:{free_ports(1)[0]}/"


@contextmanager
def nobody_accepts(_broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield the URL of a port where connections are made and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"amqp://127.0.0.1:{listener.getsockname()[1]}/"


@contextmanager
def wrong_password(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield a URL that the broker refuses."""
    yield broker.url.replace("guest:guest", "guest:hidden")


@contextmanager
def no_virtual_host(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield a URL with a virtual host that is not there."""
    yield f"{broker.url}nowhere"


@contextmanager
def no_permission(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield the URL of a user who may do nothing."""
    broker.ctl("add_user", "looker", "hidden")
    broker.ctl("set_permissions", "looker", "^$", "^$", ".*")
    yield broker.url.replace("guest:guest", "looker:hidden")
    broker.ctl("delete_user", "looker")


@contextmanager
def other_exchange(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield the URL of a virtual host whose exchange is of another type."""
    broker.ctl("add_vhost", "fanout")
    broker.ctl("set_permissions", "-p", "fanout", "guest", ".*", ".*", ".*")
    with amqp.Connection(f"{broker.host}:{broker.port}", virtual_host="fanout") as connection:
        connection.channel().exchange_declare("pulp.api.v2", "fanout", durable=True)
    yield f"{broker.url}fanout"
    broker.ctl("delete_vhost", "fanout")


@contextmanager
def no_tls(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Yield a URL with TLS of a port without it."""
    yield f"amqps://guest:guest@localhost:{broker.port}/"


@contextmanager
def own_door(_broker: RabbitMQ, server: PulpitServer) -> Iterator[str]:
    """Yield the URL of the server's own door, and open it."""
    yield f"amqp://guest:guest@127.0.0.1:{server.door_port}/"


@contextmanager
def web_server(_broker: RabbitMQ, server: PulpitServer) -> Iterator[str]:
    """Yield the address of the server's own API."""
    yield f"amqp://guest:guest@127.0.0.1:{server.port}/"


@contextmanager
def memory_alarm(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Let the broker have too little memory."""
    broker.ctl("set_vm_memory_high_watermark", "0.00001")
    yield broker.url
    broker.ctl("set_vm_memory_high_watermark", "0.4")


@contextmanager
def full_queue(broker: RabbitMQ, _server: PulpitServer) -> Iterator[str]:
    """Let a queue be full that rejects."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with Consumer(broker.host, broker.port, arguments=full):
        yield broker.url


TROUBLES = {
    "nothing listens": (nothing_listens, "unreachable", "start the broker"),
    "nobody accepts": (nobody_accepts, "unreachable", "timed out"),
    "wrong password": (wrong_password, "refused_credentials", "correct user and password"),
    "no virtual host": (no_virtual_host, "no_vhost", "create it"),
    "no permission": (no_permission, "no_permission", "give it the permission"),
    "other exchange": (other_exchange, "exchange_mismatch", "delete it there"),
    "no TLS": (no_tls, "tls", "use its TLS port"),
    "own door": (own_door, "own_door", "set event_notification_url"),
    "web server": (web_server, "unreachable", "correct event_notification_url"),
    "memory alarm": (memory_alarm, "blocked", "memory and disk alarms"),
    "full queue": (full_queue, "nacked", "queue that is full"),
}


def lines(log: str, reason: str) -> list[dict[str, Any]]:
    """Return what was logged with that reason."""
    told = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [entry for entry in told if entry.get("reason") == reason]


@pytest.mark.parametrize("name", TROUBLES)
def test_no_task_waits_for_a_broker_in_trouble(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ, name: str
) -> None:
    """A task runs to its end; status and log give the reason, the log once and with advice."""
    make, reason, advice = TROUBLES[name]
    with ExitStack() as stack:
        url = stack.enter_context(make(rabbitmq, server))
        before = server.log()
        door = f"[door]\naddress: 127.0.0.1:{server.door_port}\n" if make is own_door else ""
        reload(server, on(url, door))
        events(client, lambda told: "publisher" in told)
        for _ in range(2):
            assert client.task(sync(client)).state == "finished"
        told = events(client, lambda told: told["publisher"]["reason"] == reason)
        assert told["publisher"]["lag"] > 0
        until(partial(is_logged, server, before, reason), "the line")
        log = server.log().removeprefix(before)
        (entry,) = lines(log, reason)
        assert advice in entry["event"]
        assert "hidden" not in log
        assert client.status()["messaging_connection"]["connected"] is (
            reason in {"blocked", "nacked"}
        )


def is_logged(server: PulpitServer, before: str, reason: str) -> bool:
    """Return whether the log has told the reason since."""
    return bool(lines(server.log().removeprefix(before), reason))


def test_no_task_waits_for_a_frozen_broker(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ
) -> None:
    """Nothing is noticed before the heartbeats are missed; when it thaws, all is told."""
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        reload(server, on(rabbitmq.url))
        events(client, connected)
        rabbitmq.freeze()
        try:
            tasks = [sync(client) for _ in range(3)]
        finally:
            rabbitmq.thaw()
        assert [states(consumer, task) for task in tasks] == [ALL] * 3


def test_a_door_that_leaves_the_broker_its_port(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ
) -> None:
    """A publisher that has found the server's own door tries again when told to read settings."""
    port = free_ports(1)[0]
    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    reload(server, on(url, f"[door]\naddress: 127.0.0.1:{port}\n"))
    events(client, lambda told: told.get("publisher", {}).get("reason") == "own_door")
    reload(server, on(url, f"[door]\naddress: 127.0.0.1:{server.door_port}\n"))
    events(client, lambda told: told["publisher"]["reason"] == "unreachable")
    with Wire(rabbitmq.port, listen=port):
        events(client, connected)
        reload(server, on(rabbitmq.url))
        events(client, lambda told: told["way"] == "broker" and connected(told))


def test_a_server_stops_while_its_broker_hangs(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """A connection that is not answered holds up no stop; the next start tells what was left."""
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        with nobody_accepts(rabbitmq, PulpitServer(tmp_path / "unused")) as url:
            server = PulpitServer(tmp_path / "data", on(url), door=False)
            with server, server.client() as client:
                create(server)
                task = sync(client)
                assert server.stop() == 0
        server.configure(on(rabbitmq.url))
        with server:
            assert states(consumer, task) == ALL
