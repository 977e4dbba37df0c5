"""Packages as the metadata of a feed tell of them, one batch after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

import createrepo_c
import zstandard

from pulpit.content.checksums import canonical_type, is_checksum
from pulpit.content.feeds import safe_location
from pulpit.content.rpm.fragments import Fragments, PairedFragments
from pulpit.content.rpm.layout import package_path
from pulpit.domain.units import PackageColumns, Unit, unit_key_digest
from pulpit.errors import Unparsable

__all__ = ["FeedPackage", "Packages", "feed_package", "package_unit", "parse_package"]

#: So many packages are looked for in filelists and other at a time.
_BATCH = 100
_LEVEL = 3
_PARSERS: Mapping[str, Callable[..., None]] = {
    "primary": createrepo_c.xml_parse_primary_snippet,
    "filelists": createrepo_c.xml_parse_filelists_snippet,
    "other": createrepo_c.xml_parse_other_snippet,
}
_NAME = re.compile(r"[^\x00-\x1f\x7f/<>&\"\\]{1,255}")
#: The element that is written anew even where all others are kept.
_LOCATION = re.compile(rb"<location\b[^>]*/>")
_SOURCE_ARCHES = ("src", "nosrc")
_REASON = re.compile(r"at line: \d+ \((.*?)\s*\)\s*\Z", re.DOTALL)


@dataclass(slots=True, kw_only=True)
class FeedPackage:
    """A package that a feed offers."""

    type_id: str
    columns: PackageColumns
    #: Of its unit key.
    digest: bytes
    #: Where the feed has it: a path below the feed, and the base of its own if it has one.
    location: str
    base: str | None
    #: The parser's object, complete.
    parsed: Any
    #: Its elements of primary, filelists and other as the feed has them, where these may be kept.
    elements: list[bytes | None]

    def key(self) -> dict[str, str]:
        """Return the unit key."""
        return _key(self.columns)


class Packages:
    """The packages of primary, filelists and other together."""

    def __init__(
        self,
        primary: Fragments,
        filelists: Fragments,
        other: Fragments,
        *,
        checksum_types: tuple[str, ...],
    ) -> None:
        """Read from these; packages with a checksum of another type are refused."""
        self._primary = primary
        self._filelists = PairedFragments(filelists)
        self._other = PairedFragments(other)
        self._checksum_types = checksum_types
        self._nevras: dict[str, str] = {}
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress

    @property
    def announced(self) -> int | None:
        """How many packages the feed says it has."""
        return self._primary.announced

    def batches(self) -> Iterator[list[FeedPackage]]:
        """Yield the packages, each once.

        Raises:
            Unparsable: the three files are damaged, or do not fit together, or a package's
                location, name or checksum can't be used.
        """
        elements = iter(self._primary)
        while batch := list(islice(elements, _BATCH)):
            yield self._batch(batch)
        self._filelists.finish(self._nevras)
        self._other.finish(self._nevras)

    def unit(self, package: FeedPackage, *, artifact: str | None) -> Unit:
        """Return the package as a unit, with its three chunks as publishing writes them."""
        return package_unit(package, self._compress, artifact=artifact)

    def _batch(self, elements: list[bytes]) -> list[FeedPackage]:
        """Parse one batch of primary with what the other two have of it."""
        packages: dict[str, FeedPackage] = {}
        for element in elements:
            parsed = _parsed("primary", element, self._primary.url, do_files=False)
            pkgid = parsed.pkgId
            if self._is_new(pkgid, parsed.nevra()):
                # checked before the other two can fill in what primary lacks
                packages[pkgid] = self._checked(parsed, self._primary.kept(element))
        for kind, source in (("filelists", self._filelists), ("other", self._other)):
            for pkgid, element in source.take(packages, self._nevras).items():
                parsed = packages[pkgid].parsed
                _parsed(kind, element, source.url, newpkgcb=lambda *_, known=parsed: known)
                packages[pkgid].elements.append(source.kept(element))
        return [*packages.values()]

    def _is_new(self, pkgid: str, nevra: str) -> bool:
        """Tell a package from one that is listed twice; one pkgid for two packages is a lie."""
        known = self._nevras.setdefault(pkgid, nevra)
        if known is nevra:
            return True
        if known != nevra:
            raise self._refuse(f"{known} and {nevra} have the same pkgid")
        return False

    def _checked(self, parsed: Any, element: bytes | None) -> FeedPackage:
        """Check what a package says of itself."""
        kind = canonical_type(parsed.checksum_type or "")
        if kind not in self._checksum_types:
            name = (parsed.name or "")[:100]
            raise self._refuse(f"{name!r} has a checksum of type {kind!r}, not allowed here")
        try:
            return feed_package(parsed, [element])
        except ValueError as error:
            raise self._refuse(str(error)) from error

    def _refuse(self, reason: str) -> Unparsable:
        """Return the error that says why the feed is refused."""
        return Unparsable(f"{self._primary.url}: {reason}", url=self._primary.url)


def feed_package(parsed: Any, elements: list[bytes | None]) -> FeedPackage:
    """Return a package, once what it says of itself has been checked.

    Args:
        parsed: the parser's object.
        elements: those that are known already, in order.

    Raises:
        ValueError: its checksum, location or names can't be used; it says why.
    """
    name = parsed.name or ""
    kind, pkgid = canonical_type(parsed.checksum_type or ""), parsed.pkgId.lower()
    if not is_checksum(kind, pkgid):
        raise ValueError(f"{name[:100]!r} has a pkgid that is not a checksum")
    try:
        location = safe_location(parsed.location_href or "")
    except ValueError as error:
        place = (parsed.location_href or "")[:200]
        raise ValueError(f"the location {place!r} {error}") from error
    columns = PackageColumns(
        name=name,
        epoch=parsed.epoch or "0",
        version=parsed.version or "",
        release=parsed.release or "",
        arch=parsed.arch or "",
        filename=location.rpartition("/")[2],
        size=parsed.size_package,
        checksum_type=kind,
        checksum=pkgid,
    )
    _check_names(columns)
    type_id = "srpm" if columns.arch in _SOURCE_ARCHES else "rpm"
    return FeedPackage(
        type_id=type_id,
        columns=columns,
        digest=unit_key_digest(type_id, _key(columns)),
        location=location,
        base=parsed.location_base,
        parsed=parsed,
        elements=elements,
    )


def package_unit(
    package: FeedPackage,
    compress: Callable[[bytes], bytes],
    *,
    artifact: str | None,
    metadata: Mapping[str, Any] = MappingProxyType({}),
) -> Unit:
    """Return a package as a unit.

    Args:
        package: complete.
        compress: a compressor's method, of zstd.
        artifact: SHA-256 of its file, if that is in the store.
        metadata: what clients are to see beside what the package says.
    """
    return Unit(
        uid=str(uuid4()),
        type_id=package.type_id,
        key=package.key(),
        package=package.columns,
        metadata={
            **_metadata(package.parsed),
            "relative_url_path": package.location,
            **metadata,
        },
        chunks=tuple(map(compress, _chunks(package))),
        artifact=artifact,
    )


def _check_names(columns: PackageColumns) -> None:
    """Raise ValueError for names that no package has and that would do harm elsewhere."""
    for value in (columns.name, columns.version, columns.release, columns.arch):
        if not _NAME.fullmatch(value):
            raise ValueError(f"a package is named {columns.name[:100]!r}, or badly versioned")
    if not re.fullmatch(r"[0-9]{1,10}", columns.epoch) or columns.size < 0:
        raise ValueError(f"{columns.name[:100]!r} has an epoch or a size that is no number")


def _parsed(kind: str, element: bytes, url: str, **options: Any) -> Any:
    """Parse the element of one package; return the parser's object."""
    found: list[Any] = []
    try:
        _PARSERS[kind](element.decode(), pkgcb=found.append, **options)
    except (createrepo_c.CreaterepoCError, UnicodeDecodeError) as error:
        raise _unparsable(url, error) from error
    if len(found) != 1:
        raise Unparsable(f"{url} has an element that is no package", url=url)
    return found[0]


