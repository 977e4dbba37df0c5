"""Errata, groups and the like as JSON become the same units as those of a feed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.comps import parse_comps
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.drafts import document_of
from pulpit.content.rpm.errata import parse_updateinfo
from pulpit.errors import InvalidValue
from tests.feeds import SAMPLE

_TYPES = (
    "erratum",
    "package_group",
    "package_category",
    "package_environment",
    "package_langpacks",
)
_PACKAGE = {"name": "bell", "epoch": "0", "version": "1", "release": "1", "arch": "noarch"}
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "packages", "sum", "module", "x"]), inner)
    ),
    max_leaves=8,
)
_FIELDS = (
    "id",
    "title",
    "issued",
    "references",
    "pkglist",
    "translated_name",
    "options",
    "matches",
    "conditional_package_names",
    "mandatory_package_names",
    "default",
)


def _of_feed() -> Iterator[Document]:
    """Yield what the sample feed has."""
    for path in (SAMPLE / "repodata").iterdir():
        if path.name.endswith("updateinfo.xml.gz"):
            yield from parse_updateinfo(iter([gzip.decompress(path.read_bytes())]), url="u")
        elif path.name.endswith("comps.xml"):
            yield from parse_comps(iter([path.read_bytes()]), url="c", repo_id="chapel")


def test_what_a_feed_has_can_be_sent() -> None:
    """Fields that clients are shown make the same unit again; other fields change nothing."""
    found = list(_of_feed())
    assert {document.type_id for document in found} == set(_TYPES)
    for document in found:
        values = {**document.metadata, **document.key, "_href": "/x/", "nonsense": [1]}
        again = document_of(document.type_id, values, repo_id="chapel")
        assert (again.key, again.metadata) == (document.key, document.metadata)
        twice = document_of(document.type_id, {**again.metadata, **again.key}, repo_id="chapel")
        assert not twice.differs(again.unit())


def test_an_erratum_of_a_client_is_told_whole() -> None:
    """As clients of Pulp 2 send them: sums in a list, what is suggested by true or false."""
    sums = ["md5", "0" * 32, "sha256", "1" * 64]
    values: Mapping[str, Any] = {
        "id": "RHSA-1",
        "from": "a@b.example",
        "version": 3,
        "issued": "2026-01-02 03:04:05 UTC",
        "reboot_suggested": False,
        "references": [{"href": "http://x/?a=1&b=<>", "type": "cve", "id": None, "title": '"'}],
        "pkglist": [
            {
                "name": "c",
                "short": "",
                "module": {"name": "m", "stream": "1.0", "version": "2", "context": "c"},
                "packages": [
                    {**_PACKAGE, "filename": "b.rpm", "sum": sums, "reboot_suggested": True}
                ],
            },
            {"name": "empty", "packages": None},
        ],
    }
    found = document_of("erratum", values, repo_id="chapel").metadata
    assert (found["from"], found["version"], found["title"]) == ("a@b.example", "3", None)
    [first, second] = found["pkglist"]
    [package] = first["packages"]
    assert package["sum"] == sums
    assert package["reboot_suggested"] is True
    assert first["module"] == {"name": "m", "stream": "1.0", "version": "2", "context": "c"}
    assert second["packages"] == []
    assert found["references"][0]["href"] == "http://x/?a=1&b=<>"
    plain = document_of("erratum", {"id": "E", "reboot_suggested": False}, repo_id="c")
    assert "reboot" not in plain.text


@pytest.mark.parametrize(
    ("type_id", "values", "says"),
    [
        ("erratum", {}, "usable id"),
        ("erratum", {"id": "x\n"}, ""),
        ("erratum", {"id": "x" * 256}, "usable id"),
        ("erratum", {"id": ["x"]}, "id (must be a string"),
        ("erratum", {"id": "E", "title": "\x1b[0m"}, "title (holds"),
        ("erratum", {"id": "E", "title": True}, "title (must be"),
        ("erratum", {"id": "E", "pkglist": {"x": 1}}, "pkglist (must be a list"),
        ("erratum", {"id": "E", "pkglist": ["x"]}, "pkglist (must be a list"),
        ("erratum", {"id": "E", "pkglist": [{"module": "m"}]}, "pkglist.module"),
        ("erratum", {"id": "E", "pkglist": [{"packages": [{"sum": ["x"]}]}]}, "packages.sum"),
        ("package_group", {"name": "n"}, "usable id"),
        ("package_group", {"id": "g", "mandatory_package_names": "x"}, "list of strings"),
        ("package_group", {"id": "g", "conditional_package_names": [["x"]]}, "list of pairs"),
        ("package_group", {"id": "g", "translated_name": ["de"]}, "translated_name"),
        ("package_environment", {"id": "e", "options": [{"group": {}}]}, "options.group"),
        ("package_langpacks", {"matches": [1]}, "matches"),
    ],
)
def test_what_can_not_be_used_is_told(type_id: str, values: Mapping[str, Any], says: str) -> None:
    """By the name of the field."""
    if not says:
        # what is around an id is no part of it
        assert document_of(type_id, values, repo_id="c").key == {"id": "x"}
        return
    with pytest.raises(InvalidValue) as caught:
        document_of(type_id, values, repo_id="c")
    assert says in caught.value.message


@settings(max_examples=150)
@given(type_id=st.sampled_from(_TYPES), values=st.dictionaries(st.sampled_from(_FIELDS), _json))
def test_any_json_is_a_unit_or_refused(type_id: str, values: dict[str, Any]) -> None:
    """And what is a unit makes the same one again."""
    try:
        document = document_of(type_id, values, repo_id="c")
    except InvalidValue:
        return
    again = document_of(type_id, {**document.metadata, **document.key}, repo_id="c")
    assert again.metadata == document.metadata
