"""What is made of the file that describes an installation tree, and of delta packages."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.deltas import FeedDelta, parse_deltas, relocated_delta
from pulpit.content.rpm.trees import Tree, parse_treeinfo, treeinfo_of
from pulpit.domain.units import UnitFile, unit_key_digest
from pulpit.errors import Unparsable

_TYPES = ("sha1", "sha256")
_GENERAL = "[general]\nfamily = F\nvariant = V\nversion = 1\narch = x86_64\n"
_SUM = "sha256:" + "ab" * 32
_DELTA = (
    '<prestodelta><newpackage name="bell" epoch="" version="2" release="1" arch="noarch">'
    '<delta oldepoch="0" oldversion="1" oldrelease="1"><filename>{place}</filename>'
    "<sequence>{sequence}</sequence><size>{size}</size>"
    '<checksum type="{kind}">{digits}</checksum></delta></newpackage></prestodelta>'
)
_RIGHT = {
    "place": "drpms/b.drpm",
    "sequence": "bell-1-1-ab",
    "size": "5",
    "kind": "sha256",
    "digits": "AB" * 32,
}


def tree(text: str) -> Tree:
    """Return what the text describes."""
    return parse_treeinfo(
        text.encode(), name=".treeinfo", url="http://x/.treeinfo", checksum_types=_TYPES
    )


def deltas(**changes: Any) -> list[FeedDelta]:
    """Return the deltas of a document with one, which is right but for the changes."""
    text = _DELTA.format(**{**_RIGHT, **changes})
    return [*parse_deltas(iter([text.encode()]), url="http://x/p.xml", checksum_types=_TYPES)]


def test_tree() -> None:
    """Files come from checksums, images and stage2, the rest from the general section."""
    found = tree(
        f"# old\n{_GENERAL}timestamp = 12.5\npackagedir = Server/\n"
        f"[checksums]\nb.img = {_SUM}\n.treeinfo = {_SUM}\nrepodata/repomd.xml = {_SUM}\n"
        "[images-x86_64]\nkernel = a\nsame = b.img\n[stage2]\nmain = c\n[tree]\nx = y\n"
    )
    assert [file.path for file in found.files] == ["a", "b.img", "c"]
    assert found.files[1] == UnitFile(path="b.img", checksum_type="sha256", checksum="ab" * 32)
    document = found.document
    assert document.key["distribution_id"] == "ks-F-V-1-x86_64"
    assert document.metadata["timestamp"] == 12.5
    assert document.metadata["packagedir"] == "Server"
    assert document.metadata["files"][0] == {
        "relativepath": "a",
        "checksumtype": None,
        "checksum": None,
    }
    name, text = treeinfo_of(document.unit())
    assert name == ".treeinfo"
    assert b"repomd" not in text
    assert b"b.img = sha256:" in text


@pytest.mark.parametrize(
    "text",
    [
        "[general]\nfamily = F\n",
        _GENERAL.replace("F", "F/../.."),
        "no section\n" + _GENERAL,
        _GENERAL + "no value\n",
        _GENERAL + "packagedir = ../x\n",
        _GENERAL + "[checksums]\na = sha256\n",
        _GENERAL + f"[checksums]\na = md5:{'ab' * 16}\n",
        _GENERAL + f"[checksums]\n../a = {_SUM}\n",
        _GENERAL + f"[checksums]\n/a = {_SUM}\n",
        _GENERAL + "[images-x]\na = http://x/y\n",
        _GENERAL + "[images-x]\na =\n",
        _GENERAL + "x" * 9000,
        _GENERAL + "\n" * 50_001,
        _GENERAL + "[stage2]\n" + "".join(f"{n} = {n}\n" for n in range(10_001)),
    ],
    ids=range(14),
)
def test_bad_tree(text: str) -> None:
    """A tree that leads elsewhere, or can't be checked, or is too large, is refused."""
    with pytest.raises(Unparsable, match="treeinfo"):
        tree(text)


def test_delta() -> None:
    """A delta is a unit with a file; its element names where it is published."""
    [found] = deltas()
    unit = found.unit(artifact=None)
    assert (unit.key["filename"], unit.key["checksum"]) == ("drpms/b.drpm", "ab" * 32)
    assert unit_key_digest("drpm", unit.key) == found.digest
    assert unit.package is not None
    assert (unit.package.name, unit.package.epoch, unit.package.size) == ("bell", "0", 5)
    assert unit.metadata == {
        "new_package": "bell",
        "arch": "noarch",
        "sequence": "bell-1-1-ab",
        "oldepoch": "0",
        "oldversion": "1",
        "oldrelease": "1",
    }
    moved = relocated_delta(found.text, "drpms/a&b.drpm")
    assert b"<filename>drpms/a&amp;b.drpm</filename>" in moved
    [again] = parse_deltas(
        iter([b"<deltainfo>" + moved + b"</deltainfo>"]), url="", checksum_types=_TYPES
    )
    assert again.metadata == found.metadata


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("place", "../b.drpm"),
        ("place", ""),
        ("sequence", "a\nb"),
        ("size", "-1"),
        ("size", ""),
        ("kind", "md5"),
        ("kind", "crc7"),
        ("digits", "ab"),
    ],
)
def test_bad_delta(key: str, value: str) -> None:
    """A delta that can't be checked, or lies elsewhere, is refused."""
    with pytest.raises(Unparsable, match="delta"):
        deltas(**{key: value})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[general]", "[checksums]", "[", "a = b", "=", _SUM, "a", "../x = y", "\0"]
        )
        | st.text(max_size=5),
        max_size=12,
    )
)
def test_any_text(lines: list[str]) -> None:
    """Whatever stands in such a file, it is a tree or refused."""
    with suppress(Unparsable):
        found = tree(_GENERAL + "\n".join(lines))
        assert all(".." not in file.path.split("/") for file in found.files)
