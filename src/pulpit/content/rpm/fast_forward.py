"""Taking over from the former publication the files that list packages, where these are the same.

What a publication listed is told by the ids of its units, each with how often its metadata were
replaced. Ids mean the same units as then, since a unit that is published is not removed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pulpit.content.rpm.repodata import MetadataRecord
from pulpit.domain.repositories import Publication

__all__ = ["PACKAGE_LISTS", "Former", "packages_digest", "reusable_of"]

#: Types of the files that list packages.
PACKAGE_LISTS = ("primary", "filelists", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """The publication before, of which the files that list packages can be taken over."""

    publication_id: int
    #: Its ``repodata``.
    folder: Path
    #: Of primary, filelists and other.
    records: Sequence[MetadataRecord]

    @classmethod
    def find(cls, live: Publication | None, *, digest: str, folder: Path) -> Former | None:
        """Return the live publication if it lists equal packages alike, and its files are whole.

        Args:
            live: the distributor's live publication.
            digest: of the packages that are to be listed.
            folder: of that publication.
        """
        if live is None or live.reusable is None or live.reusable.get("packages") != digest:
            return None
        repodata = folder / "repodata"
        try:
            records = msgspec.convert(live.reusable.get("files"), list[MetadataRecord])
        except msgspec.ValidationError:
            return None
        kinds = tuple(record.type for record in records)
        if kinds != PACKAGE_LISTS or not all(_is_whole(repodata, one) for one in records):
            return None
        return cls(publication_id=live.id, folder=repodata, records=records)


def packages_digest(shape: Any, revisions: Mapping[int, int]) -> str:
    """Return what is equal where the files that list packages would be.

    Args:
        shape: JSON of what shapes them, beside the packages.
        revisions: id of each unit that they list, to how often its metadata were replaced.
    """
    text = msgspec.json.encode([shape, sorted(revisions.items())])
    return hashlib.sha256(text).hexdigest()


def reusable_of(digest: str, records: Iterable[MetadataRecord]) -> dict[str, Any]:
    """Return what a publication keeps for the next one.

    Args:
        digest: of the packages that it lists.
        records: of all its metadata files.
    """
    found = {record.type: dataclasses.asdict(record) for record in records}
    return {"packages": digest, "files": [found[kind] for kind in PACKAGE_LISTS]}


def _is_whole(folder: Path, record: MetadataRecord) -> bool:
    """Tell whether a file is there as it was written."""
    try:
        with (folder / Path(record.name).name).open("rb") as file:
            digest = hashlib.file_digest(
                file, lambda: hashlib.new(record.checksum_type, usedforsecurity=False)
            )
    except (OSError, ValueError):
        return False
    return digest.hexdigest() == record.checksum
