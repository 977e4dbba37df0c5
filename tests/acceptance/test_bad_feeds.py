"""A feed that lies, attacks or stalls: the task tells it, and everything else stays as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pulpit.client import TaskReport
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.feeds import BAD, SAMPLE, Bad, variants
from tests.services.http import HTML, Answer, FeedServer

_METADATA = [bad for bad in BAD if not bad.package]
_PACKAGES = [bad for bad in BAD if bad.package]
_CONFIG = "[feeds]\nmax_metadata: 100000000\nread_timeout: 0.5\nconnect_timeout: 2\n"


def state(house: House) -> tuple[object, bytes, list[str]]:
    """Return what a failed sync must not change: units, publication, files."""
    counts = house.client.repository("chapel")["content_unit_counts"]
    published = httpx.get(f"{house.server.url}/pulp/repos/chapel/chapel/repodata/repomd.xml")
    data = house.server.data
    files = [
        str(path.relative_to(data))
        for path in sorted(data.rglob("*"))
        if path.is_file() and ".db" not in path.name and ".sqlite" not in path.name
    ]
    return counts, published.raise_for_status().content, files


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Yield a server with the sample in the repository ``chapel``, synced and published."""
    data = tmp_path_factory.mktemp("pulpit") / "data"
    with (
        FeedServer(SAMPLE) as feed,
        PulpitServer(data, _CONFIG, door=False) as server,
        server.client() as client,
    ):
        made = House(server=server, client=client, feed=feed)
        made.create("chapel", remove_missing=True)
        made.renew("chapel")
        yield made


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield a server that has no whole copy of the package that bad feeds damage."""
    data = tmp_path_factory.mktemp("fresh") / "data"
    with PulpitServer(data, _CONFIG, door=False) as server:
        yield server


@pytest.fixture
def turned(house: House) -> Iterator[House]:
    """Yield the house, whose feed turns good again after the test."""
    yield house
    house.feed.folder = SAMPLE
    house.feed.behave()


def _told(report: TaskReport) -> str:
    """Return all that the report says, in lower case."""
    return str(dict(report.document)).lower()


@pytest.mark.parametrize("bad", _METADATA, ids=[bad.name for bad in _METADATA])
def test_bad_metadata_fails_and_changes_nothing(bad: Bad, turned: House, tmp_path: Path) -> None:
    """The error has the code, the feed's URL and the reason; repository and files are as before."""
    before = state(turned)
    turned.feed.folder = bad.build(tmp_path / "feed")
    report = turned.sync("chapel")
    assert report.state == "error"
    assert report.error is not None
    assert report.error["code"] in bad.codes, report.error
    assert f"127.0.0.1:{turned.feed.port}" in json.dumps(report.error)
    assert bad.says in _told(report)
    assert report.progress["yum_importer"]["content"]["state"] == "NOT_STARTED"
    assert state(turned) == before


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(status=404), "not found"),
        (Answer(status=503), "503"),
        (Answer(body=HTML), "repomd.xml"),
        (Answer(cut=100), "repomd.xml"),
        (Answer(drip=30.0), "repomd.xml"),
        (Answer(credentials=("ada", "secret")), "401"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "redirect"),
        (Answer(status=302, headers={"Location": "ftp://127.0.0.1/x"}), "redirect"),
        (Answer(status=302, headers={"Location": "/repodata/repomd.xml"}), "redirect"),
    ],
    ids=["404", "503", "page", "cut", "stalls", "401", "to-file", "to-ftp", "to-itself"],
)
def test_a_bad_answer_fails_and_changes_nothing(answer: Answer, says: str, turned: House) -> None:
    """Whatever the feed's server does, the task ends with the URL and the reason."""
    before = state(turned)
    turned.feed.answer("/repodata/repomd.xml", answer)
    report = turned.sync("chapel")
    assert report.state == "error"
    assert report.error is not None
    assert f"127.0.0.1:{turned.feed.port}" in json.dumps(report.error)
    assert says in _told(report)
    assert state(turned) == before


@pytest.mark.parametrize("bad", _PACKAGES, ids=[bad.name for bad in _PACKAGES])
def test_bad_packages_fail(bad: Bad, fresh: PulpitServer, tmp_path: Path) -> None:
    """A package that is not what the metadata says ends the task in error, time and again."""
    with FeedServer(bad.build(tmp_path / "feed")) as feed, fresh.client() as client:
        house = House(server=fresh, client=client, feed=feed)
        house.create(bad.name)
        report = house.sync(bad.name)
        assert report.state == "error"
        assert report.error is not None
        assert report.error["code"] in bad.codes, report.error
        assert f"127.0.0.1:{feed.port}" in _told(report)
        assert bad.says in _told(report)


def test_a_good_feed_works_after_a_bad_one(turned: House, tmp_path: Path) -> None:
    """A feed that is good again is synced and published as if nothing had been."""
    turned.feed.answer("/repodata/repomd.xml", Answer(status=500, times=10))
    assert turned.sync("chapel").state == "error"
    turned.feed.behave()
    turned.feed.folder = variants.changed(tmp_path / "feed")
    turned.renew("chapel")
