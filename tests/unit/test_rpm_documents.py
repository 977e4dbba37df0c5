"""Errata, comps and modules as units, and documents that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import zstandard

from pulpit.content.rpm.comps import parse_comps
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.errata import parse_updateinfo
from pulpit.content.rpm.modules import parse_modules
from pulpit.content.rpm.yaml_documents import parse_document, split_documents
from pulpit.errors import Unparsable

_URL = "http://chapel.example/document"
_UPDATE = """<updates><update from="f" status="final" type="security" version="2">
<id>CVE-1</id><title>A &amp; b</title><severity>Low</severity><issued date="2025-01-01"/>
<references><reference href="http://x" id="1" title="t" type="cve"/></references>
<pkglist><collection short="s"><name>n</name><module name="choir" stream="a" version="1"
context="c" arch="x"/><package name="bell" version="1" release="2" epoch="0" arch="noarch"
src="bell.src.rpm"><filename>bell.rpm</filename><sum type="sha256">ab</sum>
<reboot_suggested>True</reboot_suggested></package></collection></pkglist>
</update></updates>"""
_COMPS = """<!DOCTYPE comps PUBLIC "-//x//DTD Comps info//EN" "comps.dtd"><comps>
<group><id>g</id><name>G</name><name xml:lang="de">GG</name><default>true</default>
<packagelist><packagereq type="conditional" requires="a">b</packagereq>
<packagereq>c</packagereq></packagelist></group>
<whiteout/><langpacks><match name="a" install="a-%s"/></langpacks></comps>"""
_MODULE = """---
document: modulemd
version: 2
data:
  name: choir
  stream: 1.10
  version: 20250101
  context: c0ffee
  arch: x86_64
  summary: "---"
  artifacts: {rpms: [a-0:1-1.noarch]}
  profiles: {common: {rpms: [a]}}
  license: {module: [MIT]}
"""


def errata(text: str) -> list[Document]:
    """Parse updateinfo."""
    return list(parse_updateinfo(iter([text.encode()]), url=_URL))


def comps(text: str) -> list[Document]:
    """Parse comps."""
    return list(parse_comps(iter([text.encode()]), url=_URL, repo_id="zoo"))


def modules(text: str) -> list[Document]:
    """Parse modules."""
    return list(parse_modules(text.encode(), url=_URL, repo_id="zoo"))


def test_erratum() -> None:
    """An erratum is known by its id and shown under Pulp 2's names; its element is kept."""
    [one] = errata(_UPDATE)
    assert (one.type_id, one.key) == ("erratum", {"id": "CVE-1"})
    assert one.metadata["title"] == "A & b"
    assert (one.metadata["type"], one.metadata["severity"]) == ("security", "Low")
    assert (one.metadata["issued"], one.metadata["reboot_suggested"]) == ("2025-01-01", True)
    [collection] = one.metadata["pkglist"]
    assert collection["module"]["stream"] == "a"
    assert collection["packages"] == [
        {
            "name": "bell",
            "epoch": "0",
            "version": "1",
            "release": "2",
            "arch": "noarch",
            "src": "bell.src.rpm",
            "filename": "bell.rpm",
            "sum": ["sha256", "ab"],
            "reboot_suggested": True,
            "relogin_suggested": False,
            "restart_suggested": False,
        }
    ]
    assert [again.metadata for again in errata(f"<updates>{one.text}</updates>")] == [one.metadata]


def test_comps() -> None:
    """Groups belong to the repository; translations and conditions are kept."""
    group, langpacks = comps(_COMPS)
    assert group.key == {"id": "g", "repo_id": "zoo"}
    assert group.metadata["translated_name"] == {"de": "GG"}
    assert group.metadata["mandatory_package_names"] == ["c"]
    assert group.metadata["conditional_package_names"] == [["b", "a"]]
    assert 'xml:lang="de"' in group.text
    assert (langpacks.type_id, langpacks.key) == ("package_langpacks", {"repo_id": "zoo"})
    again = comps(f"<comps>{group.text}{langpacks.text}</comps>")
    assert [one.metadata for one in again] == [group.metadata, langpacks.metadata]


