"""Reading no more of units than a copy needs, in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pulpit.domain.associations import UnitCriteria
from pulpit.domain.units import PACKAGE_TYPES, Unit
from pulpit.testing.unit_searches import MemoryUnitSearches

__all__ = ["MemoryUnitSelections"]


class MemoryUnitSelections(MemoryUnitSearches):
    """The part of ``pulpit.ports.ContentStore`` that is about many units at once."""

    def select_members(self, repo_id: str, criteria: UnitCriteria) -> Sequence[int]:
        return [found.unit.id for found in self.search_associations(repo_id, criteria)]

    def unit_keys(self, unit_ids: Collection[int]) -> Mapping[int, tuple[str, Mapping[str, Any]]]:
        units = self._state.units
        return {each: (units[each].type_id, units[each].key) for each in unit_ids if each in units}

    def package_metadata(self, repo_id: str, chunk: int) -> Iterator[tuple[int, bytes]]:
        for unit in self._units_of(repo_id, {"rpm"}):
            if len(unit.chunks) > chunk:
                yield unit.id, unit.chunks[chunk]

    def signing_keys(self, repo_id: str) -> Mapping[int, str | None]:
        return {
            unit.id: unit.metadata.get("signing_key")
            for unit in self._units_of(repo_id, PACKAGE_TYPES)
        }

    def _units_of(self, repo_id: str, type_ids: Collection[str]) -> list[Unit]:
        """Return the repository's units of these types, by id."""
        members = sorted(member for repo, member in self._state.associations if repo == repo_id)
        found = [self._state.units[member] for member in members]
        return [unit for unit in found if unit.type_id in type_ids]
