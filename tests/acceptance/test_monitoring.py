"""The real server as those who watch it see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.acceptance.server import PulpitServer
from tests.services import until
from tests.services.rabbitmq import RabbitMQ

#: The strict reader of the other format, which has no types.
read_openmetrics: Callable[[str], Any] = openmetrics_parser.text_string_to_metric_families


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield a server with an open door."""
    with PulpitServer(tmp_path_factory.mktemp("watched") / "data") as running:
        yield running


def _get(server: PulpitServer, path: str, **more: object) -> httpx.Response:
    """Ask the server as nobody, unless the test says who."""
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        return client.request("GET", path, **more)  # type: ignore[arg-type]


def test_metrics_are_for_users(server: PulpitServer) -> None:
    """A stranger gets none; a user gets them in the form that is asked for."""
    refused = _get(server, "/metrics")
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "PLP0025"
    auth = (server.user, server.password)
    plain = _get(server, "/metrics", auth=auth)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "pulpit_build_info" in {family.name for family in read_text(plain.text)}
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    rich = _get(server, "/metrics", auth=auth, headers={"Accept": accept})
    assert rich.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in read_openmetrics(rich.text)}
    assert {"pulpit_door_consumers", "pulpit_sink_lag_seconds", "pulpit_worker_slots"} <= names
    assert "pulpit_broker_connected" not in names


def test_metrics_can_be_opened(tmp_path: Path) -> None:
    """An operator may let everybody read them; nothing else is opened with that."""
    with PulpitServer(tmp_path / "data", "metrics: everybody", door=False) as server:
        assert _get(server, "/metrics").status_code == 200
        assert _get(server, "/pulp/api/v2/tasks/").status_code == 401


def test_probes_are_for_everybody(server: PulpitServer) -> None:
    """Both tell in JSON what they looked at; HEAD has the status alone."""
    for path, wanted in (("/live", {"event_loop", "engine"}), ("/ready", {"database", "disk"})):
        told = _get(server, path)
        assert told.status_code == 200, told.text
        assert told.json()["status"] == "ok"
        assert wanted <= {check["name"] for check in told.json()["checks"]}
        head = httpx.head(server.url + path, trust_env=False)
        assert (head.status_code, head.content) == (200, b"")


def test_a_server_without_its_broker_is_degraded_and_ready(tmp_path: Path) -> None:
    """A broker that is away takes no requests from a server that does its work."""
    config = "[messaging]\nevent_notification_url: amqp://zoo:keeper@127.0.0.1:1/\n"
    with PulpitServer(tmp_path / "data", config, door=False, arguments=["--events"]) as server:
        told = _get(server, "/ready")
    assert told.status_code == 200
    assert told.json()["status"] == "degraded"
    assert "keeper" not in told.text
    assert "127.0.0.1" not in told.text


def test_a_disk_below_the_floor_makes_the_server_not_ready(tmp_path: Path) -> None:
    """The probe says which setting stands in the way."""
    with PulpitServer(tmp_path / "data", "[storage]\ndisk_floor: 900 TiB", door=False) as server:
        told = _get(server, "/ready")
        assert _get(server, "/live").status_code == 200
    assert told.status_code == 503
    assert "disk_floor" in told.text


def _figures(server: PulpitServer) -> dict[tuple[str, ...], float]:
    """Return what a scrape reads: (name, values of the labels) to value."""
    page = _get(server, "/metrics", auth=(server.user, server.password))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in read_text(page.text)
        for sample in family.samples
    }


def _await(server: PulpitServer, condition: Callable[[dict[tuple[str, ...], float]], bool]) -> None:
    """Scrape until the figures are as they should be."""
    until(lambda: condition(_figures(server)), "the figures are as they should be")


def test_the_way_of_events_to_a_broker_can_be_followed(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    """Written, published, confirmed; then the broker goes away and comes back."""
    config = f"[messaging]\nevent_notification_url: {rabbitmq.url}"
    with (
        PulpitServer(tmp_path / "data", config, door=False, arguments=["--events"]) as server,
        server.client() as client,
    ):
        _await(server, lambda now: now["pulpit_broker_connected",] == 1)
        client.create_repository({"id": "zoo", "importer_type_id": "yum_importer"})
        client.delete_repository("zoo")
        _await(server, lambda now: now.get(("pulpit_events_confirmed_total",), 0) >= 3)
        # the cursor is saved a little later
        _await(server, lambda now: now["pulpit_sink_lag_events", "broker"] == 0)
        now = _figures(server)
        assert now["pulpit_events_written_total", "status"] == now["pulpit_events_confirmed_total",]
        assert (
            now["pulpit_events_published_total", "broker"] == now["pulpit_events_confirmed_total",]
        )
        assert now["pulpit_events_unconfirmed",] == now["pulpit_sink_lag_events", "broker"] == 0
        (ended,) = [key for key in now if key[0] == "pulpit_tasks_ended_total"]
        assert ended[1:] == ("finished", "pulp.server.tasks.repository.delete")
        rabbitmq.stop()
        _await(server, lambda now: now["pulpit_publish_failures_total", "unreachable"] > 0)
        assert _figures(server)["pulpit_broker_connected",] == 0
        assert _get(server, "/ready").json()["status"] == "degraded"
        rabbitmq.start()
        _await(server, lambda now: now["pulpit_broker_connected",] == 1)
