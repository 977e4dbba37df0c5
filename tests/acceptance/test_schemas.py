"""What the real server says that events hold, and what they do hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.house import House
from tests.acceptance.setups import Kind, Setup
from tests.schemas import assert_told, validator_of
from tests.services.http import FeedServer

_FEED = Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo"


@pytest.mark.parametrize("own_setup", [Kind.SQLITE, Kind.DISTRIBUTED], indirect=True)
def test_events_are_as_the_server_itself_says(own_setup: Setup, tmp_path: Path) -> None:
    """The dataschema of each event of a sync and a publish is there, and holds for its body."""
    with (
        FeedServer(_FEED) as feed,
        own_setup.server(tmp_path / "data", "[server]\nserver_name: 127.0.0.1\n") as server,
        server.client() as client,
        httpx.Client(trust_env=False) as http,
    ):
        house = House(server=server, client=client, feed=feed)
        house.create("zoo")
        tasks = {house.sync("zoo").task_id, house.publish("zoo").task_id}
        page = http.get(
            f"{server.url}/pulpit/v1/events/?since=0&limit=1000&format=cloudevents",
            auth=(server.user, server.password),
        ).json()
        validators: dict[str, Any] = {}
        for event in page["events"]:
            url = event["dataschema"]
            if url not in validators:
                validators[url] = validator_of(http.get(url).raise_for_status().json())
            validators[url].validate(event["data"])
            assert_told(event["type"], event["data"])
        assert len(validators) == 2
        assert {event["subject"] for event in page["events"]} == tasks
        assert len(page["events"]) > 50
        document = http.get(f"{server.url}/pulpit/v1/asyncapi.json").json()
        assert document["servers"]["door"]["host"] == f"127.0.0.1:{server.door_port}"
