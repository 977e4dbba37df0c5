"""Two servers and two workers: each does what the others were asked for, and stands in for them."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit.cli.exits import ExitCode
from pulpit.cli.program import main
from pulpit.cli.session import Outside
from pulpit.client import Client, Event
from pulpit.domain.events import EventKind
from tests.acceptance.house import House
from tests.acceptance.pulpit_house import PulpitHouse
from tests.acceptance.server import PulpitServer
from tests.acceptance.test_serve import refusal, run_serve
from tests.feeds import SAMPLE
from tests.services import until
from tests.services.http import Answer, FeedServer
from tests.services.postgresql import PostgresServer
from tests.services.processes import children

_STREAM = "/pulpit/v1/events/"


@pytest.fixture(scope="module")
def started(
    postgresql_session: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PulpitHouse]:
    """Yield two servers with two workers."""
    url = postgresql_session.lend_pulpit()
    with PulpitHouse(tmp_path_factory.mktemp("many"), url) as started:
        yield started
    postgresql_session.give_back(url)


@pytest.fixture
def installation(started: PulpitHouse) -> PulpitHouse:
    """Return them, started again if a test before ended one."""
    for server in started.servers:
        if not server.running:
            server.start()
    for worker in started.workers:
        if not worker.running:
            worker.start()
    return started


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    """Yield the sample feed."""
    with FeedServer(SAMPLE) as feed:
        yield feed


def _states(client: Client, task: str) -> list[str]:
    """Return the states of a task up to its last one, as they are streamed."""
    told = []
    for event in client.events(since=0, task=task, kind=EventKind.STATUS):
        assert isinstance(event, Event)
        told.append(event.body["state"])
        if told[-1] in {"finished", "error", "canceled"}:
            return told
    raise AssertionError(told)


def test_a_task_is_watched_and_canceled_at_another_server(
    installation: PulpitHouse, feed: FeedServer
) -> None:
    """Handed in at one server, told by the other one, and canceled there: its process ends."""
    feed.answer("*-primary.xml.gz", Answer(gate=threading.Event()))
    one, other = installation.servers
    with one.client() as here, other.client() as there:
        House(server=one, client=here, feed=feed).create("held")
        (task,), (next_task,) = (here.sync("held").spawned for _ in range(2))
        (pid,) = until(lambda: _of_all(installation), "it has a process")
        until(lambda: there.task(task).state == "running", "the other one knows that it runs")
        assert there.task(next_task).state == "waiting"
        for canceled in (next_task, task):
            there.cancel(canceled)
        # its feed never answers: nothing but the cancel can end it
        until(lambda: not Path(f"/proc/{pid}").exists(), "its process ends")
        assert _states(here, task) == _states(there, task) == ["waiting", "running", "canceled"]
        assert _states(here, next_task) == ["waiting", "canceled"]
        feed.behave()
        (last,) = there.sync("held").spawned
        assert _states(here, last) == ["waiting", "running", "finished"]


def _of_all(installation: PulpitHouse) -> list[int]:
    """Return the processes of tasks of all workers."""
    return [pid for worker in installation.workers for pid in children(worker.pid)]


def test_every_server_knows_every_worker(installation: PulpitHouse) -> None:
    """A worker that was stopped is gone from the status of both."""
    for server in installation.servers:
        assert _workers(server) == ["w1", "w2"]
    assert installation.workers[0].stop() == ExitCode.OK
    for server in installation.servers:
        assert _workers(server) == ["w2"]


def _workers(server: PulpitServer) -> list[str]:
    """Return the names of the workers in the status document."""
    status = httpx.get(f"{server.url}/pulp/api/v2/status/", trust_env=False).json()
    return sorted(worker["_id"] for worker in status["known_workers"])


@pytest.mark.parametrize("end", [PulpitServer.stop, PulpitServer.kill], ids=["stopped", "killed"])
def test_a_stream_goes_on_at_another_server(
    installation: PulpitHouse, feed: FeedServer, end: Any
) -> None:
    """A client whose server ends resumes by Last-Event-ID at the other one, and misses nothing."""
    one, other = installation.servers
    with one.client() as here, other.client() as there:
        before = str(here.head())
        name = f"zoo-{before}"
        House(server=one, client=here, feed=feed).create(name)
        (first,) = here.sync(name).spawned
        told = _stream(one, before, until_ended=first)
        end(one)
        (second,) = there.sync(name).spawned
        told += _stream(other, told[-1]["id"], until_ended=second)
        all_of_it = _stream(other, before, until_ended=second)
    numbers = [int(event["id"]) for event in told]
    assert numbers == sorted(set(numbers))
    assert _of_status(told) == _of_status(all_of_it)
    assert len(_of_status(told)) == 6


def _of_status(events: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return those that tell a change of state; progress may be folded once it is old."""
    return [event for event in events if event["event"] == "pulpit.task.status.v1"]


def _stream(server: PulpitServer, last: str, *, until_ended: str) -> list[dict[str, str]]:
    """Read events from after the last one that was seen, up to the end of a task."""
    events: list[dict[str, str]] = []
    event: dict[str, str] = {}
    with httpx.stream(
        "GET",
        server.url + _STREAM,
        headers={"Accept": "text/event-stream", "Last-Event-ID": last},
        auth=(server.user, server.password),
        timeout=60,
        trust_env=False,
    ) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field in {"id", "event", "data"}:
                event[field] = value
            elif not line and "id" in event:
                events.append(event)
                if _ends(event, until_ended):
                    break
                event = {}
    return events


def _ends(event: dict[str, str], task: str) -> bool:
    """Return whether the event tells the end of the task."""
    body = json.loads(event["data"])
    return bool(body["task_id"] == task and body["state"] == "finished")


def test_a_schema_that_is_due_is_refused(postgresql: PostgresServer, tmp_path: Path) -> None:
    """A server upgrades no PostgreSQL by itself, and says what does; then it starts."""
    url = postgresql.url(postgresql.create_database())
    environ = {"PULPIT_DATABASE_URL": url}
    try:
        line = refusal(run_serve("--data", str(tmp_path / "data"), "--port", "0", **environ))
        assert "pulpit db upgrade" in line
        outside = Outside(
            environ=environ, stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO()
        )
        assert main(["db", "upgrade"], outside=outside) == ExitCode.OK
        with PulpitServer(tmp_path / "data", door=False, environ=environ) as server:
            assert server.running
    finally:
        postgresql.drop_database(url)


def test_a_second_embedded_server_is_refused(postgresql_url: str, tmp_path: Path) -> None:
    """Whoever shares a database is told which engine that takes; the first one goes on."""
    environ = {"PULPIT_DATABASE_URL": postgresql_url}
    with PulpitServer(tmp_path / "data", door=False, environ=environ) as server:
        line = refusal(run_serve("--data", str(tmp_path / "data"), "--port", "0", **environ))
        assert "distributed" in line
        with server.client() as client:
            assert client.repositories() == []
