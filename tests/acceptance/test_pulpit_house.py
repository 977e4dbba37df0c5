"""Servers and workers over one PostgreSQL database serve the same, whichever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.house import House
from tests.acceptance.pulpit_house import PulpitHouse
from tests.feeds import SAMPLE
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
