"""Which keys packages are signed with is known after a sync, and asked for by some importers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import createrepo_c
import pytest

from pulpit.errors import InvalidValue
from tests.feeds import SAMPLE
from tests.synced import Site, site
from tests.uploaded import SIGNED

_CANDLE = SAMPLE / "noarch" / "candle-1.2-3.noarch.rpm"
_KEY = "e4d9c3c2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Site]:
    """Yield an empty store."""
    with site(tmp_path / "data") as opened:
        yield opened


def feed_of(folder: Path, *packages: Path) -> str:
    """Make a feed of packages; return its URL."""
    folder.mkdir()
    with createrepo_c.RepositoryWriter(
        str(folder), num_packages=len(packages), compression=createrepo_c.GZ_COMPRESSION
    ) as writer:
        for path in packages:
            shutil.copyfile(path, folder / path.name)
            writer.add_pkg_from_file(str(folder / path.name))
    return f"file://{folder}"


def _keys(store: Site, repo_id: str) -> dict[str, object]:
    """Return the keys of the packages of a repository, by name."""
    units = store.units(repo_id, "rpm")
    return {unit.key["name"]: unit.metadata.get("signing_key") for unit in units}


def test_a_sync_tells_keys(store: Site, tmp_path: Path) -> None:
    """Of what it downloads, and of what it finds in the store; not of what it has not seen."""
    feed = feed_of(tmp_path / "feed", SIGNED, _CANDLE)
    store.repository("later", feed, download_policy="on_demand")
    store.sync("later")
    assert _keys(store, "later") == {"bell": None, "candle": None}
    store.repository("now", feed)
    store.sync("now")
    assert _keys(store, "now") == {"bell": _KEY, "candle": None}
    other = feed_of(tmp_path / "other", SIGNED)
    store.repository("again", other, download_policy="on_demand")
    store.sync("again")
    assert _keys(store, "again") == {"bell": _KEY}


def test_packages_without_the_right_signature_stay_out(store: Site, tmp_path: Path) -> None:
    """They are counted, and nothing of them is left in the store; the others come in."""
    store.repository("zoo", feed_of(tmp_path / "feed", SIGNED, _CANDLE), require_signature=True)
    result = store.sync("zoo")
    assert result["result"] == "success"
    assert result["added_count"] == 1
    assert result["details"]["content"]["error_details"] == [
        {"error_code": "invalid_package_signature", "count": 1}
    ]
    assert store.filenames("zoo") == {SIGNED.name}
    assert store.rows()["units"] == store.rows()["artifacts"] == 1
    result = store.sync("zoo", require_signature=False, allowed_keys=["12345678"])
    # what is there stays, as in Pulp 2; what is not signed is signed with no wrong key
    assert store.filenames("zoo") == {SIGNED.name, _CANDLE.name}
    assert result["details"]["content"]["error_details"] == []


def test_a_refused_package_replaces_none(store: Site, tmp_path: Path) -> None:
    """The one of the same version that is there stays."""
    unsigned = SAMPLE / "noarch" / SIGNED.name
    store.repository("zoo", feed_of(tmp_path / "feed", unsigned))
    store.sync("zoo")
    before = store.units("zoo", "rpm")
    feed = feed_of(tmp_path / "other", SIGNED)
    store.sync("zoo", feed=feed, allowed_keys="12345678")
    assert store.units("zoo", "rpm") == before
    store.sync("zoo", feed=feed, allowed_keys=_KEY)
    assert _keys(store, "zoo") == {"bell": _KEY}


@pytest.mark.parametrize("policy", ["on_demand", "background"])
def test_signatures_want_files(store: Site, tmp_path: Path, policy: str) -> None:
    """An importer that downloads nothing can't ask for them, and says so."""
    feed = feed_of(tmp_path / "feed", SIGNED)
    store.repository("zoo", feed, download_policy=policy, require_signature=True)
    with pytest.raises(InvalidValue) as caught:
        store.sync("zoo")
    assert "immediate" in caught.value.message
