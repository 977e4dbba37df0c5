"""Processes that are killed: no task stays without its end, no change without its event."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from pulpit.domain.tasks import COMPLETE, TaskState
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.acceptance.setups import Kind, Setup
from tests.services import PATIENCE, until
from tests.services.http import Answer, FeedServer
from tests.services.processes import children

_SAMPLE = Path(__file__).parents[2] / "examples" / "feed" / "repo"
#: For what is the engine's alone, whichever database it is over.
_EITHER_ENGINE = pytest.mark.parametrize(
    "own_setup", [Kind.SQLITE, Kind.DISTRIBUTED], indirect=True
)


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    """Yield a server of the sample feed."""
    with FeedServer(_SAMPLE) as feed:
        yield feed


def judge(server: PulpitServer) -> dict[str, str]:
    """Compare tasks and journal of a server's database; return task id to state.

    Every task's last status event tells its state, and its revisions lack none.
    """
    tasks = server.rows("SELECT id, state, revision FROM tasks")
    journal = defaultdict(list)
    for row in server.rows(
        "SELECT task_id, kind, revision, body FROM journal "
        "WHERE kind IN ('status', 'progress') ORDER BY sequence"
    ):
        journal[row["task_id"]].append((row["kind"], row["revision"], json.loads(row["body"])))
    for task in tasks:
        state, revision = task["state"], task["revision"]
        rows = journal[task["id"]]
        assert [row[1] for row in rows] == list(range(1, revision + 1))
        told = [row[2]["state"] for row in rows if row[0] == "status"]
        assert told[0] == "waiting"
        assert told[-1] == state
        assert sum(one in COMPLETE for one in told) == (state in COMPLETE)
    assert set(journal) == {task["id"] for task in tasks}
    return {task["id"]: task["state"] for task in tasks}


@_EITHER_ENGINE
def test_killed_child_is_an_error_with_its_event(
    own_setup: Setup, tmp_path: Path, feed: FeedServer
) -> None:
    """A task whose process is killed ends in error; what comes after it runs."""
    feed.answer("*.rpm", Answer(gate=threading.Event()))
    with own_setup.server(tmp_path / "data") as server, server.client() as client:
        house = House(server=server, client=client, feed=feed)
        house.create("zoo")
        call = client.sync("zoo")
        until(lambda: feed.count("*.rpm") or _running(house, call.spawned[0]), "it runs")
        (pid,) = until(lambda: children(server.runner), "it has a process")
        os.kill(pid, signal.SIGKILL)
        report = house.over(call)
        assert report.state is TaskState.ERROR
        assert report.error is not None
        assert report.error["code"] == "PLP0049"
        assert "SIGKILL" in report.error["description"]
        feed.behave()
        house.renew("zoo")
    assert judge(server)[call.spawned[0]] == "error"


def _running(house: House, task_id: str) -> bool:
    return house.client.task(task_id).state is TaskState.RUNNING


def test_killed_server_leaves_no_task_without_end(
    own_setup: Setup, tmp_path: Path, feed: FeedServer
) -> None:
    """After a kill -9 the next start cancels what ran, runs what waited, and tells both."""
    feed.answer("*.rpm", Answer(gate=threading.Event()))
    server = own_setup.server(tmp_path / "data", "[tasks]\nworkers: 2\n")
    server.start()
    with server.client() as client:
        house = House(server=server, client=client, feed=feed)
        for name in ("ark", "zoo"):
            house.create(name)
        running = [client.sync(name).spawned[0] for name in ("ark", "zoo")]
        waiting = client.sync("zoo").spawned[0]
        until(lambda: all(_running(house, task_id) for task_id in running), "both run")
        pids = until(lambda: _both(children(server.runner)), "both have processes")
        server.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the children die too")
    states = judge(server)
    assert [states[task_id] for task_id in running] == ["running"] * 2

    feed.behave()
    with server, server.client() as client:
        house = House(server=server, client=client, feed=feed)
        for task_id in running:
            assert client.task(task_id).state is TaskState.CANCELED
        until(lambda: client.task(waiting).state.is_complete, "the waiting one runs")
        assert client.task(waiting).state is TaskState.FINISHED
        house.renew("ark")
    states = judge(server)
    assert {states[task_id] for task_id in running} == {"canceled"}
    assert set(states.values()) <= set(COMPLETE)


def _both(pids: list[int]) -> list[int] | None:
    return pids if len(pids) == 2 else None


@pytest.mark.parametrize(
    ("own_setup", "seed"),
    [
        *((Kind.SQLITE, seed) for seed in (1, 2, 3)),
        (Kind.POSTGRESQL, 4),
        (Kind.DISTRIBUTED, 5),
    ],
    indirect=["own_setup"],
)
def test_server_killed_at_any_point(
    own_setup: Setup, tmp_path: Path, feed: FeedServer, seed: int
) -> None:
    """Wherever the kill falls, journal and tasks agree, and the next start ends everything."""
    moment = random.Random(seed)
    server = own_setup.server(tmp_path / "data")
    server.start()
    with server.client() as client:
        house = House(server=server, client=client, feed=feed)
        names = [f"zoo-{number}" for number in range(4)]
        for name in names:
            house.create(name)
        for name in names:
            client.sync(name)
            client.publish(name, "web")
        time.sleep(moment.uniform(0, 1.5))
        server.kill()
    judge(server)
    with server, server.client() as client:
        until(lambda: _all_over(client.tasks()), "all is over")
        house = House(server=server, client=client, feed=feed)
        for name in names:
            house.renew(name)
    states = judge(server)
    assert set(states.values()) <= {"finished", "canceled"}
    # others may write into a folder that is shared: there it goes once it is old
    assert own_setup.kind is Kind.DISTRIBUTED or not list((server.data / "tmp").iterdir())


def _all_over(reports: Any) -> bool:
    return all(report.state.is_complete for report in reports)


@_EITHER_ENGINE
def test_stopped_server_tells_what_it_canceled(
    own_setup: Setup, tmp_path: Path, feed: FeedServer
) -> None:
    """SIGTERM: what runs is canceled and told to who listens, what waits is kept, exit code 0."""
    feed.answer("*.rpm", Answer(gate=threading.Event()))
    server = own_setup.server(tmp_path / "data", "[tasks]\nworkers: 1\n")
    server.start()
    heard: list[tuple[str, str]] = []
    bound = threading.Event()
    listener = threading.Thread(target=_listen, args=(server.door_url, bound, heard), daemon=True)
    with server.client() as client:
        house = House(server=server, client=client, feed=feed)
        house.create("zoo")
        listener.start()
        assert bound.wait(PATIENCE)
        first, second = client.sync("zoo").spawned[0], client.sync("zoo").spawned[0]
        until(lambda: _running(house, first), "the first one runs")
        until(lambda: children(server.runner), "it has a process")
        assert server.stop() == 0
    listener.join(PATIENCE)
    states = judge(server)
    assert states == {first: "canceled", second: "waiting"}
    assert [state for key, state in heard if key == f"tasks.{first}"][-1] == "canceled"
    feed.behave()
    with server, server.client() as client:
        until(lambda: _all_over(client.tasks()), "the waiting one runs")
    assert judge(server) == {first: "canceled", second: "finished"}


def _listen(url: str, bound: threading.Event, heard: list[tuple[str, str]]) -> None:
    """Keep routing key and state of what comes from the door until it closes."""
    connection = pika.BlockingConnection(pika.URLParameters(url.removesuffix("/")))
    try:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "pulp.api.v2", "tasks.#")
        bound.set()
        for method, _, body in channel.consume(queue, auto_ack=True):
            heard.append((method.routing_key, json.loads(body)["state"]))
    except pika.exceptions.AMQPError:
        pass
