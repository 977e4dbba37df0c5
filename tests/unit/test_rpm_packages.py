"""Packages out of primary, filelists and other, whatever order and form these have."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import createrepo_c
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pulpit.content.rpm.fragments import Fragments
from pulpit.content.rpm.packages import Packages
from pulpit.domain.units import Unit
from pulpit.errors import Unparsable
from tests.feeds import Draft

_ROOTS = {"primary": "metadata", "filelists": "filelists", "other": "otherdata"}
_URL = "http://chapel.example/"


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """Return a feed that is open to changes."""
    return Draft(tmp_path / "feed")


def packages_of(draft: Draft) -> Packages:
    """Return the reader of a feed's packages."""
    fragments = [
        Fragments(draft.file(kind), url=_URL + kind, root=root, limit=1 << 24, expected=None)
        for kind, root in _ROOTS.items()
    ]
    return Packages(*fragments, checksum_types=("sha256",))


def units(draft: Draft) -> dict[str, Unit]:
    """Return filename to unit of all packages."""
    reader = packages_of(draft)
    made = [reader.unit(one, artifact=None) for batch in reader.batches() for one in batch]
    return {unit.package.filename: unit for unit in made if unit.package}


def chunks(unit: Unit) -> list[str]:
    """Return a unit's three elements."""
    expand = zstandard.ZstdDecompressor().decompress
    return [expand(chunk).decode() for chunk in unit.chunks]


def refused(draft: Draft) -> str:
    """Fail to read the packages; return why."""
    with pytest.raises(Unparsable) as caught:
        units(draft)
    assert _URL in caught.value.message
    return caught.value.message


def facts(unit: Unit) -> list[object]:
    """Return what createrepo_c reads out of a unit's elements."""
    found: list[object] = []
    primary, filelists, other = chunks(unit)

    def keep(package: createrepo_c.Package) -> None:
        found.extend([package.name, package.location_href, package.requires, package.provides])

    createrepo_c.xml_parse_primary_snippet(primary, pkgcb=keep)
    for parse, text in (
        (createrepo_c.xml_parse_filelists_snippet, filelists),
        (createrepo_c.xml_parse_other_snippet, other),
    ):
        parse(text, pkgcb=lambda package: found.extend([package.files, package.changelogs]))
    return found


def test_elements_are_kept(draft: Draft) -> None:
    """Elements of a usual feed are kept as they are, but for the location."""
    [bell] = [unit for name, unit in units(draft).items() if name == "bell-1.0-1.noarch.rpm"]
    primary, filelists, other = chunks(bell)
    assert '<location href="Packages/b/bell-1.0-1.noarch.rpm"/>' in primary
    assert primary.replace("Packages/b/", "noarch/").strip() in draft.text("primary")
    assert filelists.strip() in draft.text("filelists")
    assert other.strip() in draft.text("other")


def _comment(draft: Draft, kind: str) -> None:
    draft.edit(kind, "</package>", "<!-- a remark --></package>")


def _cdata(draft: Draft, kind: str) -> None:
    draft.edit(kind, "<version ", "<![CDATA[ ]]><version ")


def _instruction(draft: Draft, kind: str) -> None:
    draft.edit(kind, "</package>", "<?php 1 ?></package>")


def _head(draft: Draft, kind: str) -> None:
    draft.edit(kind, r' xmlns="[^"]*"', "")
    if kind == "primary":
        draft.edit(kind, r' xmlns:rpm="[^"]*"', ' xmlns:rpm="urn:x"')


def _prefix(draft: Draft, kind: str) -> None:
    draft.edit(kind, "</package>", "<x:y/></package>")


@pytest.mark.parametrize("kind", _ROOTS)
@pytest.mark.parametrize("change", [_comment, _cdata, _instruction, _head, _prefix])
def test_unusual_elements_are_written_anew(
    draft: Draft, tmp_path: Path, change: Callable[[Draft, str], None], kind: str
) -> None:
    """What can't be kept is written anew, and says the same."""
    usual = {name: facts(unit) for name, unit in units(draft).items()}
    change(draft, kind)
    changed = units(draft)
    assert {name: facts(unit) for name, unit in changed.items()} == usual
    for unit in changed.values():
        assert not re.search(r"<!|<\?|x:y", "".join(chunks(unit)))


