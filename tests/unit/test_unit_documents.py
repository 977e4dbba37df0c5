"""Documents of units: what is made for clients of what is kept."""

from __future__ import annotations

from typing import Any

import createrepo_c
import pytest
import zstandard

from pulpit.content.rpm.package_lists import package_lists
from pulpit.domain.associations import PREFIX, parse_unit_criteria
from pulpit.domain.unit_documents import MADE, unit_document, wanted_of
from pulpit.domain.units import Unit
from tests.contract.databases import new_erratum, new_package


def _document(unit: Unit, **options: Any) -> dict[str, Any]:
    return unit_document(unit, made={}, storage_path=None, **options)


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ([{"buildrequires": {"a": ["1"]}, "requires": {"b": ["1", "2"], "c": []}}], 0),
        ({"requires": {"b": "1"}}, 1),
        ([{"b": ["x"]}], 2),
        ([{"buildrequires": {"a": ["1"]}}], 3),
        (None, 3),
        ("nonsense", 3),
    ],
)
def test_a_module_needs_what_it_requires(kept: Any, shown: int) -> None:
    """Whichever version of the module's document was kept, Pulp 2's list of streams is shown."""
    expected: list[Any] = [[{"b": ["1", "2"], "c": []}], [{"b": ["1"]}], [{"b": ["x"]}], []]
    key = {"name": "a", "stream": "b", "version": 1, "context": "c", "arch": "noarch"}
    module = Unit(uid="m", type_id="modulemd", key=key, metadata={"dependencies": kept})
    assert _document(module)["dependencies"] == expected[shown]


def test_what_is_kept_can_not_pass_for_something_else() -> None:
    """Metadata from a feed or an upload take the place of no field that the server answers for."""
    lies = {"_id": "x", "_href": "x", "_content_type_id": "x", "name": "x", "_storage_path": "x"}
    document = _document(new_package("bell", metadata=lies))
    assert "x" not in {document[name] for name in ("_id", "_href", "_content_type_id", "name")}
    assert document["_storage_path"] is None


def test_old_units_have_what_they_have() -> None:
    """A unit of an older database lacks what was not kept then, and nothing else."""
    document = _document(new_erratum("E1"))
    assert (document["id"], document["_last_updated"]) == ("E1", None)
    assert document["pulp_user_metadata"] == {}


def test_chunks_are_read_only_for_what_is_wanted() -> None:
    """What is large is made for those who ask for it by name."""
    assert wanted_of(None) == MADE - {"repodata"}
    assert wanted_of(["name", "files.file", "repodata.primary"]) == {"files", "repodata"}


def _chunks(name: str = "bell") -> tuple[bytes, ...]:
    """Return the chunks of a package."""
    package = createrepo_c.Package()
    package.name, package.arch, package.version, package.release = name, "noarch", "1", "2"
    package.epoch, package.pkgId, package.checksum_type = "0", "ab" * 32, "sha256"
    package.location_href = "a.rpm"
    package.requires = [("lib", "GE", "0", "2", None, False), ("any", None, None, None, None, True)]
    package.files = [("", "/usr/", "a"), ("dir", "/usr/", "b"), ("ghost", "/var/", "c")]
    package.changelogs = [("A <a@b> - 1", 5, "- new")]
    texts = (
        createrepo_c.xml_dump_primary(package),
        createrepo_c.xml_dump_filelists(package),
        createrepo_c.xml_dump_other(package),
    )
    return tuple(zstandard.ZstdCompressor().compress(text.encode()) for text in texts)


def test_lists_of_a_package() -> None:
    """Dependencies, files and changes come as Pulp 2 had them."""
    made = package_lists(_chunks(), MADE)
    assert made.keys() == MADE
    nothing = dict.fromkeys(("flags", "epoch", "version", "release"))
    # what is needed before installing comes first
    assert made["requires"] == [
        {"name": "any", **nothing},
        {"name": "lib", "flags": "GE", "epoch": "0", "version": "2", "release": None},
    ]
    assert made["files"] == {"file": ["/usr/a"], "dir": ["/usr/b"], "ghost": ["/var/c"]}
    assert made["changelog"] == [[5, "A <a@b> - 1", "- new"]]
    assert made["repodata"]["filelists"].startswith("<package")


@pytest.mark.parametrize(
    "broken",
    [
        (),
        (b"no zstd", b"", b"\xff"),
        tuple(zstandard.ZstdCompressor().compress(text) for text in (b"\xff", b"<a", b"<a/>")),
    ],
)
def test_lists_of_a_broken_package_are_empty(broken: tuple[bytes, ...]) -> None:
    """What can't be read is shown as nothing, and fails nobody."""
    made = package_lists(broken, MADE)
    assert (made["requires"], made["changelog"]) == ([], [])
    assert made["files"] == {"file": [], "dir": [], "ghost": []}
    assert made["header_range"] == {"start": 0, "end": 0}


def test_criteria_of_units() -> None:
    """Both sides are read into one search; an association's names stand apart from a unit's."""
    parsed = parse_unit_criteria(
        {
            "type_ids": ["rpm"],
            "filters": {"unit": {"name": "a"}, "association": {"created": "b"}},
            "sort": {"unit": [["name", 1]], "association": [["created", -1]]},
            "fields": {"unit": ["name"], "association": []},
            "limit": 3,
            "skip": None,
            "remove_duplicates": True,
        }
    )
    assert parsed.sort == ((f"{PREFIX}created", False), ("name", True))
    assert (parsed.limit, parsed.skip, parsed.type_ids) == (3, 0, frozenset({"rpm"}))
    assert (parsed.fields, parsed.association_fields) == (("name",), None)
    assert parse_unit_criteria(None).limit is None
