"""Orphans are removed while others sync and publish, and when the process dies half-way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pulpit.domain.published import Root
from pulpit.domain.tasks import Task
from pulpit.errors import ContentError
from pulpit.services.content import Content, Stored
from pulpit.services.operations import BODIES
from pulpit.services.orphans import REMOVE
from pulpit.storage.files import FolderFileStore
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import FrozenClock
from tests.api_site import copy_of
from tests.isos import IsoSite, iso_site, make_feed

_NAMES = ("one", "two", "three")


@pytest.fixture
def site(tmp_path: Path, new_database: Path) -> Iterator[IsoSite]:
    """Yield a store with three synced and published repositories that share a file."""
    with iso_site(tmp_path / "data", new_database) as opened:
        for name in _NAMES:
            files = {"shared": b"shared", name: name.encode()}
            opened.repository(name, make_feed(tmp_path / name, files).as_uri())
            opened.sync(name)
            opened.publish(name)
        yield opened


class _Removal(IsoSite):
    """The context of a task that removes all orphans."""

    @property
    def task(self) -> Task:
        return replace(super().task, operation=REMOVE, arguments={})


def _removal(site: IsoSite) -> IsoSite:
    return _Removal(storage=site.storage, files=site.files, now=site.now)


def _remove(context: IsoSite) -> dict[str, int]:
    """Remove all orphans; return how many of each type."""
    result, _ = BODIES[REMOVE](context, None)  # type: ignore[arg-type]
    return dict(result)


def _empty(site: IsoSite, *names: str) -> None:
    """Take everything out of the repositories, and forget what they have published."""
    with site.storage.write() as transaction:
        for name in names:
            ids = transaction.content.members(name)
            transaction.content.unassociate(name, ids, now=site.now)
            live = transaction.publications.live(name, "iso_distributor")
            assert live
            transaction.publications.remove([live.id])


def _stored(site: IsoSite) -> set[bytes]:
    """Return what the files of the store hold."""
    content = site.files.path("ab" * 32).parent.parent
    return {path.read_bytes() for path in content.rglob("*") if path.is_file()}


def test_files_go_with_the_last_unit_that_names_them(site: IsoSite) -> None:
    """What another repository has, or a publication, stays until that is gone too."""
    assert _remove(_removal(site)) == {}
    with site.storage.write() as transaction:
        transaction.content.unassociate("one", transaction.content.members("one"), now=site.now)
    assert _remove(_removal(site)) == {}
    _empty(site, "one")
    assert _remove(_removal(site)) == {"iso": 1}
    assert _stored(site) == {b"shared", b"two", b"three"}
    _empty(site, "two", "three")
    assert _remove(_removal(site)) == {"iso": 3}
    assert _stored(site) == set()


def test_a_crash_leaves_strays_at_most(site: IsoSite) -> None:
    """Killed between rows and files, the rows are gone; the files are found and swept later."""
    _empty(site, *_NAMES)
    removal, writes = _removal(site), 0

    def die() -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise KeyboardInterrupt

    removal.before_write = die
    with pytest.raises(KeyboardInterrupt):
        _remove(removal)
    with site.storage.read() as transaction:
        assert transaction.content.orphan_counts() == {}
    assert len(_stored(site)) == 4
    clock = FrozenClock()
    content = Content(site.storage, site.files, clock=clock, grace_hours=1)
    assert content.remove_strays() == 0
    clock.advance(days=36_500)
    assert content.remove_strays() == 4
    assert _stored(site) == set()


def test_a_file_that_is_kept_again_stays(site: IsoSite) -> None:
    """A sync that names a file between the removal of its rows and its own has it, or is told."""
    _empty(site, *_NAMES)
    removal, writes = _removal(site), 0

    def sync() -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            assert site.counts("one") == (2, 0)

    removal.before_write = sync
    assert _remove(removal) == {"iso": 4}
    assert _stored(site) == {b"shared", b"one"}


def test_known_files_without_units_go(site: IsoSite) -> None:
    """What failed between naming a file and keeping its unit leaves nothing for ever."""
    path = site.files.temporary()
    path.write_bytes(b"nobody's")
    site.files.keep(path, "ab" * 32)
    with site.storage.write() as transaction:
        transaction.content.add_artifacts({"ab" * 32: 8})
    assert _remove(_removal(site)) == {}
    assert b"nobody's" not in _stored(site)
    assert len(_stored(site)) == 4


_FEEDS = {name: {"shared": b"shared", name: name.encode()} for name in _NAMES}


def _complain(site: IsoSite, content: Content) -> list[str]:
    """Return what is not as it must be: each unit of a repository, or published, has its file."""
    missing = [
        f"{repo_id}: {name} of the repository"
        for repo_id in _NAMES
        for name, unit in site.units(repo_id).items()
        if not unit.artifact or not site.files.path(unit.artifact).exists()
    ]
    for repo_id in _NAMES:
        with site.storage.read() as transaction:
            live = transaction.publications.live(repo_id, "iso_distributor")
            paths = transaction.publications.unit_paths(live.id) if live else ()
        missing += [
            f"{repo_id}: {path} of the publication"
            for path in paths
            if not isinstance(content.find(f"{repo_id}/{path}", Root.ISOS), Stored)
        ]
    return missing


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, new_database: Path, tmp_path: Path) -> Iterator[Any]:
    """Yield an empty database."""
    if request.param == "sqlite":
        opened: Any = SqliteStorage(copy_of(new_database, tmp_path))
    else:
        opened = PostgresStorage(request.getfixturevalue("postgresql_url"))
    with opened:
        yield opened


def test_nothing_is_lost_beside_syncs_and_publishes(storage: Any, tmp_path: Path) -> None:
    """Repositories with equal files are synced, published and emptied; orphans go meanwhile."""
    files = FolderFileStore(tmp_path / "files")
    sites = {name: IsoSite(storage=storage, files=files) for name in _NAMES}
    done = threading.Event()
    removed = 0
    for name, site in sites.items():
        site.repository(name, make_feed(tmp_path / name, _FEEDS[name]).as_uri())

    def live(name: str) -> list[str]:
        site, found = sites[name], []
        content = Content(site.storage, files, clock=site.clock, grace_hours=1)
        for _ in range(4):
            with suppress(ContentError):
                site.sync(name)
            found += [one for one in _complain(site, content) if one.startswith(name)]
            site.publish(name)
            found += [one for one in _complain(site, content) if one.startswith(name)]
            _empty(site, name)
        site.sync(name)
        return found

    def remove() -> None:
        nonlocal removed
        context = _removal(next(iter(sites.values())))
        while not done.is_set():
            removed += sum(_remove(context).values())

    with ThreadPoolExecutor(4) as pool:
        removing = pool.submit(remove)
        lives = [pool.submit(live, name) for name in _NAMES]
        complaints = [one for ended in lives for one in ended.result()]
        done.set()
        removing.result()
    assert complaints == []
    assert removed