def test_module() -> None:
    """A stream's name stays text, and the document is kept as it is."""
    [one] = modules(_MODULE)
    assert one.key == {
        "name": "choir",
        "stream": "1.10",
        "version": 20250101,
        "context": "c0ffee",
        "arch": "x86_64",
    }
    assert one.metadata["artifacts"] == ["a-0:1-1.noarch"]
    assert one.metadata["profiles"] == {"common": ["a"]}
    assert one.text == _MODULE + "...\n"
    assert [again.text for again in modules(one.text * 2)] == [one.text] * 2


def test_same_id_twice() -> None:
    """Of two with one id the first counts."""
    twice = _UPDATE.replace("</updates>", "") + _UPDATE.replace("<updates>", "")
    assert len(errata(twice)) == 1
    group = "<group><id>g</id></group>"
    assert len(comps(f"<comps>{group}{group}</comps>")) == 1


def test_differs() -> None:
    """A document differs from a stored one exactly if its text does."""
    [one] = modules(_MODULE)
    [other] = modules(_MODULE.replace("MIT", "BSD"))
    assert not one.differs(one.unit())
    assert other.differs(one.unit())
    assert zstandard.ZstdDecompressor().decompress(one.unit().chunks[0]).decode() == one.text


_DEEP = "<a>" * 200 + "</a>" * 200
_ENTITY = '<!DOCTYPE x [<!ENTITY a "b">]>'


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (errata, "<updates><update><id>x</id></update>"),
        (errata, "<comps/>"),
        (errata, "<updates><update><title>no id</title></update></updates>"),
        (errata, f"<updates><update><id>{'x' * 300}</id></update></updates>"),
        (errata, f"<updates>{_DEEP}</updates>"),
        (errata, f"{_ENTITY}<updates><update><id>&a;</id></update></updates>"),
        (errata, ""),
        (comps, "<comps><group><id></id></group></comps>"),
        (comps, f"{_ENTITY}<comps/>"),
        (comps, "not xml"),
        (modules, "- a list"),
        (modules, "a: &x b\nc: *x"),
        (modules, "[" * 100_000),
        (modules, "- " * 100_000),
        (modules, "{a: b"),
        (modules, "? [a]\n: b"),
        (modules, _MODULE.replace("20250101", "soon")),
        (modules, _MODULE.replace("20250101", "9" * 30)),
        (modules, _MODULE.replace("name: choir", "name: []")),
        (modules, _MODULE.replace("context: c0ffee", "")),
        (modules, "data: {}\x07"),
        (modules, _MODULE.replace('"---"', '"a\\0"')),
    ],
)
def test_refused(parse: Callable[[str], list[Document]], text: str) -> None:
    """Damaged, hostile and nameless documents end in the one error, which names the URL."""
    with pytest.raises(Unparsable) as caught:
        parse(text)
    assert _URL in caught.value.message


def test_encoding() -> None:
    """Modules must be UTF-8."""
    with pytest.raises(Unparsable):
        list(parse_modules(b"a: \xff", url=_URL, repo_id="zoo"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", ["a: 1\n"]),
        ("---\na: 1\n...\n---\nb: 2\n", ["\na: 1\n", "\nb: 2\n"]),
        ("--- {a: 1}\n---\n---\n", [" {a: 1}\n"]),
        ("a: |\n  ---\n  ...\n", ["a: |\n  ---\n  ...\n"]),
        ("# made by hand\n%YAML 1.2\n---\na: 1\n...\n  # the end\n", ["\na: 1\n"]),
        ("# of a\na: 1\n", ["# of a\na: 1\n"]),
        ("", []),
    ],
)
def test_documents_of_a_stream(text: str, expected: Iterable[str]) -> None:
    """Marks at the start of a line separate documents; others are text."""
    assert list(split_documents(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, {b: null}, ~]\nc: 'd'", {"a": ["1", {"b": "null"}, "~"], "c": "d"}),
        ("!!python/object/apply:os.system [ls]", ["ls"]),
        ("plain", "plain"),
        ("{a: 1, a: 2}", {"a": "2"}),
        ("[]", []),
    ],
)
def test_yaml(text: str, expected: Any) -> None:
    """Scalars are strings, tags mean nothing."""
    assert parse_document(text) == expected
