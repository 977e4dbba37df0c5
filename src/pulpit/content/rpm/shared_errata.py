"""Errata that several repositories hold: one unit, which tells of the packages of all of them.

The same erratum comes with one feed's packages from one feed, and with others from the next; what
the one said must not be lost by what the other says. As in Pulp 2, its list of packages grows, and
its texts are those of the newer one. A publish leaves out the packages that its repository lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element

import zstandard
from defusedxml.ElementTree import fromstring

from pulpit.content.rpm.collection import Changes
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.errata import erratum_of
from pulpit.content.rpm.version import evr_key
from pulpit.domain.units import Unit, unit_key_digest
from pulpit.ports import ContentStore

__all__ = ["joined", "shared", "with_others"]

_TYPE = "erratum"
_PACKAGES = "pkglist"
_NEVRA = ("name", "epoch", "version", "release", "arch")


def shared(content: ContentStore, repo_id: str, units: Sequence[Unit]) -> Sequence[Unit]:
    """Return the units; errata that other repositories hold too tell what they told as well.

    Args:
        content: of the transaction that writes the units.
        repo_id: of the repository that they come into.
        units: of any types.
    """
    errata = [unit for unit in units if unit.type_id == _TYPE]
    stored = _held_elsewhere(content, repo_id, errata)
    return [
        _joined(unit, stored[unit.key["id"]]) if _is_in(unit, stored) else unit for unit in units
    ]


def with_others(content: ContentStore, repo_id: str, changes: Changes) -> Changes:
    """Return the changes of a sync with errata as ``shared`` makes them."""
    written = shared(content, repo_id, changes.written)
    digests = {unit_key_digest(_TYPE, unit.key): unit for unit in written if unit.type_id == _TYPE}
    ids = content.known(_TYPE, digests.keys()) if digests else {}
    chunks = content.chunks([ids[one] for one in digests if one in ids])
    same = {
        ids[digest]
        for digest, unit in digests.items()
        if digest in ids and _texts(chunks.get(ids[digest], ())) == _texts(unit.chunks)
    }
    return replace(changes, written=written, updated=changes.updated - same)


def joined(stored: str, offered: str) -> Document:
    """Return what two texts of the same erratum tell together.

    Joining either of them again to the outcome changes nothing, unless it is the newer one.
    """
    old, new = fromstring(stored), fromstring(offered)
    base = new if _age(new) > _age(old) else old
    packages = _Packages()
    for element in (old, new):
        for collection in element.iterfind(f"{_PACKAGES}/collection"):
            packages.add(collection)
    for former in base.findall(_PACKAGES):
        base.remove(former)
    base.append(packages.element)
    return erratum_of(base, str(base.findtext("id", "")).strip())


def _held_elsewhere(
    content: ContentStore, repo_id: str, errata: Sequence[Unit]
) -> Mapping[str, str]:
    """Return id to text of those errata that other repositories hold."""
    digests = {unit_key_digest(_TYPE, unit.key): str(unit.key["id"]) for unit in errata}
    known = content.known(_TYPE, digests.keys()) if digests else {}
    holders = content.memberships(known.values()) if known else {}
    ids = {
        unit_id: digests[digest]
        for digest, unit_id in known.items()
        if any(holder != repo_id for holder in holders.get(unit_id, ()))
    }
    return {ids[one]: _texts(chunks)[0] for one, chunks in content.chunks(ids.keys()).items()}


def _is_in(unit: Unit, stored: Mapping[str, Any]) -> bool:
    return unit.type_id == _TYPE and unit.key["id"] in stored


def _joined(unit: Unit, stored: str) -> Unit:
    document = joined(stored, _texts(unit.chunks)[0]).unit()
    return replace(unit, metadata=document.metadata, chunks=document.chunks)


def _texts(chunks: Sequence[bytes]) -> Sequence[str]:
    decompress = zstandard.ZstdDecompressor().decompress
    return [decompress(chunk).decode() for chunk in chunks]


def _age(erratum: Element) -> tuple[str, Any]:
    """Return what is greater of the newer one: when it was updated, then its version."""
    updated = erratum.find("updated")
    if updated is None:
        updated = erratum.find("issued")
    date = "" if updated is None else updated.get("date", "")
    return date, evr_key(("0", erratum.get("version", "0"), "0"))


class _Packages:
    """The collections of packages of an erratum."""

    def __init__(self) -> None:
        self.element = Element(_PACKAGES)
        self._collections: dict[tuple[Any, ...], tuple[Element, set[tuple[Any, ...]]]] = {}

    def add(self, collection: Element) -> None:
        """Add a collection, or those packages of it that the one of the same name lacks."""
        key = _collection_key(collection)
        packages = collection.findall("package")
        if key not in self._collections:
            self.element.append(collection)
            self._collections[key] = (collection, set(map(_package_key, packages)))
            return
        present, known = self._collections[key]
        for package in packages:
            if (of_package := _package_key(package)) not in known:
                known.add(of_package)
                present.append(package)


def _collection_key(collection: Element) -> tuple[Any, ...]:
    """Return what collections of packages are told apart by."""
    module = collection.find("module")
    of_module = () if module is None else tuple(sorted(module.attrib.items()))
    return (collection.findtext("name", "").strip(), collection.get("short"), of_module)


def _package_key(package: Element) -> tuple[Any, ...]:
    """Return what packages are told apart by."""
    return (*(package.get(name) for name in _NEVRA), package.findtext("filename", "").strip())