def parse_package(elements: Sequence[bytes], *, url: str) -> Any:
    """Return the parser's object of a package whose three elements are given.

    Raises:
        Unparsable: they are not well-formed.
    """
    parsed = _parsed("primary", elements[0], url, do_files=False)
    for kind, element in zip(("filelists", "other"), elements[1:], strict=True):
        _parsed(kind, element, url, newpkgcb=lambda *_: parsed)
    return parsed


def _chunks(package: FeedPackage) -> tuple[bytes, bytes, bytes]:
    """Return the three elements as publishing writes them: as they are, or written anew."""
    primary, filelists, other = package.elements
    path, parsed = package_path(package.columns.filename), package.parsed
    parsed.location_base, parsed.location_href = None, path
    place = _LOCATION.search(primary) if primary else None
    located = None
    if primary and place:
        location = b'<location href="%s"/>' % escape(path, {'"': "&quot;"}).encode()
        located = primary[: place.start()] + location + primary[place.end() :]
    return (
        located or createrepo_c.xml_dump_primary(parsed).encode(),
        filelists or createrepo_c.xml_dump_filelists(parsed).encode(),
        other or createrepo_c.xml_dump_other(parsed).encode(),
    )


def _unparsable(url: str, error: Exception) -> Unparsable:
    """Return the parser's error without the document that it repeats."""
    match = _REASON.search(str(error))
    reason = match[1] if match else str(error)[-200:]
    return Unparsable(f"{url} is not well-formed: {reason}", url=url)


def _key(columns: PackageColumns) -> dict[str, str]:
    """Return the unit key of a package."""
    return {
        "name": columns.name,
        "epoch": columns.epoch,
        "version": columns.version,
        "release": columns.release,
        "arch": columns.arch,
        "checksumtype": columns.checksum_type,
        "checksum": columns.checksum,
    }


def _metadata(parsed: Any) -> dict[str, Any]:
    """Return what clients see of a package beside its columns."""
    return {
        "summary": parsed.summary,
        "description": parsed.description,
        "url": parsed.url,
        "license": parsed.rpm_license,
        "vendor": parsed.rpm_vendor,
        "group": parsed.rpm_group,
        "buildhost": parsed.rpm_buildhost,
        "sourcerpm": parsed.rpm_sourcerpm,
        "packager": parsed.rpm_packager,
        "build_time": parsed.time_build,
        "time": parsed.time_file,
    }
