"""Syncing good feeds: what comes in, what a resync changes, and what is told meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from pulpit.errors import (
    ContentError,
    DownloadFailed,
    InvalidValue,
    NoFeed,
    PulpitError,
    Unparsable,
)
from tests.feeds import SAMPLE, Draft, variants
from tests.services.http import FeedServer
from tests.synced import Site, site

_SAMPLE = {
    "rpm": 42,
    "erratum": 4,
    "modulemd": 3,
    "modulemd_defaults": 1,
    "package_group": 3,
    "package_category": 1,
    "package_environment": 1,
    "package_langpacks": 1,
    "yum_repo_metadata_file": 1,
}
_TOTAL = sum(_SAMPLE.values())
_STAGES = ["metadata", "content", "distribution", "modules", "errata", "comps", "purge_duplicates"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Site]:
    """Yield an empty store."""
    with site(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[FeedServer]:
    """Yield a server of the sample feed."""
    with FeedServer(SAMPLE) as running:
        yield running


def artifacts(store: Site, repo_id: str) -> set[str | None]:
    """Return the files of the packages of a repository."""
    return {unit.artifact for unit in store.units(repo_id, "rpm")}


def test_everything_comes_in(store: Site, server: FeedServer) -> None:
    """Packages with their files, errata, comps, modules and other metadata are there."""
    store.repository("zoo", server.url)
    result = store.sync("zoo")
    assert (result["added_count"], result["updated_count"], result["removed_count"]) == (57, 0, 0)
    assert result["result"] == "success"
    assert result["_ns"] == "repo_sync_results"
    assert result["started"] <= result["completed"]
    assert result["summary"] == {stage: {"state": "FINISHED"} for stage in _STAGES}
    assert store.unit_counts("zoo") == _SAMPLE
    for unit in store.units("zoo", "rpm"):
        assert unit.package is not None
        data = store.files.path(unit.artifact or "").read_bytes()
        assert sha256(data).hexdigest() == unit.package.checksum == unit.artifact
        assert len(data) == unit.package.size
    assert len(store.stored()) == 43


def test_chunks_can_be_published(store: Site, server: FeedServer) -> None:
    """A package's chunks name its published place; documents are kept as they were."""
    store.repository("zoo", server.url, download_policy="on_demand")
    store.sync("zoo")
    expand = zstandard.ZstdDecompressor().decompress
    for unit in store.units("zoo", "rpm"):
        assert unit.package is not None
        name = unit.package.filename
        primary, filelists, other = [expand(chunk).decode() for chunk in unit.chunks]
        assert f'<location href="Packages/{name[0]}/{name}"/>' in primary
        assert f'pkgid="{unit.package.checksum}"' in filelists
        assert f'pkgid="{unit.package.checksum}"' in other
    [organ] = [unit for unit in store.units("zoo", "erratum") if unit.key["id"].endswith("002")]
    assert expand(organ.chunks[0]).startswith(b"<update ")
    assert organ.metadata["title"] == "organ: in tune again"
    [extra] = store.units("zoo", "yum_repo_metadata_file")
    assert extra.key == {"data_type": "inventory", "repo_id": "zoo"}
    assert store.files.path(extra.artifact or "").is_file()


def test_progress_as_documented(store: Site, server: FeedServer) -> None:
    """Stages come in order, each state change is a boundary, items are counted down to 0."""
    store.repository("zoo", server.url)
    store.sync("zoo")
    states = [
        (stage, report[stage]["state"])
        for (before, _), (report, boundary) in zip(
            [({name: {"state": "NOT_STARTED"} for name in _STAGES}, True), *store.reports],
            store.reports,
            strict=False,
        )
        for stage in _STAGES
        if report[stage]["state"] != before[stage]["state"] and boundary
    ]
    assert states == [(stage, f) for stage in _STAGES for f in ("IN_PROGRESS", "FINISHED")]
    contents = [report["content"] for report, _ in store.reports]
    size = sum(path.stat().st_size for path in SAMPLE.rglob("*.rpm"))
    assert [one["items_left"] for one in contents if one["items_total"]][:43] == [
        *range(42, -1, -1)
    ]
    assert contents[-1] == {
        "state": "FINISHED",
        "items_total": 42,
        "items_left": 0,
        "size_total": size,
        "size_left": 0,
        "details": {"rpm_total": 42, "rpm_done": 42, "drpm_total": 0, "drpm_done": 0},
        "error_details": [],
    }


