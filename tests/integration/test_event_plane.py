"""The fake plane for consumers' tests: it tells what a server tells, and fails as one does."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit.client import AsyncClient, Client, Event, NotFound, Snapshot, Stale, Unauthenticated
from pulpit.testing import FrozenClock, RecordingSink, expect_events
from pulpit.testing.plane import EventPlane

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "test-a-consumer.md"
Item = Snapshot | Event | Stale


def _examples() -> dict[str, Callable[[], None]]:
    """Return the tests that the page shows, by name."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    return {name: found for name, found in names.items() if name.startswith("test_")}


EXAMPLES = _examples()


EVENTS_PAGE = PAGE.with_name("events.md").read_text(encoding="utf-8")
#: Those that need more of a server start a sync.
SNIPPETS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```$", EVENTS_PAGE, re.MULTILINE | re.DOTALL)
    if "pulpit.client" in block and ".sync(" not in block
]


@pytest.fixture
def plane() -> Iterator[EventPlane]:
    """Yield a plane that speaks HTTP alone."""
    with EventPlane() as running:
        yield running


@pytest.fixture
def client(plane: EventPlane) -> Iterator[Client]:
    """Yield a client of the plane."""
    with Client(plane.url, auth=plane.auth) as known:
        yield known


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_page(name: str) -> None:
    """What the page shows runs as it stands."""
    EXAMPLES[name]()


def test_the_page_has_examples() -> None:
    """The search for them has not gone blind."""
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_examples_of_the_events_page(plane: EventPlane, snippet: str) -> None:
    """Run as they stand, with the address and the password of the plane, they tell of a task."""
    program = snippet.replace("http://localhost:8080", plane.url)
    program = program.replace("PASSWORD", plane.auth[1])
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as running:
        plane.wait_for_streams(timeout=60.0)
        plane.task(repository="zoo").run().finish()
        assert running.stdout is not None
        assert any("zoo" in line and "finished" in line for line in running.stdout)
        running.kill()


def test_the_events_page_has_examples() -> None:
    """The search for them has not gone blind."""
    assert len(SNIPPETS) == 2


def words(items: list[Item]) -> list[str]:
    """Return what came, in short."""
    return [
        f"{item.state} {item.revision}" if isinstance(item, Event) else type(item).__name__
        for item in items
    ]


def test_a_life_of_a_task(plane: EventPlane, client: Client) -> None:
    """Events have states, revisions and reports as those of a server; REST says the same."""
    with expect_events(plane.journal, "waiting", "running", "progress", "waiting", "finished"):
        task = plane.task(repository="zoo", tags=["x"], group="g").run().progress(3, 10)
        publish = plane.task(repository="zoo", action="publish")
        task.finish({"added_count": 10}, spawned=[publish])
    items: list[Item] = []
    for item in client.events(since=0):
        items.append(item)
        if len(items) == 5:
            break
    assert words(items) == ["waiting 1", "running 2", "running 3", "waiting 1", "finished 4"]
    last = items[-1]
    assert isinstance(last, Event)
    assert last.report == client.task(task.id)
    assert last.report is not None
    assert last.report.spawned == (publish.id,)
    assert last.tags == ("pulp:repository:zoo", "pulp:action:sync", "x")
    assert last.report.progress["yum_importer"]["content"]["items_left"] == 7
    assert [found.task_id for found in client.tasks(group="g")] == [task.id]
    assert task.now.revision == 4


def test_ends_of_every_kind(plane: EventPlane, client: Client) -> None:
    """Errors carry what they say, and who cancels by REST is heard."""
    failed = plane.task().run().fail("no feed")
    canceled, other = plane.task(), plane.task().run()
    client.cancel(canceled.id)
    other.cancel()
    report = client.task(failed.id)
    assert report.error is not None
    assert report.error["description"] == "no feed"
    assert {client.task(task.id).state for task in (canceled, other)} == {"canceled"}


def test_what_no_server_would_do_is_refused(plane: EventPlane) -> None:
    """A test that tells an impossible story is told so."""
    task = plane.task()
    acts: list[Callable[[], object]] = [task.finish, task.fail, lambda: task.progress(1, 2)]
    for act in acts:
        with pytest.raises(AssertionError, match="waiting"):
            act()
    task.run().finish()
    with pytest.raises(AssertionError, match="finished"):
        task.cancel()
    assert task.now.revision == 3


def test_a_consumer_survives_what_goes_wrong(plane: EventPlane, client: Client) -> None:
    """Cut off, away, and behind retention: everything comes, or is told to be missing."""
    task = plane.task().run()
    seen = RecordingSink[Item]()
    told = RecordingSink[str]()

    def follow() -> None:
        stream = client.follow(
            patience=20.0,
            on_retry=lambda _: told("lost"),
            on_resume=lambda _: told("back"),
        )
        for item in stream:
            seen(item)
            if len(seen.items) == 6:
                break

    url = plane.url
    with ThreadPoolExecutor() as threads:
        following = threads.submit(follow)
        plane.wait_for_streams()
        task.progress(1, 3)
        seen.wait_for(2)
        plane.cut()
        task.progress(2, 3)
        seen.wait_for(3)
        with plane.away():
            with pytest.raises(httpx.ConnectError):
                httpx.get(url, trust_env=False)
            task.progress(3, 3)
        seen.wait_for(4)
        assert plane.url == url
        with plane.away():
            task.finish()
            plane.forget()
        following.result(30)
    assert words(list(seen.items)) == [
        "Snapshot",
        "running 3",
        "running 4",
        "running 5",
        "Stale",
        "Snapshot",
    ]
    assert told.items.count("back") >= 3
    assert "lost" in told.items


def test_a_gap_has_its_figures(plane: EventPlane, client: Client) -> None:
    """As on a server: how many are missing, and 410 for who reads pages."""
    plane.task().run().finish()
    plane.forget()
    gap = next(iter(client.events(since=1)))
    assert isinstance(gap, Stale)
    assert (gap.since, gap.missed, gap.head, gap.resume) == (1, 2, 3, 3)
    answer = httpx.get(f"{plane.url}/pulpit/v1/events/?since=1", auth=plane.auth, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "PLPIT10")


def test_who_may_come_in(plane: EventPlane) -> None:
    """Only the one user; the status is for everybody."""
    with Client(plane.url, auth=("admin", "wrong")) as stranger:
        assert stranger.status()["api_version"] == "2"
        with pytest.raises(Unauthenticated):
            stranger.snapshot()
    with Client(plane.url, auth=plane.auth) as known, pytest.raises(NotFound):
        known.repository("zoo")


def test_schemas_are_served(plane: EventPlane, client: Client) -> None:
    """``dataschema`` of an event resolves on the plane itself."""
    plane.task()
    event = next(iter(client.events(since=0)))
    assert isinstance(event, Event)
    schema = httpx.get(str(event.document["dataschema"]), trust_env=False)
    assert schema.status_code == 200
    assert schema.json()["type"] == "object"


def test_the_clock_is_the_test_s_own() -> None:
    """Times in events are those that the test wants."""
    clock = FrozenClock()
    with EventPlane(clock=clock) as plane, Client(plane.url, auth=plane.auth) as client:
        task = plane.task().run()
        clock.advance(minutes=3)
        report = client.task(task.finish().id)
    assert (report.start_time, report.finish_time) == (
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:03:00Z",
    )


def test_an_event_loop_follows(plane: EventPlane) -> None:
    """AsyncClient resumes and rebuilds its picture as the blocking one does."""

    async def read() -> list[Item]:
        items: list[Item] = []
        task = plane.task(repository="zoo").run()
        async with AsyncClient(plane.url, auth=plane.auth) as client:
            async for item in client.follow(repository="zoo"):
                items.append(item)
                if len(items) == 1:
                    plane.cut()
                    task.progress(1, 2)
                elif len(items) == 2:
                    await asyncio.to_thread(away, task)
                elif len(items) == 4:
                    break
        return items

    def away(task: Any) -> None:
        with plane.away():
            task.finish()
            plane.forget()

    assert words(asyncio.run(read())) == ["Snapshot", "running 3", "Stale", "Snapshot"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reads_it(plane: EventPlane) -> None:
    """Any HTTP client will do."""
    plane.task(repository="zoo")
    curl = ["curl", "-sN", "--noproxy", "*", "--max-time", "20", "-u", ":".join(plane.auth)]
    url = f"{plane.url}/pulpit/v1/events/?since=0"
    with subprocess.Popen(
        [*curl, "-H", "Accept: text/event-stream", url], stdout=subprocess.PIPE, text=True
    ) as reading:
        assert reading.stdout is not None
        data = next(line for line in reading.stdout if line.startswith("data: "))
        reading.kill()
    assert json.loads(data.removeprefix("data: "))["state"] == "waiting"


def test_a_plane_without_a_door_says_so(plane: EventPlane) -> None:
    """Rather than an address where nobody listens."""
    with pytest.raises(RuntimeError, match="door=True"):
        _ = plane.door_url
