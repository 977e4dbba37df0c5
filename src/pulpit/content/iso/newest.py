"""Which of several files of one name is published: the one that the repository got last."""

from __future__ import annotations

from collections.abc import Mapping

from pulpit.domain.associations import UnitCriteria
from pulpit.domain.units import Unit
from pulpit.ports import ContentStore

__all__ = ["newest_by_name"]


def newest_by_name(content: ContentStore, repo_id: str) -> Mapping[str, Unit]:
    """Return the files of a repository by name; of those with the same name, the newest."""
    found = content.search_associations(repo_id, UnitCriteria(type_ids=frozenset({"iso"})))
    units: dict[str, Unit] = {}
    for association in sorted(found, key=lambda one: (one.created, one.unit.id)):
        units[str(association.unit.key["name"])] = association.unit
    return units
