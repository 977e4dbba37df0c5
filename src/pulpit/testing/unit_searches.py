"""Searches of units in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pulpit.domain.associations import PREFIX, Association, UnitCriteria, association_values
from pulpit.domain.clock import utc_now
from pulpit.domain.criteria import Selection, select
from pulpit.domain.unit_documents import unit_values
from pulpit.domain.units import UNIT_KEYS, Unit
from pulpit.errors import MissingResource
from pulpit.testing.state import State

__all__ = ["MemoryUnitSearches"]


class MemoryUnitSearches:
    """The part of ``pulpit.ports.ContentStore`` that finds units."""

    def __init__(self, state: State) -> None:
        self._state = state

    def search(self, type_ids: Collection[str], criteria: Selection) -> Sequence[Unit]:
        known = UNIT_KEYS.keys() & (type_ids or UNIT_KEYS)
        found = [
            replace(unit, chunks=())
            for _, unit in sorted(self._state.units.items())
            if unit.type_id in known
        ]
        return select(found, criteria, unit_values)

    def search_associations(self, repo_id: str, criteria: UnitCriteria) -> Sequence[Association]:
        state = self._state
        known = UNIT_KEYS.keys() & (criteria.type_ids or UNIT_KEYS)
        found = [
            Association(
                repo_id=repo_id,
                unit=replace(state.units[unit_id], chunks=()),
                created=state.associated[repo_id, unit_id],
            )
            for repo, unit_id in sorted(state.associations)
            if repo == repo_id and state.units[unit_id].type_id in known
        ]
        return select(found, criteria, _document)

    def memberships(self, unit_ids: Collection[int]) -> Mapping[int, Sequence[str]]:
        return {
            unit_id: sorted(repo for repo, member in self._state.associations if member == unit_id)
            for unit_id in unit_ids
        }

    def chunks(self, unit_ids: Collection[int]) -> Mapping[int, tuple[bytes, ...]]:
        found = {unit_id: self._state.units[unit_id].chunks for unit_id in unit_ids}
        return {unit_id: chunks for unit_id, chunks in found.items() if chunks}

    def by_uid(self, type_id: str, uid: str) -> Unit:
        for unit in self._state.units.values():
            if (unit.type_id, unit.uid) == (type_id, uid):
                return replace(unit, chunks=())
        raise MissingResource(content_type=type_id, unit_id=uid)

    def set_user_metadata(self, unit_id: int, metadata: Mapping[str, Any]) -> None:
        unit = self._state.units[unit_id]
        self._state.units[unit_id] = replace(unit, user_metadata=metadata, updated=utc_now())


def _document(association: Association) -> dict[str, Any]:
    """Return what searches see of an association with its unit."""
    beside = association_values(association)
    return unit_values(association.unit) | {PREFIX + name: beside[name] for name in beside}
