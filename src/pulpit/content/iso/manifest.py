"""PULP_MANIFEST: a line of name, SHA-256 and size for each file, as CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import NamedTuple, TextIO
from uuid import uuid4

from pulpit.domain.units import PackageColumns, Unit
from pulpit.errors import Unparsable

__all__ = ["MANIFEST", "Entry", "checked_name", "read_manifest", "rendered", "unit_of"]

#: Name of the manifest, in a feed as in a publication.
MANIFEST = "PULP_MANIFEST"
_FIELDS = 3
#: Bytes of a name: indexes of databases hold no much longer ones.
_MAX_NAME = 1024
#: Bytes of each part of a name, as file systems have it.
_MAX_PART = 255
_MAX_ENTRIES = 1_000_000
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_CHECKSUM = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
#: Up to a petabyte.
_SIZE = re.compile(r"[0-9]{1,15}", re.ASCII)


class Entry(NamedTuple):
    """A file that a manifest lists."""

    #: Where it lies below the manifest's folder.
    name: str
    #: SHA-256, lower-case hexadecimal.
    checksum: str
    #: In bytes.
    size: int

    @property
    def key(self) -> Mapping[str, str | int]:
        """The unit key."""
        return {"name": self.name, "checksum": self.checksum, "size": self.size}


def checked_name(name: str) -> str:
    """Return the name of a file if it can be published under it.

    Raises:
        ValueError: with the reason, if it leads elsewhere or is too long.
    """
    if _FORBIDDEN.search(name):
        raise ValueError("has control characters or backslashes")
    if len(name.encode()) > _MAX_NAME:
        raise ValueError(f"has more than {_MAX_NAME} bytes")
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("must be a path below the repository, without empty parts, . and ..")
    if any(len(part.encode()) > _MAX_PART for part in parts):
        raise ValueError(f"has a part of more than {_MAX_PART} bytes")
    if name == MANIFEST:
        raise ValueError("is the name of the list of all files")
    return name


def read_manifest(file: TextIO, *, url: str) -> Sequence[Entry]:
    """Return what a manifest lists, each file once.

    Args:
        file: opened with ``newline=""``.
        url: where it comes from, as messages may show it.

    Raises:
        Unparsable: a line is not what it should be, or two say different things of a name.
    """
    entries: dict[str, Entry] = {}
    reader = csv.reader(file, strict=True)
    try:
        for fields in reader:
            if fields:
                _take(_entry(fields), entries)
    except (ValueError, csv.Error) as error:
        reason = f"{url} can't be used, line {reader.line_num}: {error}"
        raise Unparsable(reason, url=url) from error
    return [*entries.values()]


def _take(entry: Entry, entries: dict[str, Entry]) -> None:
    """Add an entry to those by name."""
    if entries.setdefault(entry.name, entry) != entry:
        raise ValueError(f"{entry.name} is listed twice, as different files")
    if len(entries) > _MAX_ENTRIES:
        raise ValueError(f"it lists more than {_MAX_ENTRIES:,} files")


def _entry(fields: Sequence[str]) -> Entry:
    """Return the entry of a line."""
    if len(fields) != _FIELDS:
        raise ValueError("it must be a name, a SHA-256 and a size")
    name, checksum, size = fields[0], fields[1].strip(), fields[2].strip()
    try:
        checked_name(name)
    except ValueError as error:
        raise ValueError(f"the name {name[:100]!r} {error}") from error
    if not _CHECKSUM.fullmatch(checksum):
        raise ValueError(f"{checksum[:100]!r} is not a SHA-256")
    if not _SIZE.fullmatch(size):
        raise ValueError(f"{size[:100]!r} is not a size in bytes")
    return Entry(name, checksum.lower(), int(size))


def rendered(entries: Iterable[Entry]) -> bytes:
    """Return the manifest that lists the files."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(entries)
    return text.getvalue().encode()


def unit_of(entry: Entry, *, artifact: str | None = None) -> Unit:
    """Return the file as a unit that is not stored yet.

    Args:
        entry: what is known of it.
        artifact: SHA-256 of the stored file.
    """
    columns = PackageColumns(
        name=entry.name,
        epoch="",
        version="",
        release="",
        arch="",
        filename=entry.name,
        size=entry.size,
        checksum_type="sha256",
        checksum=entry.checksum,
    )
    return Unit(uid=str(uuid4()), type_id="iso", key=entry.key, package=columns, artifact=artifact)
