"""Uploads: bytes that clients send in pieces, in any order, until they are imported as units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pulpit.errors import InvalidValue

__all__ = ["IMPORT_TASK", "Span", "Upload", "Uploaded", "UploadedFile", "merged_spans"]

#: What Pulp 2 called the task that imports an upload.
IMPORT_TASK = "pulp.server.managers.content.upload.import_uploaded_unit"

#: From the first byte to the one behind the last.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload, whose bytes are in a file of the data folder."""

    #: UUID.
    id: str
    created: datetime
    #: When a piece of it came last, or an import of it was asked for.
    touched: datetime
    #: What has come: in order, and apart from each other.
    received: tuple[Span, ...] = ()

    @property
    def size(self) -> int:
        """Bytes from the first to the last that came."""
        return self.received[-1][1] if self.received else 0

    @property
    def gap(self) -> Span | None:
        """The first bytes that are missing before others that came."""
        if not self.received or (len(self.received) == 1 and self.received[0][0] == 0):
            return None
        first = self.received[0]
        return (0, first[0]) if first[0] else (first[1], self.received[1][0])

    def with_span(self, start: int, end: int, *, now: datetime) -> Self:
        """Return the upload after these bytes came."""
        received = merged_spans([*self.received, (start, end)])
        return replace(self, received=received, touched=max(now, self.touched))


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """The bytes of an upload that is imported; a copy that nobody else writes."""

    path: Path
    #: SHA-256, lower-case hexadecimal.
    digest: str
    #: Bytes.
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What an importer is to make units of."""

    type_id: str
    #: As the client sent them; of packages both may be empty, as their files tell all.
    key: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: None for a unit that is nothing but metadata.
    file: UploadedFile | None = None

    @property
    def user_metadata(self) -> Mapping[str, Any]:
        """The users' own of the unit, which stands among its metadata.

        Raises:
            InvalidValue: it is something else than an object.
        """
        own = self.metadata.get("pulp_user_metadata")
        if own is None:
            return {}
        if not isinstance(own, Mapping):
            raise InvalidValue("unit_metadata", why="pulp_user_metadata must be an object")
        return own


def merged_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the same bytes in as few spans as there can be, in order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start == end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)
