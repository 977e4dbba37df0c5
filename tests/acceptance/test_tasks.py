"""Tasks and events over REST, as old clients use them, on every storage and engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pulpit.client import Client
from pulpit.client.events import Event
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.acceptance.setups import Setup
from tests.feeds import SAMPLE
from tests.services import PATIENCE
from tests.services.http import Answer, FeedServer

API = "/pulp/api/v2"


@pytest.fixture(scope="module")
def server(module_setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield one server of each kind for all tests of this module."""
    folder = tmp_path_factory.mktemp("tasks") / "data"
    with module_setup.server(folder, "[tasks]\nworkers: 2\n", door=False) as running:
        yield running


@pytest.fixture
def house(server: PulpitServer) -> Iterator[House]:
    """Yield the server with a client, and a feed of its own."""
    with FeedServer(SAMPLE) as feed, server.client() as client:
        yield House(server=server, client=client, feed=feed)


@pytest.fixture
def http(server: PulpitServer) -> Iterator[httpx.Client]:
    """Yield a plain HTTP client of the API."""
    auth = (server.user, server.password)
    with httpx.Client(base_url=server.url, auth=auth, timeout=PATIENCE, trust_env=False) as client:
        yield client


def _spawned(answer: httpx.Response) -> str:
    """Return the link to the one task that a 202 names."""
    assert answer.status_code == 202, answer.text
    (reference,) = answer.json()["spawned_tasks"]
    return str(reference["_href"])


def _over(http: httpx.Client, href: str) -> dict[str, Any]:
    """Return the report of a task once it is complete."""
    deadline = time.monotonic() + PATIENCE
    while True:
        report: dict[str, Any] = http.get(href).json()
        if report["state"] in {"finished", "error", "canceled", "skipped"}:
            return report
        assert time.monotonic() < deadline, report
        time.sleep(0.02)


def test_the_main_job_in_plain_requests(http: httpx.Client, house: House) -> None:
    """Create, sync with auto-publish, read back, sync again, publish again, delete."""
    created = http.post(
        f"{API}/repositories/",
        json={
            "id": "chapel",
            "notes": {"_repo-type": "rpm-repo"},
            "importer_type_id": "yum_importer",
            "importer_config": {"feed": house.feed.url},
            "distributors": [
                {
                    "distributor_id": "web",
                    "distributor_type_id": "yum_distributor",
                    "auto_publish": True,
                    "distributor_config": {"relative_url": "chapel", "http": True, "https": False},
                },
            ],
        },
    )
    assert created.status_code == 201
    repo = created.headers["location"]
    report = _over(http, _spawned(http.post(f"{repo}actions/sync/", json={})))
    assert (report["state"], report["error"], report["traceback"]) == ("finished", None, None)
    assert report["result"]["added_count"] > 35
    stages = report["progress_report"]["yum_importer"]
    assert {"metadata", "content", "errata", "comps", "modules"} <= set(stages)
    assert all(stage["state"] in {"FINISHED", "SKIPPED"} for stage in stages.values())
    (publish,) = report["spawned_tasks"]
    published = _over(http, publish["_href"])
    assert published["state"] == "finished"
    steps = published["progress_report"]["web"]
    assert all(step["state"] in {"FINISHED", "SKIPPED", "NOT_STARTED"} for step in steps)
    repomd = http.get("/pulp/repos/chapel/repodata/repomd.xml", auth=None)
    assert (repomd.status_code, b"<repomd" in repomd.content) == (200, True)

    details = http.get(f"{repo}?details=true").json()
    assert details["total_repository_units"] == details["locally_stored_units"] > 35
    assert details["content_unit_counts"]["rpm"] >= 35
    assert details["importers"][0]["last_sync"] == report["finish_time"]
    assert details["distributors"][0]["last_publish"] == published["finish_time"]
    tags = {"tag": ["pulp:repository:chapel", "pulp:action:sync"]}
    assert [one["task_id"] for one in http.get(f"{API}/tasks/", params=tags).json()] == [
        report["task_id"]
    ]

    again = _over(http, _spawned(http.post(f"{repo}actions/sync/")))["result"]
    assert (again["added_count"], again["updated_count"], again["removed_count"]) == (0, 0, 0)
    skipped = _over(http, _spawned(http.post(f"{repo}actions/publish/", json={"id": "web"})))
    assert skipped["result"]["summary"] == (
        "Skipped: Repository content has not changed since last publish."
    )
    unchanged = http.get("/pulp/repos/chapel/repodata/repomd.xml", auth=None)
    assert unchanged.content == repomd.content

    assert _over(http, _spawned(http.delete(repo)))["state"] == "finished"
    assert http.get(repo).status_code == 404
    gone = http.get("/pulp/repos/chapel/repodata/repomd.xml", auth=None)
    assert gone.status_code == 404


