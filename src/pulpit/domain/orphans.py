"""Orphans: units that are in no repository, and in no publication that is still kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ORPHANS_HREF", "ORPHANS_RESOURCE", "ORPHANS_TAG", "Orphan", "orphan_document"]

ORPHANS_HREF = "/pulp/api/v2/content/orphans/"
#: The tag of tasks that remove orphans.
ORPHANS_TAG = "pulp:content_unit:orphans"
#: What they reserve, so that they run one after another.
ORPHANS_RESOURCE = "content_unit:orphans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """What is known of an orphan where it is one of many."""

    id: int
    uid: str
    type_id: str
    key: Mapping[str, Any]


def orphan_document(orphan: Orphan) -> dict[str, Any]:
    """Return the document of ``GET content/orphans/<type>/<uid>/``."""
    return {
        "_id": orphan.uid,
        "_content_type_id": orphan.type_id,
        "_href": f"{ORPHANS_HREF}{orphan.type_id}/{orphan.uid}/",
        **orphan.key,
    }
