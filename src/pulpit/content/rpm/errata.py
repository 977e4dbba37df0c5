"""updateinfo.xml: errata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from pulpit.content.rpm.documents import Document, element_text, flag, text_of, xml_elements
from pulpit.errors import Unparsable

__all__ = ["erratum_of", "parse_updateinfo"]

_MAX_ID = 255
#: What an erratum may suggest once it is installed.
_SUGGESTIONS = ("reboot_suggested", "relogin_suggested", "restart_suggested")


def parse_updateinfo(pieces: Iterator[bytes], *, url: str) -> Iterator[Document]:
    """Yield the errata of a document; of two with the same id the first.

    Raises:
        Unparsable: it is not an updateinfo document, or an erratum has no usable id.
    """
    seen: set[str] = set()
    for element in xml_elements(pieces, url=url, root="updates"):
        if element.tag != "update":
            continue
        identity = text_of(element, "id") or ""
        if not identity.isprintable() or not 0 < len(identity) <= _MAX_ID:
            raise Unparsable(f"{url} has an erratum without a usable id", url=url)
        if identity not in seen:
            seen.add(identity)
            yield erratum_of(element, identity)


def erratum_of(element: Element, identity: str) -> Document:
    """Return the erratum of that id which an element tells."""
    return Document(
        type_id="erratum",
        key={"id": identity},
        metadata=_metadata(element, identity),
        text=element_text(element),
    )


def _metadata(element: Element, identity: str) -> dict[str, Any]:
    """Return what clients see of an erratum, under Pulp 2's names."""
    return {
        "id": identity,
        "title": text_of(element, "title"),
        "type": element.get("type"),
        "status": element.get("status"),
        "version": element.get("version"),
        "from": element.get("from"),
        "severity": text_of(element, "severity"),
        "issued": _date(element, "issued"),
        "updated": _date(element, "updated"),
        "release": text_of(element, "release"),
        "rights": text_of(element, "rights"),
        "pushcount": text_of(element, "pushcount"),
        "summary": text_of(element, "summary"),
        "description": text_of(element, "description"),
        "solution": text_of(element, "solution"),
        **{name: _suggests(element, name) for name in _SUGGESTIONS},
        "references": [
            {name: reference.get(name) for name in ("href", "id", "title", "type")}
            for reference in element.iterfind("references/reference")
        ],
        "pkglist": [_collection(child) for child in element.iterfind("pkglist/collection")],
    }


def _date(element: Element, name: str) -> str | None:
    """Return a date as it is written."""
    child = element.find(name)
    return None if child is None else child.get("date")


def _suggests(element: Element, name: str) -> bool:
    """Tell whether the erratum or a package of it suggests something."""
    return any(flag(child.text or "true") for child in element.iter(name))


def _collection(element: Element) -> dict[str, Any]:
    """Return one collection of packages."""
    module = element.find("module")
    return {
        "name": text_of(element, "name"),
        "short": element.get("short"),
        "module": None if module is None else dict(module.attrib),
        "packages": [_package(child) for child in element.iterfind("package")],
    }


def _package(element: Element) -> dict[str, Any]:
    """Return one package of a collection."""
    names = ("name", "epoch", "version", "release", "arch", "src")
    sums = [(total.get("type"), (total.text or "").strip()) for total in element.iterfind("sum")]
    return {
        **{name: element.get(name) for name in names},
        "filename": text_of(element, "filename"),
        "sum": [part for pair in sums for part in pair] or None,
        **{name: _suggests(element, name) for name in _SUGGESTIONS},
    }
