"""The real server reads its configuration again on SIGHUP, with a real broker."""

from __future__ import annotations

import os
import pty
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest
from amqp.exceptions import AccessRefused, AMQPError

from pulpit.client import Client
from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import (
    ALL,
    ON,
    connected,
    create,
    events,
    on,
    states,
    status_changes,
    sync,
)
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield a server without events by AMQP, with repository zoo."""
    data = tmp_path_factory.mktemp("reload") / "data"
    with PulpitServer(data, door=False) as server:
        create(server)
        yield server


@pytest.fixture
def client(server: PulpitServer) -> Iterator[Client]:
    """Yield a client; afterwards events by AMQP are off again."""
    with server.client() as client:
        yield client
        server.reload("")
        events(client, lambda told: told["way"] == "off")


@pytest.fixture
def second(rabbitmq: RabbitMQ) -> Iterator[str]:
    """Yield the name of a second virtual host that guest may use."""
    name = "other/host"
    rabbitmq.ctl("add_vhost", name)
    rabbitmq.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    yield name
    rabbitmq.ctl("delete_vhost", name)


def publish_to(server: PulpitServer, client: Client, url: str) -> None:
    """Change the URL, and wait until events go there."""
    server.reload(on(url))
    end = url.rpartition("@")[2]
    events(client, lambda told: connected(told) and told["broker"][0].endswith(end))


def is_longer(things: list[str], count: int) -> bool:
    """Return whether there are more than so many."""
    return len(things) > count


def is_told(server: PulpitServer, before: str, word: str) -> bool:
    """Return whether the log has told it since."""
    return word in server.log().removeprefix(before)


def test_every_way_without_a_restart(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ, second: str
) -> None:
    """Off, broker, another URL, both, door, off: the status and the events follow each time."""
    pid, other_url = server.pid, f"{rabbitmq.url}other%2Fhost"
    assert client.status()["events"] == {"way": "off"}
    before = sync(client)
    with (
        Consumer(rabbitmq.host, rabbitmq.port) as first,
        Consumer(rabbitmq.host, rabbitmq.port, virtual_host=second) as other,
    ):
        server.reload(on(rabbitmq.url))
        told = events(client, connected)
        assert told["way"] == "broker"
        assert "guest:***@" in told["broker"][0]
        assert told["publisher"] == {
            "connected": True,
            "blocked": False,
            "reason": None,
            "lag": 0,
        }
        assert states(first, sync(client)) == ALL

        server.reload(on(other_url))
        events(client, lambda told: connected(told) and told["broker"][0].endswith("other%2Fhost"))
        assert states(other, sync(client)) == ALL

        door = f"[door]\naddress: 127.0.0.1:{server.door_port}\n"
        server.reload(on(other_url, door))
        told = events(client, lambda told: told["way"] == "broker and door")
        assert told["door"] == f"127.0.0.1:{server.door_port}"
        user = (server.user, server.password)
        with Consumer("127.0.0.1", server.door_port, user=user) as at_door:
            task = sync(client)
            assert states(at_door, task) == states(other, task) == ALL

            server.reload(ON + door)
            assert "publisher" not in events(client, lambda told: told["way"] == "door")
            # who is at the door is left in peace
            assert states(at_door, sync(client)) == ALL
        server.reload(door)
        events(client, lambda told: told == {"way": "off"})
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.door_port)).close()
        tasks = {m.delivery_info["routing_key"] for m in [*first.messages, *other.messages]}
    assert f"tasks.{before}" not in tasks
    assert server.pid == pid


def test_no_status_change_is_lost_between_two_urls(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ, second: str
) -> None:
    """While tasks run, the URL is changed to and fro: together the two hear every change."""
    stop = Flag()
    done: list[str] = []

    def work() -> None:
        """Sync again and again."""
        with server.client() as own:
            while not stop.is_set():
                done.append(sync(own))

    with (
        Consumer(rabbitmq.host, rabbitmq.port) as first,
        Consumer(rabbitmq.host, rabbitmq.port, virtual_host=second) as other,
    ):
        publish_to(server, client, rabbitmq.url)
        worker = Thread(target=work)
        worker.start()
        try:
            for virtual_host in ("other%2Fhost", "", "other%2Fhost"):
                publish_to(server, client, rabbitmq.url + virtual_host)
                until(partial(is_longer, done, len(done)), "a task ends")
        finally:
            stop.set()
            worker.join(60)
        # each queue's last one comes after all others
        states(other, done[-1])
        publish_to(server, client, rabbitmq.url)
        states(first, sync(client))
    heard = sorted(status_changes([*first.messages, *other.messages]))
    assert len(done) >= 3
    for task in done:
        assert [state for _, name, state in heard if name == task] == ALL
    # each number once: what the one had confirmed was not sent to the other
    assert len({number for number, *_ in heard}) == len(heard)


def test_a_broken_file_changes_nothing(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ
) -> None:
    """One line of the log says what is wrong, and events go on as before."""
    with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
        server.reload(on(rabbitmq.url))
        events(client, connected)
        for broken, word in (
            (f"{ON}event_notification_ulr: {rabbitmq.url}\n", "event_notification_ulr"),
            (on("http://guest:hidden@elsewhere/"), "amqp://"),
            ("no section\n[", "line"),
        ):
            before = server.log()
            server.reload(broken)
            until(partial(is_told, server, before, "refused"), "the refusal is told")
            (line,) = server.log().removeprefix(before).splitlines()
            assert word in line
            assert "hidden" not in line
            assert connected(client.status()["events"])
        assert states(consumer, sync(client)) == ALL


def test_what_needs_a_restart_is_named_once(server: PulpitServer, client: Client) -> None:
    """The log names the settings, without their values, and not again at the next reading."""
    seen = len(server.log())
    later = "[tasks]\nworkers: 7\n[email]\nhost: mail.example.com\n"
    server.reload(later)
    until(lambda: "was read again" in server.log()[seen:], "the first reading")
    server.reload(f"{later}[door]\nanonymous: loopback\n")
    until(lambda: server.log()[seen:].count("was read again") == 2, "the second reading")
    (line,) = [line for line in server.log()[seen:].splitlines() if "with a restart" in line]
    assert "[tasks] workers" in line
    assert "[email] host" in line
    assert "mail.example.com" not in line


def test_the_log_level_follows(server: PulpitServer, client: Client) -> None:
    """At ERROR a reading is told no more, and a refusal is."""

    def silent() -> bool:
        """Return whether a good file is read in silence, after which a bad one is refused aloud."""
        seen = len(server.log())
        server.reload("log_level: ERROR\n")
        events(client, lambda told: told == {"way": "off"})
        server.reload("log_level: LOUD\n")
        until(lambda: "refused" in server.log()[seen:], "the refusal is told")
        return "was read again" not in server.log()[seen:]

    until(silent, "only errors are told")


def test_guests_follow_the_setting(server: PulpitServer, client: Client) -> None:
    """The door lets guests in, and no longer, at the same address."""
    door = f"{ON}[door]\naddress: 127.0.0.1:{server.door_port}\n"
    server.reload(door)
    events(client, lambda told: told["way"] == "door")
    with pytest.raises(AccessRefused):
        Consumer("127.0.0.1", server.door_port)
    server.reload(f"{door}anonymous: loopback\n")
    until(lambda: guest_may_enter(server.door_port), "guest may enter")
    server.reload(door)
    until(lambda: not guest_may_enter(server.door_port), "guest may not enter")


def guest_may_enter(port: int) -> bool:
    """Return whether the door lets guest in."""
    try:
        with Consumer("127.0.0.1", port):
            return True
    except (AMQPError, OSError):
        return False


def test_a_door_port_that_is_taken_is_told(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ
) -> None:
    """The broker gets its events all the same, and an open door stays where it was."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = f"[door]\naddress: 127.0.0.1:{taken.getsockname()[1]}\n"
        good = f"[door]\naddress: 127.0.0.1:{server.door_port}\n"
        seen = len(server.log())
        with Consumer(rabbitmq.host, rabbitmq.port) as consumer:
            server.reload(on(rabbitmq.url, bad))
            assert "door" not in events(client, connected)
            assert states(consumer, sync(client)) == ALL
            server.reload(ON + good)
            events(client, lambda told: told["way"] == "door")
            server.reload(ON + bad)
            until(lambda: server.log()[seen:].count("another process") == 2, "it is told")
        assert events(client, lambda told: told["way"] == "door")["door"].endswith(
            f":{server.door_port}"
        )


