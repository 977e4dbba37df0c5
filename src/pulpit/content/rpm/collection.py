"""The documents of a feed, compared with those that the repository has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from pulpit.content.download import Fetched
from pulpit.content.rpm.documents import Document
from pulpit.content.rpm.repomd import Record
from pulpit.domain.units import Unit, unit_key_digest

__all__ = ["EXTRA", "Changes", "changes", "extra_file", "is_extra"]

#: The content type of metadata files that are kept as they are.
EXTRA = "yum_repo_metadata_file"

#: What is read, or written anew when publishing; anything else is kept as it is.
_UNDERSTOOD = frozenset(
    {
        "primary",
        "filelists",
        "filelists-ext",
        "other",
        "updateinfo",
        "group",
        "modules",
        "prestodelta",
        "deltainfo",
    }
)
_REPACKED = ("_db", "_zck", "_gz", "_xz", "_zst", "_bz2")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a sync changes about documents of a repository."""

    #: New ones, and those with new content.
    written: Sequence[Unit] = ()
    #: Ids of units of the repository whose content is new.
    updated: frozenset[int] = frozenset()
    #: Ids of units of the repository that the feed lacks.
    missing: frozenset[int] = frozenset()
    #: Ids of units of the repository in whose place others come.
    replaced: frozenset[int] = frozenset()
    #: SHA-256 to size of files that the written units name.
    files: Mapping[str, int] = field(default_factory=dict)


def is_extra(kind: str) -> bool:
    """Tell whether a type of metadata is kept as it is."""
    return kind not in _UNDERSTOOD and not kind.endswith(_REPACKED)


def changes(present: Iterable[Unit], found: Iterable[Document]) -> Changes:
    """Compare what the repository has with what the feed has."""
    before = {unit_key_digest(unit.type_id, unit.key): unit for unit in present}
    missing = {unit.id for unit in before.values()}
    updated: set[int] = set()
    written: list[Unit] = []
    for document in found:
        known = before.get(document.digest)
        if known is not None:
            missing.discard(known.id)
        if known is None or document.differs(known):
            written.append(document.unit())
            updated.update([known.id] if known else [])
    return Changes(written=written, updated=frozenset(updated), missing=frozenset(missing))


def extra_file(record: Record, fetched: Fetched, *, repo_id: str) -> Unit:
    """Return a metadata file that is kept as it is."""
    kind, checksum = record.checksum
    opened = record.open_checksum
    return Unit(
        uid=str(uuid4()),
        type_id=EXTRA,
        key={"data_type": record.type, "repo_id": repo_id},
        metadata={
            "data_type": record.type,
            "filename": record.location.rpartition("/")[2],
            "checksum_type": kind,
            "checksum": checksum,
            "size": fetched.size,
            "open_checksum_type": opened[0] if opened else None,
            "open_checksum": opened[1] if opened else None,
        },
        artifact=fetched.digest,
    )


def extra_changes(present: Iterable[Unit], found: Mapping[str, tuple[Unit, int]]) -> Changes:
    """Compare metadata files; *found* is type to unit and bytes."""
    before = {unit.key["data_type"]: unit for unit in present}
    written = [
        unit
        for kind, (unit, _) in found.items()
        if kind not in before or before[kind].artifact != unit.artifact
    ]
    names = {unit.key["data_type"] for unit in written}
    return Changes(
        written=written,
        updated=frozenset(unit.id for kind, unit in before.items() if kind in names),
        missing=frozenset(unit.id for kind, unit in before.items() if kind not in found),
        files={unit.artifact: found[unit.key["data_type"]][1] for unit in written if unit.artifact},
    )
