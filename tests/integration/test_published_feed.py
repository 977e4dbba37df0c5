"""From a feed to a published repository: nothing is lost, and packages come when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import createrepo_c
import httpx
import pytest

from pulpit.content.limits import Limits
from pulpit.content.sources import SourceDownloads
from tests.feeds import SAMPLE
from tests.integration.serving import serving
from tests.published import Shelf
from tests.services.http import Answer, FeedServer
from tests.synced import Site, site

_FACTS = (
    "name",
    "epoch",
    "version",
    "release",
    "arch",
    "summary",
    "description",
    "url",
    "size_package",
    "rpm_license",
    "rpm_sourcerpm",
    "requires",
    "provides",
    "conflicts",
    "obsoletes",
    "files",
    "changelogs",
)
_FILES = {path.name: sha256(path.read_bytes()).hexdigest() for path in SAMPLE.rglob("*.rpm")}


@pytest.fixture
def feed() -> Iterator[FeedServer]:
    """Yield a server of the sample feed."""
    with FeedServer(SAMPLE) as running:
        yield running


@contextmanager
def published(folder: Path, url: str, **config: Any) -> Iterator[tuple[Site, Shelf, Path]]:
    """Sync the feed and publish it; yield where it is."""
    with site(folder) as synced:
        synced.repository("zoo", url, **config)
        synced.sync("zoo")
        shelf = Shelf(storage=synced.storage, files=synced.files)
        _, repodata = shelf.publish("zoo")
        assert repodata is not None
        yield synced, shelf, repodata


def facts(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return pkgid to what the metadata say of the package, its place left out."""
    reader = createrepo_c.RepositoryReader.from_path(str(folder))
    packages, warnings = reader.parse_packages(only_primary=False)
    assert not warnings
    return {
        pkgid: tuple(getattr(package, name) for name in _FACTS)
        for pkgid, package in packages.items()
    }


def paths(folder: Path) -> list[str]:
    """Return the published paths of all packages."""
    reader = createrepo_c.RepositoryReader.from_path(str(folder))
    packages, _ = reader.parse_packages(only_primary=True)
    return [f"zoo/{package.location_href}" for package in packages.values()]


@pytest.mark.parametrize("policy", ["immediate", "on_demand"])
def test_nothing_is_lost(tmp_path: Path, feed: FeedServer, policy: str) -> None:
    """What is published says of every package what the feed said."""
    with published(tmp_path / "data", feed.url, download_policy=policy) as (_, _, folder):
        assert facts(folder) == facts(SAMPLE)


async def fetch_all(
    shelf: Shelf, names: list[str], *, limits: Limits | None = None
) -> list[httpx.Response]:
    """Ask for all of these at once."""
    downloads = SourceDownloads(limits or Limits(concurrency=4))
    try:
        async with serving(shelf, downloads) as client:
            return list(await asyncio.gather(*(client.get(name) for name in names)))
    finally:
        await downloads.close()


def test_packages_on_demand(tmp_path: Path, feed: FeedServer) -> None:
    """Each package is fetched from the feed once, however often it is asked for."""
    with published(tmp_path / "data", feed.url, download_policy="on_demand") as (_, shelf, folder):
        assert feed.count("*.rpm") == 0
        names = paths(folder)
        answers = asyncio.run(fetch_all(shelf, names * 2))
        assert len(answers) == 2 * len(_FILES)
        for name, answer in zip(names * 2, answers, strict=True):
            assert sha256(answer.content).hexdigest() == _FILES[name.rpartition("/")[2]]
        assert feed.count("*.rpm") == len(_FILES)


def test_credentials_of_the_importer(tmp_path: Path, feed: FeedServer) -> None:
    """The feed's credentials are sent when a package is fetched, and show in no answer."""
    feed.answer("*", Answer(credentials=("bell", "sec:ret")))
    url = feed.url.replace("://", "://bell:sec%3Aret@")
    with published(tmp_path / "data", url, download_policy="on_demand") as (_, shelf, folder):
        names = paths(folder)[:3]
        answers = asyncio.run(fetch_all(shelf, names[:2]))
        assert [answer.status_code for answer in answers] == [200, 200]
        feed.answer("*.rpm", Answer(status=503))
        [refused] = asyncio.run(fetch_all(shelf, names[2:]))
        assert refused.status_code == 502
        assert "503" in refused.text
        assert "sec" not in refused.text


def test_changed_credentials(tmp_path: Path, feed: FeedServer) -> None:
    """New credentials hold from the next download on."""
    with published(tmp_path / "data", feed.url, download_policy="on_demand") as (_, shelf, folder):
        feed.answer("*", Answer(credentials=("bell", "tower")))
        first, second = paths(folder)[:2]

        async def act() -> None:
            downloads = SourceDownloads(Limits())
            async with serving(shelf, downloads) as client:
                assert (await client.get(first)).status_code == 502
                with shelf.storage.write() as transaction:
                    [importer] = transaction.repositories.importers(["zoo"])
                    config = {"basic_auth_username": "bell", "basic_auth_password": "tower"}
                    transaction.repositories.set_importer(
                        replace(importer, config={**importer.config, **config})
                    )
                both = await asyncio.gather(client.get(first), client.get(second))
                assert [answer.status_code for answer in both] == [200, 200]
            await downloads.close()

        asyncio.run(act())


def test_configuration_that_is_no_good(tmp_path: Path, feed: FeedServer) -> None:
    """An importer whose certificate can't be read is an error of the download, told as one."""
    with published(tmp_path / "data", feed.url, download_policy="on_demand") as (_, shelf, folder):
        with shelf.storage.write() as transaction:
            [importer] = transaction.repositories.importers(["zoo"])
            broken = {**importer.config, "ssl_client_cert": "no certificate"}
            transaction.repositories.set_importer(replace(importer, config=broken))
        [answer] = asyncio.run(fetch_all(shelf, paths(folder)[:1]))
        assert answer.status_code == 502
        assert "configuration can't be used" in answer.text


def test_cut_off_by_the_feed(tmp_path: Path, feed: FeedServer) -> None:
    """A package that the feed cuts off is never whole, and is fetched again."""
    with published(tmp_path / "data", feed.url, download_policy="on_demand") as (_, shelf, folder):
        feed.answer("*.rpm", Answer(cut=500, times=1))
        [name] = paths(folder)[:1]

        async def act() -> None:
            downloads = SourceDownloads(Limits())
            async with serving(shelf, downloads) as client:
                # the first bytes may have come before the feed went
                with suppress(httpx.RemoteProtocolError):
                    assert (await client.get(name)).status_code == 502
                while (answer := await client.get(name)).status_code == 502:
                    pass
                digest = sha256(answer.content).hexdigest()
                assert digest == _FILES[name.rpartition("/")[2]]
            await downloads.close()

        asyncio.run(act())
