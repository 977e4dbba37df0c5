"""The feeds for tests: the good ones are whole and the bad ones are bad in the way they say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import createrepo_c
import pytest
import zstandard

from tests.feeds import BAD, SAMPLE, Bad, Draft, hostile, variants
from tests.feeds.draft import EXPANDERS, digest

GOOD: tuple[tuple[str, Callable[[Path], Path], int], ...] = (
    ("sample", variants.sample, 42),
    ("changed", variants.changed, 42),
    ("reduced", variants.reduced, 33),
    ("empty", variants.empty, 0),
    ("bare", variants.bare, 42),
    ("sparse", variants.sparse, 42),
    ("deltas", variants.with_deltas, 42),
    ("tree", variants.with_tree, 42),
    *((f"packed{suffix}", partial(variants.repacked, suffix=suffix), 42) for suffix in EXPANDERS),
    *(
        (algorithm, partial(variants.listed_with, algorithm=algorithm), 42)
        for algorithm in ("sha512", "sha1", "sha", "md5")
    ),
)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file under *folder*, by its relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("name", "build", "count"), GOOD, ids=[name for name, _, _ in GOOD])
def test_a_good_feed_is_whole(
    name: str, build: Callable[[Path], Path], count: int, tmp_path: Path
) -> None:
    """Every file is as repomd.xml says, and every package is as primary says."""
    dest = build(tmp_path / name)
    for record in createrepo_c.Repomd(str(dest / "repodata/repomd.xml")).records:
        data = (dest / record.location_href).read_bytes()
        assert digest(record.checksum_type, data) == record.checksum
        assert record.size in {len(data), 0}  # 0 where it is not said
    packages = list(createrepo_c.RepositoryReader.from_path(str(dest)).iter_packages())
    assert len(packages) == count
    for package in packages:
        data = (dest / package.location_href).read_bytes()
        assert digest(package.checksum_type, data) == package.pkgId
        assert package.size_package == len(data)
        assert package.files


def test_the_changed_feed_adds_and_removes_four(tmp_path: Path) -> None:
    """Against the sample the changed feed has four packages more and four less."""
    readers = map(
        createrepo_c.RepositoryReader.from_path,
        map(str, (SAMPLE, variants.changed(tmp_path / "x"))),
    )
    before, after = ({package.pkgId for package in reader.iter_packages()} for reader in readers)
    assert (len(after - before), len(before - after)) == (4, 4)


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_a_bad_feed_differs_from_the_sample(bad: Bad, tmp_path: Path) -> None:
    """Every bad feed is built, is not the sample, and stays below 70 MB on the disk."""
    dest = bad.build(tmp_path / "feed")
    files = contents(dest)
    assert sum(map(len, files.values())) < 70_000_000
    assert files != contents(SAMPLE)


def test_the_zstd_bomb_is_small_and_goes_off(tmp_path: Path) -> None:
    """The bomb is small on the wire and unpacks to gigabytes."""
    (packed,) = hostile.bomb_zstd(tmp_path / "feed").glob("repodata/*primary*zst")
    assert packed.stat().st_size < 1_000_000
    unpacked = 0
    with zstandard.open(packed, "rb") as stream:
        while unpacked < 1_000_000_000 and (piece := stream.read(1 << 24)):
            unpacked += len(piece)
    assert unpacked >= 1_000_000_000


def test_an_edit_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    """A pattern that is not there is told, so that no bad feed is good by mistake."""
    with pytest.raises(ValueError, match="nothing in primary"):
        Draft(tmp_path / "x").edit("primary", "no such words", "")