@pytest.mark.parametrize("policy", ["on_demand", "background"])
def test_on_demand_downloads_no_package(store: Site, server: FeedServer, policy: str) -> None:
    """On demand, and in the background, where another task downloads, only sources are kept."""
    store.repository("zoo", server.url, download_policy=policy)
    assert store.counts("zoo") == (_TOTAL, 0, 0)
    assert not server.count("*.rpm")
    assert artifacts(store, "zoo") == {None}
    assert store.reports[-1][0]["content"]["items_total"] == 0
    with store.storage.read() as transaction:
        for unit in store.units("zoo", "rpm"):
            [(repo_id, url)] = transaction.content.sources(unit.id)
            assert repo_id == "zoo"
            assert url.startswith(server.url)
            assert server.read(url.removeprefix(server.url.rstrip("/"))) is not None


def test_resync_without_changes(store: Site, server: FeedServer) -> None:
    """A second sync reads repomd.xml alone and changes nothing; a forced one finds no changes."""
    store.repository("zoo", server.url)
    store.sync("zoo")
    server.forget()
    assert store.counts("zoo") == (0, 0, 0)
    assert server.count() == 1
    assert {stage["state"] for stage in store.reports[-1][0].values()} == {"FINISHED"}
    server.forget()
    assert store.counts("zoo", force_full=True) == (0, 0, 0)
    assert not server.count("*.rpm")


def test_lost_files_are_downloaded_again(store: Site, server: FeedServer) -> None:
    """A resync of an unchanged feed brings back what is missing in the store."""
    store.repository("zoo", server.url)
    store.sync("zoo")
    [first, second] = sorted(artifact for artifact in artifacts(store, "zoo") if artifact)[:2]
    store.files.path(first).unlink()
    store.files.path(second).write_bytes(b"rotten")
    server.forget()
    assert store.counts("zoo") == (0, 0, 0)
    assert server.count("*.rpm") == 1
    assert store.counts("zoo", validate=True) == (0, 0, 0)
    assert server.count("*.rpm") == 2
    for digest in (first, second):
        assert sha256(store.files.path(digest).read_bytes()).hexdigest() == digest


def test_from_on_demand_to_immediate(store: Site, server: FeedServer) -> None:
    """After a change of policy the files come, and are counted, though no unit is new."""
    store.repository("zoo", server.url, download_policy="on_demand")
    store.sync("zoo")
    assert store.counts("zoo", download_policy="immediate") == (0, 0, 0)
    assert store.reports[-1][0]["content"]["items_total"] == 42
    assert None not in artifacts(store, "zoo")


def test_same_content_is_stored_once(store: Site, server: FeedServer) -> None:
    """A second repository with the same feed downloads no package, and counts none."""
    for repo_id in ("zoo", "ark"):
        store.repository(repo_id, server.url)
    store.sync("zoo")
    files, units = store.stored(), store.rows()["units"]
    server.forget()
    assert store.counts("ark") == (_TOTAL, 0, 0)
    assert not server.count("*.rpm")
    assert store.reports[-1][0]["content"]["items_total"] == 0
    assert store.stored() == files
    # groups and the like belong to one repository
    assert store.rows()["units"] == units + 8
    store.repository("barn", server.url, download_policy="on_demand")
    store.sync("barn")
    assert artifacts(store, "barn") == artifacts(store, "zoo")


@pytest.mark.parametrize(
    ("config", "expected"), [({}, (4, 2, 1)), ({"remove_missing": True}, (4, 2, 5))]
)
def test_changed_feed(
    tmp_path: Path, store: Site, config: dict[str, bool], expected: tuple[int, int, int]
) -> None:
    """A resync adds, updates and removes exactly what changed."""
    feed = tmp_path / "feed"
    store.repository("zoo", feed.as_uri(), **config)
    variants.sample(feed)
    store.sync("zoo")
    before = store.filenames("zoo")
    shutil.rmtree(feed)
    variants.changed(feed)
    assert store.counts("zoo") == expected
    listed = {path.name for path in feed.rglob("*.rpm")}
    assert store.filenames("zoo") == (listed if config else listed | before)
    [lectern] = [
        u
        for u in store.units("zoo", "rpm")
        if u.package and u.package.name == "lectern" and u.package.release == "2"
    ]
    assert (
        lectern.artifact
        == sha256((feed / "noarch/lectern-1.0-2.noarch.rpm").read_bytes()).hexdigest()
    )
    assert store.unit_counts("zoo")["package_group"] == (2 if config else 3)
    [erratum] = [u for u in store.units("zoo", "erratum") if u.key["id"].endswith("001")]
    assert erratum.metadata["version"] == "3"
    assert store.counts("zoo") == (0, 0, 0)


