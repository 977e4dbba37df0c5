"""Delta packages and installation trees: from the feed into the store, and out of it again."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import createrepo_c
import pytest

from pulpit.content.limits import Limits
from pulpit.content.rpm.distributor import YumDistributor
from pulpit.content.sources import SourceDownloads
from pulpit.domain.repositories import Distributor
from pulpit.errors import DownloadFailed, MalformedRepository
from pulpit.services.content import Absent, Content, Stored
from pulpit.services.on_demand import OnDemand
from tests.feeds import Draft, variants
from tests.services.http import FeedServer
from tests.synced import Site, site
from tests.task_context import OID


class _Place(Site):
    """A site that takes any progress report."""

    def progress(self, report: Any, *, boundary: bool = False) -> None:
        if "yum_importer" in report:
            super().progress(report, boundary=boundary)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[_Place]:
    """Yield an empty store."""
    with site(tmp_path / "data") as opened:
        yield _Place(data=opened.data, storage=opened.storage, files=opened.files)


def publish(store: _Place, repo_id: str, **config: Any) -> Path:
    """Publish and go live; return the folder."""
    with store.storage.read() as transaction:
        repository = transaction.repositories.get(repo_id)
    distributor = Distributor(
        repo_id=repo_id,
        oid=OID,
        id="yum",
        distributor_type_id="yum_distributor",
        config={"relative_url": repo_id, **config},
        last_updated=store.now,
    )
    _, publication_id = YumDistributor().publish(
        store, repository=repository, distributor=distributor, override={}
    )
    assert publication_id is not None
    with store.storage.write() as transaction:
        transaction.publications.switch(publication_id, now=store.now)
        live = transaction.publications.live(repo_id, "yum")
    assert live is not None
    return store.files.publication_folder(live.folder)


def content_of(store: _Place) -> Content:
    """Return what is published."""
    return Content(store.storage, store.files, clock=store.clock, grace_hours=1)


def fetch(store: _Place, *paths: str) -> list[bytes]:
    """Return what a reader gets at the paths, on demand if need be."""

    async def act() -> list[bytes]:
        content = content_of(store)
        sources = SourceDownloads(Limits())
        parts = (content, store.storage, store.files, sources)
        on_demand = OnDemand(*parts, clock=store.clock, owner="test", concurrency=2)

        async def read(path: str) -> bytes:
            found = content.find(path)
            if isinstance(found, Absent):
                found = await on_demand.fetch(found)
            assert isinstance(found, Stored)
            return found.path.read_bytes()

        try:
            return [*await asyncio.gather(*map(read, paths))]
        finally:
            await on_demand.close()
            await sources.close()

    return asyncio.run(act())


@pytest.mark.parametrize(
    ("kind", "policy"), [("prestodelta", "immediate"), ("deltainfo", "on_demand")]
)
def test_deltas(tmp_path: Path, store: _Place, kind: str, policy: str) -> None:
    """Deltas are units with files, and are published with what tells clients of them."""
    with FeedServer(variants.with_deltas(tmp_path / "feed", kind)) as server:
        store.repository("zoo", server.url, download_policy=policy)
        store.sync("zoo")
        assert store.unit_counts("zoo")["drpm"] == 3
        details = store.reports[-1][0]["content"]["details"]
        expected = 3 if policy == "immediate" else 0
        assert (details["drpm_total"], details["drpm_done"]) == (expected, expected)
        assert server.count("*.drpm") == expected
        assert store.counts("zoo", force_full=True) == (0, 0, 0)
        assert server.count("*.drpm") == expected
        folder = publish(store, "zoo")
        repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
        [record] = [record for record in repomd.records if record.type == "prestodelta"]
        text = gzip.decompress((folder / record.location_href).read_bytes()).decode()
        for place in variants.DELTAS:
            assert f"<filename>{place}</filename>" in text
        places = [f"zoo/{place}" for place in variants.DELTAS]
        assert fetch(store, *places) == [*variants.DELTAS.values()]
        assert server.count("*.drpm") == 3


def test_deltas_that_are_not_wanted(tmp_path: Path, store: _Place) -> None:
    """Deltas may be skipped, go with what they make, and go when the feed has them no more."""
    feed = variants.with_deltas(tmp_path / "feed")
    store.repository("zoo", feed.as_uri(), download_policy="on_demand")
    store.sync("zoo", type_skip_list=["drpm"])
    assert "drpm" not in store.unit_counts("zoo")
    store.sync("zoo", retain_old_count=0)
    versions = {unit.key["version"] for unit in store.units("zoo", "drpm")}
    assert versions == {"2.0"}
    Draft(feed, is_there=True).drop("prestodelta")
    store.sync("zoo")
    assert store.unit_counts("zoo")["drpm"] == 2
    store.sync("zoo", remove_missing=True)
    assert "drpm" not in store.unit_counts("zoo")


@pytest.mark.parametrize(
    ("name", "policy"), [(".treeinfo", "immediate"), ("treeinfo", "on_demand")]
)
def test_tree(tmp_path: Path, store: _Place, name: str, policy: str) -> None:
    """A tree is a unit with files, which lie at their paths when it is published."""
    with FeedServer(variants.with_tree(tmp_path / "feed", name)) as server:
        store.repository("zoo", server.url, download_policy=policy)
        store.sync("zoo")
        [unit] = store.units("zoo", "distribution")
        assert unit.key["distribution_id"] == "ks-Chapel-Nave-1-x86_64"
        expected = 4 if policy == "immediate" else 0
        stage = store.reports[-1][0]["distribution"]
        assert (stage["items_total"], stage["items_left"]) == (expected, 0)
        assert server.count("*/images/*") == expected
        server.forget()
        assert store.counts("zoo") == (0, 0, 0)
        assert store.counts("zoo", force_full=True) == (0, 0, 0)
        # what has no checksum may be another file by now
        assert server.count("*/images/*") == (1 if expected else 0)
        folder = publish(store, "zoo")
        assert "repomd" not in folder.joinpath(name).read_text()
        paths = [f"zoo/{path}" for path in variants.TREE]
        assert fetch(store, *paths) == [*variants.TREE.values()]
        server.forget()
        assert fetch(store, *paths) == [*variants.TREE.values()]
        assert not server.count()
        with store.storage.write() as transaction:
            assert not transaction.content.remove_orphans()[1]
            counts = transaction.content.locally_stored("zoo")
        assert counts == sum(store.unit_counts("zoo").values()) - (0 if expected else 42)


def test_changed_tree(tmp_path: Path, store: _Place) -> None:
    """A tree of another version takes the place of the former one; equal files stay known."""
    with FeedServer(variants.with_tree(tmp_path / "feed")) as server:
        store.repository("zoo", server.url)
        store.sync("zoo")
        server.forget()
        treeinfo = server.folder / ".treeinfo"
        treeinfo.write_text(treeinfo.read_text().replace("name = Chapel 1", "name = Chapel One"))
        assert store.counts("zoo") == (0, 1, 0)
        assert server.count("*/images/*") == 1
        treeinfo.write_text(treeinfo.read_text().replace("version = 1\n\n", "version = 2\n\n"))
        assert store.counts("zoo") == (1, 0, 1)
        [unit] = store.units("zoo", "distribution")
        assert unit.key["version"] == "2"
        treeinfo.unlink()
        assert store.counts("zoo") == (0, 0, 0)
        assert store.counts("zoo", remove_missing=True) == (0, 0, 1)


@pytest.mark.parametrize("damage", ["absent", "changed"])
def test_damaged_tree(tmp_path: Path, store: _Place, damage: str) -> None:
    """A file that is not as the tree says fails the sync; nothing of it stays."""
    feed = variants.with_tree(tmp_path / "feed")
    boot = feed / "images/boot.iso"
    if damage == "absent":
        boot.unlink()
    else:
        boot.write_bytes(b"x" + boot.read_bytes()[1:])
    store.repository("zoo", feed.as_uri())
    with pytest.raises(DownloadFailed, match=r"boot\.iso"):
        store.sync("zoo")
    stage = store.reports[-1][0]["distribution"]
    assert stage["state"] == "FAILED"
    assert stage["error_details"][0]["name"] == "boot.iso"
    assert not store.stored()
    assert not any(store.rows().values())
    store.sync("zoo", type_skip_list=["distribution"])
    assert "distribution" not in store.unit_counts("zoo")


def test_two_trees(tmp_path: Path, store: _Place) -> None:
    """A repository that was given two trees can't publish both, and says which they are."""
    feed = variants.with_tree(tmp_path / "feed")
    for repo_id in ("zoo", "ark"):
        store.repository(repo_id, feed.as_uri(), download_policy="on_demand")
        store.sync(repo_id)
        treeinfo = feed / ".treeinfo"
        treeinfo.write_text(treeinfo.read_text().replace("variant = Nave", "variant = Apse"))
    [tree] = store.units("ark", "distribution")
    with store.storage.write() as transaction:
        transaction.content.associate("zoo", [tree.id], now=store.now)
    with pytest.raises(MalformedRepository, match="ks-Chapel-Apse-1-x86_64"):
        publish(store, "zoo")
    assert publish(store, "zoo", skip=["distribution"]).is_dir()


def test_packages_where_an_old_tree_wants_them(tmp_path: Path, store: _Place) -> None:
    """The folder that a tree names has the packages, too."""
    feed = variants.with_tree(tmp_path / "feed")
    treeinfo = feed / ".treeinfo"
    treeinfo.write_text(treeinfo.read_text().replace("packagedir =", "packagedir = Server"))
    store.repository("zoo", feed.as_uri())
    store.sync("zoo")
    publish(store, "zoo")
    name = "bell-2.0-1.noarch.rpm"
    first, second = fetch(store, f"zoo/Server/{name}", f"zoo/Packages/b/{name}")
    assert first == second


def test_checksum_type_of_the_feed(tmp_path: Path, store: _Place) -> None:
    """What is published has the checksum type that the feed's metadata have."""
    feed = variants.listed_with(tmp_path / "feed", "sha512")
    store.repository("zoo", feed.as_uri(), download_policy="on_demand")
    store.sync("zoo")
    with store.storage.read() as transaction:
        assert transaction.repositories.get("zoo").scratchpad == {"checksum_type": "sha512"}
    folder = publish(store, "zoo")
    repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
    assert {record.checksum_type for record in repomd.records} == {"sha512"}