def test_requests_go_on_while_a_publisher_hangs(
    server: PulpitServer, client: Client, rabbitmq: RabbitMQ
) -> None:
    """A broker that is frozen holds up the change for seconds, and no request meanwhile."""
    server.reload(on(rabbitmq.url))
    events(client, connected)
    rabbitmq.freeze()
    try:
        sync(client)
        server.reload("")
        took = []
        while client.status()["events"]["way"] != "off":
            began = time.monotonic()
            client.repositories()
            took.append(time.monotonic() - began)
        assert len(took) > 10
    finally:
        rabbitmq.thaw()
    until(lambda: "turned off before" in server.log(), "what was not sent is told")


def test_a_server_whose_terminal_is_gone_ends(tmp_path: Path) -> None:
    """SIGHUP of a terminal that was closed stops the server in good order."""
    with terminal_server(tmp_path) as (server, close):
        close()
        os.kill(server.pid, signal.SIGHUP)
        until(lambda: not server.running, "the server ends")


def test_only_the_server_itself_heeds_the_signal(server: PulpitServer, client: Client) -> None:
    """Sent to all of its processes, as a terminal does, it ends none of them."""
    before = children(server.pid)
    seen = len(server.log())
    for pid in (*before, server.pid):
        os.kill(pid, signal.SIGHUP)
    until(lambda: "was read again" in server.log()[seen:], "the configuration is read again")
    sync(client)
    assert before
    assert children(server.pid) >= before


def children(pid: int) -> set[int]:
    """Return the processes that a process has started and that live."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return {int(child) for child in path.read_text().split()}


@contextmanager
def terminal_server(folder: Path) -> Iterator[tuple[PulpitServer, Callable[[], None]]]:
    """Yield a server whose standard input is a terminal, and what closes the terminal."""
    master, slave = pty.openpty()
    server = PulpitServer(folder / "data", door=False, stdin=slave)
    with server:
        os.close(slave)
        yield server, lambda: os.close(master)
