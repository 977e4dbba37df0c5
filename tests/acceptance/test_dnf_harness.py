"""Whether dnf, the judge of what we publish, sees in the sample feed what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feeds import SAMPLE, broken
from tests.services import dnf as dnf_service
from tests.services import missing
from tests.services.dnf import Dnf, DnfError
from tests.services.http import FeedServer


@pytest.fixture(scope="module")
def feed() -> Iterator[FeedServer]:
    """Yield a server of the sample feed."""
    if not dnf_service.installed():
        missing("dnf (as root)")
    with FeedServer(SAMPLE) as server:
        yield server


@pytest.fixture
def dnf(feed: FeedServer, tmp_path: Path) -> Dnf:
    """Return a machine that has the sample feed configured."""
    return Dnf(tmp_path / "machine", feed.url)


def test_it_lists_every_package(dnf: Dnf) -> None:
    """All packages are found, and modular ones only when they are enabled."""
    dnf.makecache()
    found = dnf.repoquery()
    assert len(found) == 42
    assert "candle-1:1.2-3.noarch" in found
    assert "organ-0:4.0~rc1-1.x86_64" in found
    # of the default stream alone, the highest version
    modular = [name for name in dnf.repoquery(all_modules=False) if name.startswith("choir")]
    assert {name.partition("module_")[2].partition("+")[0] for name in modular} == {"classical"}


def test_it_installs_with_dependencies(dnf: Dnf) -> None:
    """A package comes with what it needs, in the newest versions, and its files are there."""
    installed = dnf.install("steeple", "organ-3.2")
    assert installed == [
        "bell-0:2.0-1.noarch",
        "organ-0:3.2-1.x86_64",
        "organ-pipes-0:3.2-1.noarch",
        "steeple-0:1.0-1.x86_64",
    ]
    assert (dnf.system / "usr/share/chapel/bell/tone").read_text() == "ding 2.0-1\n"


def test_it_knows_groups_modules_and_errata(dnf: Dnf) -> None:
    """Comps, modules and errata are understood."""
    assert dnf.groups() == ["chapel-environment", "furniture", "music", "tower"]
    assert dnf.modules() == [
        ("choir", "classical [d]", "common [d], minimal"),
        ("choir", "gospel", "common, minimal [d]"),
    ]
    dnf.install("bell-1.0", "bell-rope-1.0", "window")
    assert dnf.updates() == ["bell", "bell-rope"]
    assert ("CHAPEL-2025:001", "bell-1.1-1.noarch") in dnf.errata()
    assert dnf.upgrade("bell-1.1", "bell-rope-1.1") == [
        "bell-0:1.1-1.noarch",
        "bell-rope-0:1.1-1.noarch",
        "window-0:7.0-1.x86_64",
    ]


def test_it_installs_a_group_and_a_module(dnf: Dnf) -> None:
    """A group brings its members; a stream that is enabled brings its packages."""
    installed = dnf.install("@tower")
    assert installed == ["bell-0:2.0-1.noarch", "bell-rope-0:2.0-1.noarch"]
    dnf.enable("choir:gospel")
    assert "choir-0:2.0-1.module_gospel+1.noarch" in dnf.install("choir")


def test_it_downloads(dnf: Dnf, tmp_path: Path) -> None:
    """A download and a whole copy of the repository have the bytes of the feed."""
    (file,) = dnf.download(tmp_path / "one", "candlestick")
    assert file.read_bytes() == (SAMPLE / "noarch" / file.name).read_bytes()
    assert len(dnf.reposync(tmp_path / "all")) == 42


def test_it_refuses_a_broken_repository(feed: FeedServer, tmp_path: Path) -> None:
    """Broken metadata fails: the judge does not pass everything."""
    with (
        FeedServer(broken.primary_differs(tmp_path / "feed")) as other,
        pytest.raises(DnfError, match="primary"),
    ):
        Dnf(tmp_path / "machine", other.url).makecache()
