"""The sample feed in the tree: what it holds, and that its script makes the same bytes again."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import createrepo_c
import pytest

from examples.feed.build import LATER, build, build_packages, toolchain
from tests.services import missing

FEED = Path(__file__).parents[2] / "examples" / "feed"
REPO = FEED / "repo"

#: The tools that made the committed bytes; others may write other headers.
MADE_BY = "rpm 4.18.0, createrepo_c 0.17.3"


def contents(top: Path, *folders: str) -> dict[str, bytes]:
    """Return the bytes of every file under the *folders* of *top*, by its relative path."""
    return {
        str(path.relative_to(top)): path.read_bytes()
        for folder in folders
        for path in sorted(top.joinpath(folder).rglob("*"))
        if path.is_file()
    }


def made(top: Path) -> dict[str, bytes]:
    """Build everything into *top* and return its bytes."""
    build(top / "repo")
    build_packages(LATER, top / "later")
    return contents(top, "repo", "later")


def test_built_again_it_has_the_same_bytes(tmp_path: Path) -> None:
    """The script makes the committed files again, every byte."""
    tools = toolchain()
    if tools is None:
        missing("rpmbuild and createrepo_c")
    built = made(tmp_path / "one")
    committed = contents(FEED, "repo", "later")
    if tools != MADE_BY:
        committed = made(tmp_path / "two")
    assert built.keys() == committed.keys()
    assert [name for name, data in built.items() if data != committed[name]] == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    """The script builds into a new folder only."""
    with pytest.raises(FileExistsError):
        build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_small() -> None:
    """The committed repository stays under 300 KB, so that a clone stays quick."""
    assert sum(map(len, contents(FEED, "repo", "later").values())) < 300_000


def test_it_is_varied() -> None:
    """The feed has 35 packages or more, of several names, versions, releases, architectures."""
    packages = list(createrepo_c.RepositoryReader.from_path(str(REPO)).iter_packages())
    assert len(packages) >= 35
    assert Counter(package.arch for package in packages).keys() == {"noarch", "x86_64", "aarch64"}
    assert len({package.name for package in packages}) >= 10
    assert {p.epoch for p in packages if p.name == "candle"} == {"0", "1"}
    editions = Counter(package.name for package in packages if package.arch != "aarch64")
    assert editions["bell"] == 4
    assert editions["organ"] == 3


def test_its_metadata_is_of_every_kind() -> None:
    """Errata, comps, modules and metadata of an unknown type stand in repomd.xml."""
    kinds = set(re.findall(r'<data type="(\w+)"', (REPO / "repodata/repomd.xml").read_text()))
    assert kinds == {
        "primary", "filelists", "other", "group", "group_gz", "updateinfo", "modules", "inventory",
    }  # fmt: skip


def test_its_errata_and_modules_name_packages_that_are_there() -> None:
    """Every package that an erratum or a module names is in the feed."""
    names = {path.name for path in REPO.rglob("*.rpm")}
    errata = createrepo_c.UpdateInfo(str(FEED / "metadata/updateinfo.xml"))
    listed = {p.filename for u in errata.updates for c in u.collections for p in c.packages}
    artifacts = re.findall(r"- (\S+)-0:(\S+)\n", (FEED / "metadata/modules.yaml").read_text())
    assert len(errata.updates) == 4
    assert listed <= names
    assert {f"{name}-{rest}.rpm" for name, rest in artifacts} <= names
    assert len(artifacts) == 6