def test_an_erratum_of_two_feeds_keeps_the_packages_of_both(tmp_path: Path, store: Site) -> None:
    """Whichever is synced last: each publishes its own, and none takes the other's away."""
    feed = Draft(tmp_path / "feed")
    text = feed.text("updateinfo")
    feed.put("updateinfo", text.replace("<name>", "<name>ark-").replace('name="', 'name="ark-'))
    feed.save()
    store.repository("zoo", SAMPLE.as_uri(), download_policy="on_demand")
    store.repository("ark", (tmp_path / "feed").as_uri(), download_policy="on_demand")
    store.sync("zoo")
    [before] = [u for u in store.units("zoo", "erratum") if u.key["id"].endswith("001")]
    store.sync("ark")
    [after] = [u for u in store.units("zoo", "erratum") if u.key["id"].endswith("001")]
    names = [one["name"] for one in before.metadata["pkglist"]]
    assert names
    assert [one["name"] for one in after.metadata["pkglist"]] == [
        *names,
        *(f"ark-{name}" for name in names),
    ]
    for repo_id in ("zoo", "ark"):
        assert store.counts(repo_id, force_full=True) == (0, 0, 0)


def test_retain_old_count(tmp_path: Path, store: Site) -> None:
    """Of each name and architecture n older versions stay; what goes is not even downloaded."""
    store.repository("zoo", SAMPLE.as_uri(), retain_old_count=0)
    store.sync("zoo")
    names = store.filenames("zoo")
    # the one with an epoch
    assert {name for name in names if name.startswith("candle-")} == {"candle-1.2-3.noarch.rpm"}
    assert {name for name in names if name.startswith("organ-4")} == {
        "organ-4.0~rc1-1.x86_64.rpm",
        "organ-4.0~rc1-1.aarch64.rpm",
    }
    # streams of modules stand beside each other
    assert len([name for name in names if name.startswith("choir-")]) == 6
    assert len(artifacts(store, "zoo")) == len(names) == store.rows()["artifacts"] - 1
    assert store.rows()["units"] == sum(store.unit_counts("zoo").values())
    added, _, removed = store.counts("zoo", retain_old_count=1)
    assert added > 0
    assert removed == 0
    assert store.counts("zoo", retain_old_count=0) == (0, 0, added)


def test_type_skip_list(store: Site, server: FeedServer) -> None:
    """Skipped types are neither downloaded nor touched, and their stages say so."""
    store.repository("zoo", server.url, remove_missing=True)
    skipped = ["rpm", "srpm", "drpm", "erratum", "distribution", "modulemd", "modulemd_defaults"]
    store.sync("zoo", type_skip_list=skipped)
    assert set(store.unit_counts("zoo")) == {
        "package_group",
        "package_category",
        "package_environment",
        "package_langpacks",
        "yum_repo_metadata_file",
    }
    states = {name: stage["state"] for name, stage in store.reports[-1][0].items()}
    assert [name for name, state in states.items() if state == "SKIPPED"] == [
        "content",
        "distribution",
        "modules",
        "errata",
    ]
    assert not server.count("*updateinfo*")
    store.sync("zoo")
    assert store.unit_counts("zoo") == _SAMPLE
    assert store.counts("zoo", type_skip_list=skipped) == (0, 0, 0)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_every_compression(tmp_path: Path, store: Site, suffix: str) -> None:
    """Metadata come in whatever they are packed with."""
    feed = variants.repacked(tmp_path / "feed", suffix)
    store.repository("zoo", feed.as_uri(), download_policy="on_demand")
    store.sync("zoo")
    assert store.unit_counts("zoo") == _SAMPLE


@pytest.mark.parametrize(
    "algorithm", ["md5", "sha", "sha1", "sha224", "sha256", "sha384", "sha512"]
)
def test_checksum_types(tmp_path: Path, store: Site, algorithm: str) -> None:
    """Packages are verified by whatever checksum the feed has, if the settings allow it."""
    feed = variants.listed_with(tmp_path / "feed", algorithm)
    store.repository("zoo", feed.as_uri())
    kind = "sha1" if algorithm == "sha" else algorithm
    store.limits(checksum_types=("sha256",) if kind != "sha256" else ("sha1",))
    with pytest.raises(Unparsable, match=kind):
        store.sync("zoo")
    store.limits(checksum_types=(kind,))
    store.sync("zoo")
    assert store.unit_counts("zoo") == _SAMPLE
    assert {unit.package.checksum_type for unit in store.units("zoo", "rpm") if unit.package} == {
        kind
    }


@pytest.mark.parametrize(
    ("build", "packages"), [(variants.empty, 0), (variants.bare, 42), (variants.sparse, 42)]
)
def test_little_metadata(tmp_path: Path, store: Site, build: object, packages: int) -> None:
    """A feed may be empty, have packages only, or tell neither sizes nor open checksums."""
    feed = tmp_path / "feed"
    assert callable(build)
    build(feed)
    store.repository("zoo", feed.as_uri())
    store.sync("zoo")
    assert store.unit_counts("zoo").get("rpm", 0) == packages
    assert store.counts("zoo") == (0, 0, 0)


