"""Groups of repositories, which are a name for several of them and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["REPO_GROUPS_HREF", "RepoGroup", "repo_group_document"]

REPO_GROUPS_HREF = "/pulp/api/v2/repo_groups/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoGroup:
    """A named set of repositories."""

    id: str
    #: 24 hexadecimal digits, the ``_id`` of the document.
    oid: str
    display_name: str
    description: str | None = None
    #: JSON object of the user's own.
    notes: Mapping[str, Any] = field(default_factory=dict)
    #: Ids of the repositories, sorted.
    repo_ids: tuple[str, ...] = ()


def repo_group_document(group: RepoGroup) -> dict[str, Any]:
    """Return the document of ``GET /pulp/api/v2/repo_groups/<id>/``."""
    return {
        "_id": {"$oid": group.oid},
        "_ns": "repo_groups",
        "_href": f"{REPO_GROUPS_HREF}{group.id}/",
        "id": group.id,
        "display_name": group.display_name,
        "description": group.description,
        "notes": group.notes,
        "repo_ids": list(group.repo_ids),
        "scratchpad": None,
    }