def test_changes_of_plugins_are_tasks(http: httpx.Client, house: House) -> None:
    """Importers and distributors are set, changed and removed by real tasks."""
    repo = f"{API}/repositories/plugins/"
    assert http.post(f"{API}/repositories/", json={"id": "plugins"}).status_code == 201
    sent: dict[str, Any] = {
        "importer_type_id": "yum_importer",
        "importer_config": {"feed": house.feed.url.replace("//", "//u:pw@")},
    }
    report = _over(http, _spawned(http.post(f"{repo}importers/", json=sent)))
    assert report["state"] == "finished"
    sent = {"importer_config": {"basic_auth_password": "*****", "validate": True}}
    report = _over(http, _spawned(http.put(f"{repo}importers/yum_importer/", json=sent)))
    assert report["state"] == "finished"
    (importer,) = http.get(f"{repo}importers/").json()
    assert importer["config"] == {
        "feed": house.feed.url,
        "basic_auth_username": "u",
        "basic_auth_password": "*****",
        "validate": True,
    }
    added = http.post(
        f"{repo}distributors/",
        json={
            "distributor_id": "web",
            "distributor_type_id": "yum_distributor",
            "distributor_config": {"relative_url": "plugins"},
        },
    )
    assert added.status_code == 201
    changed = http.put(f"{repo}distributors/web/", json={"distributor_config": {"https": False}})
    report = _over(http, _spawned(changed))
    assert report["result"]["config"] == {"relative_url": "plugins", "https": False}
    for path in ("importers/yum_importer/", "distributors/web/"):
        assert _over(http, _spawned(http.delete(repo + path)))["state"] == "finished"
        assert http.get(repo + path).status_code == 404
    assert _over(http, _spawned(http.delete(repo)))["state"] == "finished"


def test_cancel_ends_tasks_that_run_and_wait(http: httpx.Client, house: House) -> None:
    """A sync that waits for its feed, and one behind it; the next one gets its turn."""
    gate = threading.Event()
    house.feed.answer("*-primary.xml.gz", Answer(gate=gate))
    house.create("held")
    running, waiting, following = (
        _spawned(http.post(f"{API}/repositories/held/actions/sync/")) for _ in range(3)
    )
    stream = house.client.events(since=0, task=running.strip("/").rpartition("/")[2])
    next(event for event in stream if _reads_metadata(event))
    assert http.get(waiting).json()["state"] == "waiting"
    for href in (waiting, running):
        begun = time.monotonic()
        answer = http.delete(href)
        assert (answer.status_code, answer.content) == (200, b"null")
        assert time.monotonic() - begun < 5
        assert http.get(href).json()["state"] == "canceled"
    stages = http.get(running).json()["progress_report"]["yum_importer"]
    assert stages["metadata"]["state"] == "CANCELLED"
    assert stages["content"]["state"] == "NOT_STARTED"
    gate.set()
    assert _over(http, following)["state"] == "finished"
    assert http.get(running).json()["state"] == "canceled"
    assert http.get(waiting).json()["start_time"] is None
    house.over(house.client.delete_repository("held"))


def _reads_metadata(event: Any) -> bool:
    """Tell whether the event is of a sync that reads its feed's metadata."""
    if not isinstance(event, Event):
        return False
    importer = event.body["progress_report"].get("yum_importer", {})
    return bool(importer and importer["metadata"]["state"] == "IN_PROGRESS")


def test_events_are_the_reports(house: House) -> None:
    """The stream tells every status of a task; the last event is what GET answers."""
    with house.server.client() as client:
        since = client.head()
        house.create("told")
        report = house.sync("told")
        stream = client.events(since=since, repository="told")
        states, last = [], None
        for event in stream:
            assert isinstance(event, Event)
            if event.kind == "status":
                states.append(event.body["state"])
            if event.body["state"] == "finished":
                last = event.body
                break
        assert states == ["waiting", "running", "finished"]
        assert last == _document(client, report.task_id)
    house.over(house.client.delete_repository("told"))


def _document(client: Client, task_id: str) -> dict[str, Any]:
    """Return a task's report as it stands on the wire."""
    answer = httpx.get(
        f"{client.url}{API}/tasks/{task_id}/",
        auth=(PulpitServer.user, PulpitServer.password),
        trust_env=False,
    )
    return dict(answer.json())


def test_the_status_tells_how_the_server_is(http: httpx.Client) -> None:
    """It needs no credentials, and has what old clients look for."""
    status = http.get(f"{API}/status/", auth=None).json()
    assert status["api_version"] == "2"
    assert status["versions"]["platform_version"].startswith("2.")
    assert status["database_connection"] == {"connected": True}
    assert status["messaging_connection"]["connected"] in {True, False}
    (worker,) = status["known_workers"]
    assert worker["_id"]
    assert worker["last_heartbeat"].endswith("Z")
    assert "events" in status


def test_the_log_tells_of_no_error_of_its_own(server: PulpitServer) -> None:
    """After all of the above: nothing failed that nobody thought of, and no secret was logged."""
    log = server.log()
    assert "request failed" not in log
    assert "Traceback" not in log
    assert server.password not in log