@pytest.mark.parametrize("kind", _ROOTS)
@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        # one element that is no package by itself, then another that is none either
        (r"</package>\s*<package", "<!-- </package><package --> </package><package"),
        (r"(?s)</package>(\s*<package.*?)</package>", r"<!-- </package>\1--></package>"),
        ("</package>", "<![CDATA[</package>]]></package>"),
        ("</package>", ""),
        ("<package", "<package/><package"),
        ("<version ", "<version <"),
        ("</package>", "&undefined;</package>"),
        ("</package>", "\x01</package>"),
    ],
)
def test_broken_elements(draft: Draft, kind: str, pattern: str, by: str) -> None:
    """Elements that hide the end of a package, or are not well-formed, are refused."""
    draft.edit(kind, pattern, by)
    assert kind in refused(draft)


@pytest.mark.parametrize("kind", ["filelists", "other"])
def test_any_order(draft: Draft, kind: str) -> None:
    """The three files may list the packages in different orders."""
    before = {name: chunks(unit) for name, unit in units(draft).items()}
    head, *elements = re.split(r"(?=<package )", draft.text(kind))
    last, closing = elements[-1].split("</package>")
    elements[-1] = f"{last}</package>\n"
    draft.put(kind, head + "".join(reversed(elements)) + closing)
    assert {name: chunks(unit) for name, unit in units(draft).items()} == before


def test_listed_twice(draft: Draft) -> None:
    """A package that is listed twice comes once; another with the same pkgid is a lie."""
    number = len(units(draft))
    for kind in _ROOTS:
        draft.edit(kind, r'packages="\d+"', f'packages="{number + 1}"')
        draft.edit(kind, r"(?s)(<package .*?</package>)", r"\1\1")
    assert len(units(draft)) == number
    draft.edit("primary", 'ver="1.0" rel="1"', 'ver="1.0" rel="9"')
    assert "have the same pkgid" in refused(draft)


@pytest.mark.parametrize("kind", _ROOTS)
@pytest.mark.parametrize(
    ("pattern", "by", "reason"),
    [
        ("</(metadata|filelists|otherdata)>", "", "cut off"),
        ("<(metadata|filelists|otherdata)", "<metadatum", "not well-formed|not a document of"),
        (r'packages="\d+"', 'packages="7"', "says 7 packages"),
        (r'encoding="UTF-8"', 'encoding="ISO-8859-1"', "UTF-8"),
        (r"<\?xml[^>]*>", '<!DOCTYPE x [<!ENTITY e "">]>', "not well-formed"),
        (r"(?s)^.*$", "<html><body>Log in</body></html>", "not a document of|cut off"),
        (r"(?s)^.*$", "", "not well-formed"),
    ],
)
def test_broken_documents(draft: Draft, kind: str, pattern: str, by: str, reason: str) -> None:
    """A document that is cut off, of another kind, or with entities is refused."""
    draft.edit(kind, pattern, by)
    assert re.search(reason, refused(draft))


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        ("<name>bell</name>", "<name>be/ll</name>"),
        ("<name>bell</name>", "<name></name>"),
        ('epoch="0"', 'epoch="zero"'),
        ('epoch="0"', f'epoch="{"9" * 11}"'),
        ('rel="1"', 'rel="1&quot;&gt;"'),
        ('rel="1"', f'rel="{"1" * 300}"'),
        ("<arch>noarch</arch>", "<arch>../..</arch>"),
        ('pkgid="YES">[0-9a-f]', 'pkgid="YES">'),
        ('type="sha256" pkgid', 'type="md5" pkgid'),
        ('href="noarch/bell', 'href="noarch/bell&#10;'),
    ],
)
def test_names_that_no_package_has(draft: Draft, pattern: str, by: str) -> None:
    """Names, versions, checksums and places that would do harm elsewhere are refused."""
    draft.edit("primary", pattern, by)
    refused(draft)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(where=st.floats(0, 1), junk=st.sampled_from(["<", ">", "&", "</package>", "<package ", '"']))
def test_junk_anywhere(tmp_path_factory: pytest.TempPathFactory, where: float, junk: str) -> None:
    """Junk at any place of primary gives packages or the one error, and whole elements only."""
    draft = Draft(tmp_path_factory.mktemp("junk") / "feed")
    text = draft.text("primary")
    place = int(len(text) * where)
    draft.put("primary", text[:place] + junk + text[place:])
    try:
        made = units(draft)
    except Unparsable:
        return
    for unit in made.values():
        assert facts(unit)
