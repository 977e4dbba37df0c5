"""prestodelta.xml: delta packages, which make a package of an older one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement, tostring
from xml.sax.saxutils import escape

import zstandard

from pulpit.content.checksums import canonical_type, is_checksum
from pulpit.content.feeds import safe_location
from pulpit.content.rpm.documents import text_of, xml_elements
from pulpit.domain.units import PackageColumns, Unit, unit_key_digest
from pulpit.errors import Unparsable

__all__ = ["DELTAS", "FeedDelta", "parse_deltas", "relocated_delta"]

#: Types of repomd.xml that tell of deltas: the one that is read, and one for older clients.
DELTAS = ("prestodelta", "deltainfo")
_LEVEL = 3
_NAME = re.compile(r"[^\x00-\x1f\x7f/<>&\"\\]{1,255}")
_EPOCH = re.compile(r"[0-9]{1,10}")
_SIZE = re.compile(r"[0-9]{1,15}")
_FILENAME = re.compile(rb"<filename>[^<]*</filename>")
_MAX_SEQUENCE = 1 << 20
_VERSIONS = ("epoch", "version", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDelta:
    """A delta that a feed offers; the same to the intake as a package."""

    columns: PackageColumns
    #: Of its unit key.
    digest: bytes
    #: Where the feed has it, a path below the feed.
    location: str
    #: What clients see of it beside its columns.
    metadata: dict[str, Any]
    #: Its element of prestodelta, ``newpackage`` with this one delta.
    text: bytes
    type_id: str = "drpm"
    #: Deltas lie in their feed always.
    base: None = None

    def key(self) -> dict[str, str]:
        """Return the unit key."""
        return _key(self.columns)

    def unit(self, *, artifact: str | None) -> Unit:
        """Return the delta as a unit."""
        return Unit(
            uid=str(uuid4()),
            type_id=self.type_id,
            key=self.key(),
            package=self.columns,
            metadata=self.metadata,
            chunks=(zstandard.ZstdCompressor(level=_LEVEL).compress(self.text),),
            artifact=artifact,
        )


def parse_deltas(
    pieces: Iterator[bytes], *, url: str, checksum_types: tuple[str, ...]
) -> Iterator[FeedDelta]:
    """Yield the deltas of a document, each once.

    Args:
        pieces: the document.
        url: where it came from, for messages.
        checksum_types: those that are allowed.

    Raises:
        Unparsable: it is not such a document, or a delta's name, place or checksum can't be used.
    """
    seen: set[bytes] = set()
    for element in xml_elements(pieces, url=url, root=DELTAS):
        if element.tag != "newpackage":
            continue
        for delta in element.iterfind("delta"):
            try:
                found = _delta(element, delta, checksum_types)
            except ValueError as error:
                raise Unparsable(f"{url} has a delta that {error}", url=url) from error
            if found.digest not in seen:
                seen.add(found.digest)
                yield found


def relocated_delta(text: bytes, path: str) -> bytes:
    """Return the element of a delta with *path* as its place."""
    filename = b"<filename>%s</filename>" % escape(path).encode()
    return _FILENAME.sub(lambda _: filename, text, count=1)


def _delta(package: Element, delta: Element, checksum_types: tuple[str, ...]) -> FeedDelta:
    """Check one delta; ValueError says what is wrong with it."""
    new = {name: package.get(name, "") for name in ("name", *_VERSIONS, "arch")}
    old = {name: delta.get(f"old{name}", "") for name in _VERSIONS}
    new["epoch"], old["epoch"] = new["epoch"] or "0", old["epoch"] or "0"
    if not _are_names(new) or not _are_names(old):
        raise ValueError("is badly named or versioned")
    sequence, size = text_of(delta, "sequence") or "", text_of(delta, "size") or ""
    if not sequence.isprintable() or len(sequence) > _MAX_SEQUENCE:
        raise ValueError("has no usable sequence")
    if not _SIZE.fullmatch(size):
        raise ValueError("has a size that is no number")
    place = text_of(delta, "filename") or ""
    try:
        location = safe_location(place)
    except ValueError as error:
        raise ValueError(f"lies at {place[:200]!r}, which {error}") from error
    kind, digits = _checksum(delta, checksum_types)
    columns = PackageColumns(
        **new,
        filename=location,
        size=int(size),
        checksum_type=kind,
        checksum=digits,
    )
    return FeedDelta(
        columns=columns,
        digest=unit_key_digest("drpm", _key(columns)),
        location=location,
        metadata={
            "new_package": columns.name,
            "arch": columns.arch,
            "sequence": sequence,
            **{f"old{name}": value for name, value in old.items()},
        },
        text=_text(columns, old, sequence),
    )


def _are_names(values: dict[str, str]) -> bool:
    """Tell whether names, versions and epoch can be used."""
    named = all(_NAME.fullmatch(value) for value in values.values())
    return named and bool(_EPOCH.fullmatch(values["epoch"]))


def _checksum(delta: Element, checksum_types: tuple[str, ...]) -> tuple[str, str]:
    """Return type and digits of a delta's checksum."""
    found = delta.find("checksum")
    kind = canonical_type(found.get("type", "") if found is not None else "")
    if kind not in checksum_types:
        raise ValueError(f"has a checksum of type {kind[:20]!r}, not allowed here")
    digits = (text_of(delta, "checksum") or "").lower()
    if not is_checksum(kind, digits):
        raise ValueError("has a checksum that is none")
    return kind, digits


def _key(columns: PackageColumns) -> dict[str, str]:
    """Return the unit key of a delta."""
    return {
        "epoch": columns.epoch,
        "version": columns.version,
        "release": columns.release,
        "filename": columns.filename,
        "checksumtype": columns.checksum_type,
        "checksum": columns.checksum,
    }


def _text(columns: PackageColumns, old: dict[str, str], sequence: str) -> bytes:
    """Return the element of prestodelta."""
    names = ("name", *_VERSIONS, "arch")
    package = Element("newpackage", {name: getattr(columns, name) for name in names})
    delta = SubElement(package, "delta", {f"old{name}": value for name, value in old.items()})
    for name, text in (
        ("filename", columns.filename),
        ("sequence", sequence),
        ("size", str(columns.size)),
    ):
        SubElement(delta, name).text = text
    checksum = SubElement(delta, "checksum", {"type": columns.checksum_type})
    checksum.text = columns.checksum
    return bytes(tostring(package, encoding="utf-8")) + b"\n"