def test_extra_metadata_change(tmp_path: Path, store: Site) -> None:
    """A metadata file that is kept as it is comes anew when it changes."""
    feed = tmp_path / "feed"
    draft = Draft(feed)
    store.repository("zoo", feed.as_uri())
    store.sync("zoo")
    draft.put("inventory", b"one bell", suffix=".gz")
    draft.save()
    assert store.counts("zoo") == (0, 1, 0)
    [extra] = store.units("zoo", "yum_repo_metadata_file")
    assert extra.artifact == sha256(draft.file("inventory").read_bytes()).hexdigest()
    with store.storage.read() as transaction:
        revision = transaction.repositories.get("zoo").content_revision
    assert revision == 3
    draft.drop("inventory")
    assert store.counts("zoo") == (0, 0, 0)
    assert store.counts("zoo", remove_missing=True) == (0, 0, 1)


def test_source_packages(tmp_path: Path, store: Site) -> None:
    """Source packages are units of a type of their own."""
    feed = tmp_path / "feed"
    draft = Draft(feed)
    draft.edit("primary", "<arch>noarch</arch>", "<arch>src</arch>")
    draft.edit("filelists", 'arch="noarch"', 'arch="src"')
    draft.edit("other", 'arch="noarch"', 'arch="src"')
    store.repository("zoo", feed.as_uri())
    store.sync("zoo", type_skip_list=["rpm"])
    assert store.unit_counts("zoo")["srpm"] == 1
    assert "rpm" not in store.unit_counts("zoo")


def test_failure_takes_out_what_came_in(store: Site, server: FeedServer) -> None:
    """A failure in the last transaction leaves neither units nor files."""
    store.repository("zoo", server.url)
    writes = 0

    def fail() -> None:
        nonlocal writes
        writes += 1
        if writes == 3:
            raise PulpitError("the database is gone")

    store.before_write = fail
    with pytest.raises(PulpitError, match="the database is gone"):
        store.sync("zoo")
    assert store.reports[-1][0]["purge_duplicates"]["state"] == "FAILED"
    assert not any(store.rows().values())
    assert not store.stored()


@pytest.mark.parametrize("when", [2, 3])
def test_orphans_removed_meanwhile(store: Site, server: FeedServer, when: int) -> None:
    """Units that somebody removes as orphans do not come back by halves: the sync says so."""
    store.repository("zoo", server.url)
    writes = 0

    def remove() -> None:
        nonlocal writes
        writes += 1
        if writes == when:
            with store.storage.write() as transaction:
                _, digests = transaction.content.remove_orphans()
                store.files.remove(digests)

    store.before_write = remove
    with pytest.raises(ContentError, match="removed as orphans"):
        store.sync("zoo")
    assert not any(store.rows().values())
    assert not store.stored()
    assert store.counts("zoo") == (_TOTAL, 0, 0)
    assert all(len(unit.chunks) == 3 for unit in store.units("zoo", "rpm"))


def test_one_missing_package_of_many(tmp_path: Path, store: Site) -> None:
    """One package that can't be had fails the sync; the report lists each one."""
    feed = variants.sample(tmp_path / "feed")
    (feed / "noarch/bell-1.0-1.noarch.rpm").unlink()
    rotten = feed / "noarch/bell-1.0-2.noarch.rpm"
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"?")
    store.repository("zoo", feed.as_uri())
    with pytest.raises(DownloadFailed, match=r"bell-1\.0.*\(2 of 42 packages failed\)"):
        store.sync("zoo")
    content = store.reports[-1][0]["content"]
    assert content["state"] == "FAILED"
    assert content["items_left"] == 2
    details = {one["name"]: one for one in content["error_details"]}
    assert details["bell-1.0-1.noarch.rpm"]["error"] == "Not Found"
    assert details["bell-1.0-2.noarch.rpm"]["error_code"] == "checksum_mismatch"
    assert not store.stored()


def test_configurations_that_cannot_be_used(store: Site) -> None:
    """A sync without a feed, or overridden with nonsense, says so."""
    store.repository("zoo", SAMPLE.as_uri())
    with pytest.raises(NoFeed):
        store.sync("zoo", feed=None)
    with pytest.raises(InvalidValue, match="ftp"):
        store.sync("zoo", feed="ftp://chapel.example/repo")
    with pytest.raises(InvalidValue, match="certificate"):
        store.sync("zoo", ssl_ca_cert="no certificate")
