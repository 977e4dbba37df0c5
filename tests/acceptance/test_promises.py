"""Promises of the event plane that only a whole server can keep."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit.client import Client, Event
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.schemas import assert_told, validator_of
from tests.services import free_ports
from tests.services.http import FeedServer

_FEED = Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo"


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    """Yield a feed."""
    with FeedServer(_FEED) as running:
        yield running


@contextlib.contextmanager
def _of_no_use(way: str) -> Iterator[int]:
    """Yield a port at which nobody listens, or somebody who takes connections and says nothing."""
    if way == "nobody":
        yield free_ports(1)[0]
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("way", ["nobody", "silence"])
def test_no_task_waits_for_a_broker(tmp_path: Path, feed: FeedServer, way: str) -> None:
    """Tasks end as ever, and the journal has all of their changes."""
    with _of_no_use(way) as port:
        config = (
            "[messaging]\nevent_notifications_enabled: true\n"
            f"event_notification_url: amqp://guest:guest@127.0.0.1:{port}\n"
        )
        with (
            PulpitServer(tmp_path / "data", config, door=False) as server,
            server.client() as client,
        ):
            house = House(server=server, client=client, feed=feed)
            house.create("zoo")
            report = house.over(client.sync("zoo"))
            assert report.state is TaskState.FINISHED
            with httpx.Client(base_url=server.url, trust_env=False) as http:
                status = http.get("/pulp/api/v2/status/").json()
            assert status["messaging_connection"] == {"connected": False}
            states = [event.body["state"] for event in _changes(client, report.task_id)]
            assert states == ["waiting", "running", "finished"]


def test_events_are_as_the_server_itself_says(tmp_path: Path, feed: FeedServer) -> None:
    """The dataschema of each event of a sync and a publish is there, and holds for its body."""
    with (
        PulpitServer(tmp_path / "data", "[server]\nserver_name: 127.0.0.1\n") as server,
        server.client() as client,
        httpx.Client(trust_env=False) as http,
    ):
        house = House(server=server, client=client, feed=feed)
        house.create("zoo")
        report = house.over(client.sync("zoo"))
        publish = house.over(client.publish("zoo", "web"))
        validators: dict[str, Any] = {}
        told = 0
        page = http.get(
            f"{server.url}/pulpit/v1/events/?since=0&limit=1000&format=cloudevents",
            auth=(server.user, server.password),
        ).json()
        for event in page["events"]:
            url = event["dataschema"]
            if url not in validators:
                validators[url] = validator_of(http.get(url).raise_for_status().json())
            validators[url].validate(event["data"])
            assert_told(event["type"], event["data"])
            told += event["subject"] in {report.task_id, publish.task_id}
        assert len(validators) == 2
        assert told > 50
        document = http.get(f"{server.url}/pulpit/v1/asyncapi.json").json()
        assert document["servers"]["door"]["host"] == f"127.0.0.1:{server.door_port}"


def _changes(client: Client, task: str) -> Iterator[Event]:
    """Yield the changes of status of a task up to its end."""
    for event in client.events(since=0, task=task, kind=EventKind.STATUS):
        if isinstance(event, Event):
            yield event
            if event.report and event.report.state.is_complete:
                return
