"""The lists that a package's metadata hold, as Pulp 2 shows them; read when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import zstandard

__all__ = ["LISTED_TYPES", "package_lists"]

#: Content types whose chunks are primary, filelists and other.
LISTED_TYPES = frozenset({"rpm", "srpm"})
_NAMES = ("primary", "filelists", "other")
_RELATIONS = (
    *("requires", "provides", "conflicts", "obsoletes"),
    *("recommends", "suggests", "supplements", "enhances"),
)
#: Kind of a file in the metadata to its name in Pulp 2.
_KINDS = {None: "file", "": "file", "dir": "dir", "ghost": "ghost"}
#: Larger chunks are not read; the largest packages have a few MiB of filelists.
_MOST_BYTES = 64 << 20


def package_lists(chunks: Sequence[bytes], names: Collection[str]) -> dict[str, Any]:
    """Return those of these fields that the chunks tell.

    Args:
        chunks: primary, filelists and other of one package, each compressed with zstd.
        names: of ``pulpit.domain.unit_documents.MADE``.
    """
    reading = _Reading(chunks)
    found: dict[str, Any] = {}
    for name in names:
        if name in _RELATIONS:
            found[name] = [_entry(*item) for item in reading.of("primary", name)]
        elif name == "header_range":
            start, end = (reading.of("primary", f"rpm_header_{side}") for side in ("start", "end"))
            found[name] = {"start": start or 0, "end": end or 0}
        elif name == "files":
            found[name] = _files(reading.of("filelists", "files"))
        elif name == "changelog":
            changes = reading.of("other", "changelogs")
            found[name] = [[time, author, text] for author, time, text, *_ in changes]
        elif name == "repodata":
            found[name] = {part: reading.text(part) for part in _NAMES}
    return found


class _Reading:
    """The chunks of one package, each read at most once."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = dict(zip(_NAMES, chunks, strict=False))
        self._texts: dict[str, str] = {}
        self._parsed: dict[str, Any] = {}

    def text(self, part: str) -> str:
        """Return the XML element; an empty text where there is none."""
        if part not in self._texts:
            try:
                chunk = self._chunks.get(part, b"")
                expand = zstandard.ZstdDecompressor().decompress
                text = expand(chunk, max_output_size=_MOST_BYTES).decode() if chunk else ""
            except (zstandard.ZstdError, UnicodeDecodeError):
                text = ""
            self._texts[part] = text
        return self._texts[part]

    def of(self, part: str, attribute: str) -> Any:
        """Return what the element says of something; an empty list where it can't be read."""
        if part not in self._parsed:
            # here, since a server that nobody asks for these lists never needs the library
            import createrepo_c  # noqa: PLC0415

            found: list[Any] = []
            parse = getattr(createrepo_c, f"xml_parse_{part}_snippet")
            options: dict[str, Any] = {"do_files": False} if part == "primary" else {}
            try:
                parse(self.text(part), pkgcb=found.append, **options)
            except (createrepo_c.CreaterepoCError, ValueError):
                found.clear()
            self._parsed[part] = found[0] if found else None
        return getattr(self._parsed[part], attribute, [])


def _entry(name: str, flags: str | None, *rest: Any) -> dict[str, Any]:
    """Return what is required or provided; without flags any version will do."""
    epoch, version, release = (part or None for part in rest[:3])
    return {
        "name": name,
        "flags": flags or None,
        "epoch": epoch,
        "version": version,
        "release": release,
    }


def _files(files: Sequence[Sequence[Any]]) -> dict[str, list[str]]:
    """Return the paths by kind."""
    found: dict[str, list[str]] = {"file": [], "dir": [], "ghost": []}
    for kind, folder, name, *_ in files:
        found[_KINDS.get(kind, "file")].append(f"{folder}{name}")
    return found
