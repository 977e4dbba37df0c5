"""Servers and workers over one PostgreSQL database serve the same, whichever is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from pulpit.client import Client, Event
from pulpit.content.rpm.layout import package_path
from tests.acceptance.house import House
from tests.acceptance.pulpit_house import PulpitHouse
from tests.acceptance.server import PulpitServer
from tests.acceptance.worker import PulpitWorker
from tests.acceptance.zoo import create, sync
from tests.feeds import SAMPLE
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.http import FeedServer


@pytest.fixture(params=[(1, 0), (2, 2)], ids=["embedded", "distributed"])
def installation(
    request: pytest.FixtureRequest, postgresql_url: str, tmp_path: Path
) -> Iterator[PulpitHouse]:
    """Yield one server with its own engine, and two servers with two workers."""
    servers, workers = request.param
    with PulpitHouse(tmp_path, postgresql_url, servers=servers, workers=workers) as house:
        yield house


def test_sync_and_publish(installation: PulpitHouse) -> None:
    """What is handed in at the first server is done, and every server serves it."""
    first = installation.servers[0]
    with FeedServer(SAMPLE) as feed, first.client() as client:
        house = House(server=first, client=client, feed=feed)
        published = house.create("chapel", download_policy="immediate")
        house.renew("chapel")
        documents = []
        for server in installation.servers:
            url = published.replace(first.url, server.url)
            documents.append(httpx.get(f"{url}repodata/repomd.xml").raise_for_status().content)
            known = httpx.get(f"{server.url}/pulp/api/v2/status/").json()["known_workers"]
            assert len(known) == max(len(installation.workers), 1)
        assert len(set(documents)) == 1
    assert "Traceback" not in installation.log()


def test_every_server_tells_the_same_events(postgresql_url: str, tmp_path: Path) -> None:
    """Ids, numbers and order are those of one journal, and who breaks off resumes anywhere."""
    with PulpitHouse(tmp_path, postgresql_url, workers=1, door=True) as house:
        first, second = house.servers
        with at_door(first) as here, at_door(second) as there, first.client() as one:
            create(first)
            sync(one)
            head = one.head()
            with second.client() as two:
                until(lambda: two.head() == head, "the other server has heard of it")
                told = [changes(read(client, 0, head)) for client in (one, two)]
                assert told[0] == told[1]
                numbers = [number for number, *_ in told[0]]
                # who has read half of it at the one goes on at the other
                half = numbers[len(numbers) // 2]
                assert changes(read(two, half, head)) == told[0][len(numbers) // 2 + 1 :]
                assert one.snapshot().sequence == two.snapshot().sequence == head
            last = told[0][-1][1]
            doors = [arrived(door, last) for door in (here, there)]
        assert doors[0] == doors[1] == [event_id for _, event_id, _ in told[0]]


def at_door(server: PulpitServer) -> Consumer:
    """Return a consumer at the door of a server."""
    return Consumer("127.0.0.1", server.door_port, user=(server.user, server.password))


def arrived(door: Consumer, last: str) -> list[str]:
    """Return the ids of the status changes that came through a door, up to the last one."""
    told = door.collect(lambda got: bool(got) and got[-1].properties["message_id"] == last)
    return [
        message.properties["message_id"]
        for message in told
        if message.properties["delivery_mode"] == 2
    ]


def read(client: Client, since: int, head: int) -> list[Event]:
    """Return the events after a number, up to the head."""
    found: list[Event] = []
    for event in client.events(since=since):
        assert isinstance(event, Event)
        found.append(event)
        if event.sequence >= head:
            break
    return found


def changes(events: list[Event]) -> list[tuple[int, str, Mapping[str, Any]]]:
    """Return what they tell of status; progress may be folded otherwise for each reader."""
    return [(each.sequence, each.id, each.body) for each in events if each.kind == "status"]


def test_a_package_is_downloaded_once_for_all_servers(postgresql_url: str, tmp_path: Path) -> None:
    """Two servers are asked for it at the same time; the feed is asked once."""
    with (
        PulpitHouse(tmp_path, postgresql_url, workers=1) as installation,
        FeedServer(SAMPLE) as feed,
        installation.servers[0].client() as client,
    ):
        first = installation.servers[0]
        house = House(server=first, client=client, feed=feed)
        published = house.create("chapel", download_policy="on_demand")
        house.renew("chapel")
        (package, *_) = sorted(path.name for path in SAMPLE.rglob("*.rpm"))
        urls = [published.replace(first.url, server.url) for server in installation.servers]
        with ThreadPoolExecutor(8) as pool:
            got = [pool.submit(httpx.get, f"{url}{package_path(package)}") for url in urls * 4]
            bodies = {asked.result().raise_for_status().content for asked in got}
        assert len(bodies) == 1
        assert feed.count(f"*/{package}") == 1


def test_one_server_alone_runs_tasks_itself(postgresql_url: str, tmp_path: Path) -> None:
    """A second one with the embedded engine is refused, and so are servers and workers without."""
    with PulpitHouse(tmp_path, postgresql_url, servers=1, workers=0) as house:
        config = f"[database]\nurl: {postgresql_url}\n"
        second = PulpitServer(house.data, config, door=False, name="second")
        with pytest.raises(RuntimeError, match="A server with the embedded engine runs"):
            second.start()
        worker = PulpitWorker(tmp_path, house.data, postgresql_url)
        _, log = worker.refused()
        assert "A server with the embedded engine runs" in log
