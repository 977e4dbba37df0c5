"""treeinfo: the tree of files that a machine is installed from, beside the packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import zstandard

from pulpit.content.checksums import canonical_type, is_checksum
from pulpit.content.feeds import safe_location
from pulpit.content.rpm.documents import Document
from pulpit.domain.units import Unit, UnitFile
from pulpit.errors import Unparsable

__all__ = ["TREEINFOS", "Tree", "parse_treeinfo", "treeinfo_of"]

#: Names that the file may have, in the order in which they are looked for.
TREEINFOS = (".treeinfo", "treeinfo")
_MAX_LINE = 8 << 10
_MAX_LINES = 50_000
_MAX_FILES = 10_000
_SECTION = re.compile(r"\[([^\[\]]{1,255})\]")
_VALUE = re.compile(r"[^\x00-\x1f\x7f/<>\"\\]{0,255}")
#: What is written anew when publishing, so that its checksum is another one.
_WRITTEN = "repodata/"

_Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree that a feed offers."""

    document: Document
    #: Its files, without treeinfo itself, whose text is the document's.
    files: Sequence[UnitFile]

    def with_files(self, stored: Mapping[str, tuple[str, int]]) -> Tree:
        """Return it with those files known as stored: path to SHA-256 and bytes."""
        files = [
            replace(file, artifact=stored[file.path][0], size=stored[file.path][1])
            if file.path in stored
            else file
            for file in self.files
        ]
        return replace(self, files=files)


def parse_treeinfo(data: bytes, *, name: str, url: str, checksum_types: tuple[str, ...]) -> Tree:
    """Return what the file *name*, fetched from *url*, says.

    Args:
        data: its content.
        name: one of ``TREEINFOS``.
        url: for messages.
        checksum_types: those that are allowed.

    Raises:
        Unparsable: it is none, or a file of it leads elsewhere or has a checksum of no use.
    """
    try:
        text = _without_written(data.decode())
        sections = _sections(text)
        general = sections.get("general", {})
        key, packagedir = _key(general), _packagedir(general)
        files = _files(sections, name, checksum_types)
    except ValueError as error:
        raise Unparsable(f"{url} {error}", url=url) from error
    metadata = {
        **key,
        "timestamp": _timestamp(general.get("timestamp", "")),
        "packagedir": packagedir,
        "treeinfo": name,
        "files": [
            {
                "relativepath": file.path,
                "checksumtype": file.checksum_type,
                "checksum": file.checksum,
            }
            for file in files
        ],
    }
    document = Document(type_id="distribution", key=key, metadata=metadata, text=text)
    return Tree(document=document, files=files)


def treeinfo_of(unit: Unit) -> tuple[str, bytes]:
    """Return name and content of the treeinfo that a stored tree, with its chunk, has."""
    name = unit.metadata.get("treeinfo")
    text = zstandard.ZstdDecompressor().decompress(unit.chunks[0])
    return (name if name in TREEINFOS else TREEINFOS[0]), text


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, name and value of each line that has a value."""
    lines = text.splitlines()
    if len(lines) > _MAX_LINES or any(len(line) > _MAX_LINE for line in lines):
        raise ValueError("is far too long")
    section = ""
    for line in map(str.strip, lines):
        if not line or line[0] in "#;":
            continue
        if match := _SECTION.fullmatch(line):
            section = match[1].strip()
            yield section, "", ""
            continue
        name, found, value = line.partition("=")
        if not section or not found:
            raise ValueError("is not a file of sections and values")
        yield section, name.strip(), value.strip()


def _sections(text: str) -> _Sections:
    """Return the values of each section; of equal names the first one counts."""
    sections: dict[str, dict[str, str]] = {}
    for section, name, value in _lines(text):
        values = sections.setdefault(section, {})
        if name:
            values.setdefault(name, value)
    return sections


def _without_written(text: str) -> str:
    """Return the text without checksums of files that are written anew when publishing."""
    kept = [
        line
        for line in text.splitlines()
        if not (line.lstrip().startswith(_WRITTEN) and "=" in line)
    ]
    return "\n".join(kept) + "\n"


def _key(general: Mapping[str, str]) -> dict[str, str]:
    """Return the unit key; its id is made of the rest, as Pulp 2 made it."""
    missing = [name for name in ("family", "version", "arch") if not general.get(name)]
    if missing:
        raise ValueError(f"says no {missing[0]} in [general]")
    parts = {name: general.get(name, "") for name in ("family", "variant", "version", "arch")}
    for name, value in parts.items():
        if not _VALUE.fullmatch(value):
            raise ValueError(f"has a {name} in [general] that can't be used")
    return {"distribution_id": "-".join(["ks", *parts.values()]), **parts}


def _packagedir(general: Mapping[str, str]) -> str | None:
    """Return the folder of packages that the tree names; None for the usual ones."""
    place = general.get("packagedir", "").rstrip("/")
    if place in ("", "."):
        return None
    try:
        return safe_location(place)
    except ValueError as error:
        raise ValueError(f"has a packagedir {place[:200]!r} that {error}") from error


def _timestamp(value: str) -> float | None:
    """Return when the tree was made, in seconds; None for what is no time."""
    return float(value) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value) else None


def _files(
    sections: _Sections, treeinfo: str, checksum_types: tuple[str, ...]
) -> Sequence[UnitFile]:
    """Return the files that the sections name, by path."""
    files: dict[str, UnitFile] = {}
    for place, value in sections.get("checksums", {}).items():
        kind, _, digits = value.partition(":")
        kind, digits = canonical_type(kind.strip()), digits.strip().lower()
        if kind not in checksum_types or not is_checksum(kind, digits):
            raise ValueError(f"has a checksum of {place[:200]!r} that can't be used")
        path = _path(place)
        files[path] = UnitFile(path=path, checksum_type=kind, checksum=digits)
    for section, values in sections.items():
        if section.startswith("images-") or section == "stage2":
            for place in values.values():
                files.setdefault(_path(place), UnitFile(path=_path(place)))
    kept = [files[path] for path in sorted(files) if not path.startswith(_WRITTEN)]
    if len(kept) > _MAX_FILES:
        raise ValueError(f"names more than {_MAX_FILES} files")
    return [file for file in kept if file.path != treeinfo]


def _path(place: str) -> str:
    """Return a place as a path below the feed."""
    try:
        return safe_location(place)
    except ValueError as error:
        raise ValueError(f"names {place[:200]!r}, which {error}") from error
