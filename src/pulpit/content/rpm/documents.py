"""Units that are documents: what errata, comps and modules have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import RawIOBase
from typing import Any
from uuid import uuid4
from xml.etree.ElementTree import Element, ParseError, tostring

import zstandard
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from pulpit.domain.units import Unit, unit_key_digest
from pulpit.errors import Unparsable

__all__ = ["Document", "children", "flag", "numbered", "text_of", "translations", "xml_elements"]

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_LEVEL = 3
_MAX_TEXT = 1 << 20
_MAX_DIGITS = 9
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a feed."""

    type_id: str
    key: Mapping[str, Any]
    #: What clients see of it.
    metadata: Mapping[str, Any]
    #: Its XML element or YAML document, which ends with a newline.
    text: str

    @property
    def digest(self) -> bytes:
        """Of its unit key."""
        return unit_key_digest(self.type_id, self.key)

    def unit(self) -> Unit:
        """Return it as a unit."""
        return Unit(
            uid=str(uuid4()),
            type_id=self.type_id,
            key=self.key,
            metadata=self.metadata,
            chunks=(zstandard.ZstdCompressor(level=_LEVEL).compress(self.text.encode()),),
        )

    def differs(self, stored: Unit) -> bool:
        """Tell whether the stored unit has another text."""
        text = self.text.encode()
        expand = zstandard.ZstdDecompressor().decompress
        return len(stored.chunks) != 1 or expand(stored.chunks[0]) != text


class _Reader(RawIOBase):
    """A stream of pieces as a file to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        rest = self._rest or next(self._pieces, b"")
        taken, self._rest = (rest, b"") if not size or size < 0 else (rest[:size], rest[size:])
        return taken


def xml_elements(
    pieces: Iterator[bytes], *, url: str, root: str | tuple[str, ...]
) -> Iterator[Element]:
    """Yield the children of the root element one by one; what was yielded is then forgotten.

    Args:
        pieces: the document.
        url: where it came from, for messages.
        root: the name of the root element, or several that it may have.

    Raises:
        Unparsable: it is not XML, carries entities, or is a document of another kind.
    """
    depth, roots = 0, (root,) if isinstance(root, str) else root
    top: Element | None = None
    try:
        # a DTD may be named, as comps does; entities are refused
        for event, element in iterparse(_Reader(pieces), events=("start", "end")):
            depth += 1 if event == "start" else -1
            if depth > _MAX_DEPTH:
                raise Unparsable(f"{url} nests too deeply", url=url)
            if top is None:
                top = element
                if element.tag not in roots:
                    raise Unparsable(f"{url} is not a document of {roots[0]}", url=url)
            elif event == "end" and depth == 1:
                yield element
                top.clear()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise Unparsable(f"{url} is not well-formed: {error}", url=url) from error


def element_text(element: Element) -> str:
    """Return an element as it is published."""
    element.tail = None
    return tostring(element, encoding="unicode") + "\n"


def text_of(element: Element, name: str) -> str | None:
    """Return the text of the first child of that name that has no language."""
    for child in element.iterfind(name):
        if child.get(_LANGUAGE) is None:
            return (child.text or "").strip()[:_MAX_TEXT]
    return None


def translations(element: Element, name: str) -> dict[str, str]:
    """Return language to text of the children of that name."""
    return {
        child.get(_LANGUAGE, ""): (child.text or "").strip()
        for child in element.iterfind(name)
        if child.get(_LANGUAGE)
    }


def children(element: Element, path: str) -> list[str]:
    """Return the texts of the elements at a path."""
    return [(child.text or "").strip() for child in element.iterfind(path)]


def flag(text: str | None) -> bool:
    """Return what a boolean of these documents says."""
    return (text or "").strip().lower() in ("true", "1", "yes")


def numbered(text: str | None) -> int | None:
    """Return a whole number, or None for what is none."""
    if text and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    return None
