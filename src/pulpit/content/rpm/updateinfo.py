"""What updateinfo.xml of one repository says of an erratum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element, tostring

from defusedxml.ElementTree import fromstring

from pulpit.content.checksums import canonical_type
from pulpit.content.rpm.retention import Nevra, nevra_of
from pulpit.domain.units import Unit
from pulpit.errors import NoSuchChecksum

__all__ = ["PackagesOfErrata"]

_NAMES = ("name", "epoch", "version", "release", "arch")


class PackagesOfErrata:
    """Restricts errata to the packages of a repository, as Pulp 2 published them.

    An erratum stays, without collections that the repository has no package of.

    Args:
        checksum_type: the one of which errata give checksums; None: as they are.
    """

    def __init__(self, checksum_type: str | None) -> None:
        self._checksum_type = checksum_type
        #: To their checksum, where it is of the type.
        self._packages: dict[Nevra, str | None] = {}

    def add(self, packages: Iterable[Unit]) -> None:
        """Take packages for those of the repository."""
        for unit in packages:
            if unit.package and unit.type_id != "drpm":
                package = unit.package
                is_right = package.checksum_type == self._checksum_type
                self._packages[nevra_of(package)] = package.checksum if is_right else None

    def restricted(self, erratum: Unit, text: bytes) -> bytes:
        """Return the element of updateinfo for the erratum, whose whole element is *text*.

        Raises:
            NoSuchChecksum: a package has checksums of other types only.
        """
        # most errata are about packages that are all there: these are not parsed
        if self._checksum_type is None and self._has_all(erratum.metadata.get("pkglist")):
            return text
        root = fromstring(text, forbid_dtd=True)
        for packages in root.iterfind("pkglist"):
            for collection in packages.findall("collection"):
                self._restrict(collection, str(erratum.key["id"]))
                if collection.find("package") is None:
                    packages.remove(collection)
        root.tail = None
        return bytes(tostring(root, encoding="utf-8"))

    def _has_all(self, collections: Any) -> bool:
        """Tell whether all packages of the collections are in the repository."""
        if not isinstance(collections, list):
            return False
        return all(_nevra(package) in self._packages for package in _members(collections))

    def _restrict(self, collection: Element, erratum: str) -> None:
        """Take out what is not in the repository; give the rest checksums of the type."""
        for package in collection.findall("package"):
            if _nevra(package.attrib) not in self._packages:
                collection.remove(package)
            elif self._checksum_type is not None:
                self._choose_sum(package, self._checksum_type, erratum)

    def _choose_sum(self, package: Element, wanted: str, erratum: str) -> None:
        """Leave the checksum of the type alone; of the package itself if the erratum lacks it."""
        found: str | None = None
        for checksum in package.findall("sum"):
            if canonical_type(checksum.get("type", "")) == wanted:
                found = (checksum.text or "").strip()
            package.remove(checksum)
        digits = found or self._packages[_nevra(package.attrib)]
        if not digits:
            name = (package.findtext("filename") or package.get("name") or "")[:255]
            raise NoSuchChecksum(erratum, package=name, kind=wanted)
        element = Element("sum", {"type": wanted})
        element.text = digits
        package.append(element)


def _members(collections: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the packages of all collections."""
    for collection in collections:
        yield from collection.get("packages") or ()


def _nevra(package: Mapping[str, Any]) -> Nevra:
    """Return what tells a package from others; an erratum may leave the epoch out."""
    name, epoch, version, release, arch = (str(package.get(key) or "") for key in _NAMES)
    return (name, epoch or "0", version, release, arch)
