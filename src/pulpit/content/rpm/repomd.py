"""repomd.xml: which metadata files a repository has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pulpit.content.checksums import Digest, canonical_type, is_checksum
from pulpit.content.feeds import join_feed, safe_location, shown_url
from pulpit.errors import MalformedRepository, Unparsable

__all__ = ["REPOMD", "Record", "Repomd", "parse_repomd"]

#: Where repomd.xml lies in a repository.
REPOMD = "repodata/repomd.xml"
_NAMESPACE = "{http://linux.duke.edu/metadata/repo}"
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_MAX_RECORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One metadata file."""

    type: str
    #: Path below the feed.
    location: str
    url: str
    checksum: Digest
    #: Bytes, if told.
    size: int | None
    open_checksum: Digest | None

    @property
    def shown(self) -> str:
        """The URL as messages show it."""
        return shown_url(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repomd:
    """The metadata files of a repository, by type."""

    revision: str
    #: SHA-256 of the document itself.
    digest: str
    records: Mapping[str, Record]

    def required(self, kind: str, url: str) -> Record:
        """Return the record of that type.

        Raises:
            MalformedRepository: it is not listed.
        """
        if kind not in self.records:
            reason = f'"{kind}" metadata is not found in repomd.xml: {url}'
            raise MalformedRepository(reason, url=url)
        return self.records[kind]


def parse_repomd(document: bytes, *, feed: str, url: str) -> Repomd:
    """Return what *document*, fetched from *url*, says.

    Raises:
        Unparsable: it is not XML, or not a repomd document, or carries entities.
        MalformedRepository: a record of it can't be used.
    """
    try:
        root = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Unparsable(f"{url} is not a repomd document: {error}", url=url) from error
    if root.tag not in (f"{_NAMESPACE}repomd", "repomd"):
        raise Unparsable(f"{url} is not a repomd document", url=url)
    elements = [child for child in root if _local(child) == "data"]
    if len(elements) > _MAX_RECORDS:
        raise MalformedRepository(f"{url} lists {len(elements)} files", url=url)
    records: dict[str, Record] = {}
    for element in elements:
        try:
            record = _record(element, feed)
        except ValueError as error:
            raise MalformedRepository(f"{url}: {error}", url=url) from error
        records.setdefault(record.type, record)
    return Repomd(
        revision=_text(root, "revision") or "",
        digest=hashlib.sha256(document).hexdigest(),
        records=records,
    )


def _record(element: Element, feed: str) -> Record:
    """Read one ``data`` element; ValueError says what is wrong."""
    kind = element.get("type", "")
    if not _TYPE.fullmatch(kind):
        raise ValueError("a record has no usable type")
    place = _child(element, "location")
    href = place.get("href") if place is not None else None
    if place is None or not href or any(key.endswith("base") for key in place.keys()):  # noqa: SIM118 - an element is no mapping
        raise ValueError(f'the location of "{kind}" is missing, or has a base of its own')
    try:
        location = safe_location(href)
    except ValueError as error:
        raise ValueError(f'the location of "{kind}" ({href[:200]!r}) {error}') from error
    checksum = _checksum(element, "checksum")
    if checksum is None:
        raise ValueError(f'"{kind}" has no checksum')
    size = _text(element, "size")
    if size is not None and not re.fullmatch(r"[0-9]{1,15}", size):
        raise ValueError(f'the size of "{kind}" is not a number')
    return Record(
        type=kind,
        location=location,
        url=join_feed(feed, location),
        checksum=checksum,
        size=int(size) if size else None,
        open_checksum=_checksum(element, "open-checksum"),
    )


def _checksum(element: Element, name: str) -> Digest | None:
    """Return a checksum element's type and digits, or None where there is none."""
    found = _child(element, name)
    if found is None:
        return None
    digits = (found.text or "").strip().lower()
    kind = canonical_type(found.get("type", ""))
    if not is_checksum(kind, digits):
        raise ValueError(f"a {name} of type {kind[:20]!r} can't be used")
    return (kind, digits)


def _local(element: Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _child(element: Element, name: str) -> Element | None:
    """Return the first child of that name."""
    return next((child for child in element if _local(child) == name), None)


def _text(element: Element, name: str) -> str | None:
    """Return the text of the first child of that name."""
    child = _child(element, name)
    return child.text.strip() if child is not None and child.text else None
