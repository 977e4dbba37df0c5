"""Reading no more of units than a copy needs, however many they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from pulpit.domain.associations import UnitCriteria
from pulpit.domain.units import PACKAGE_TYPES
from pulpit.storage.rows import batched
from pulpit.storage.searches import find_keys
from pulpit.storage.tables import repository_units, unit_chunks, units
from pulpit.storage.unit_searches import members_searched

__all__ = ["UnitSelections"]

_CHUNKS = (unit_chunks.c.chunk_0, unit_chunks.c.chunk_1, unit_chunks.c.chunk_2)


class UnitSelections:
    """The part of ``pulpit.ports.ContentStore`` that is about many units at once."""

    @cached_property
    def _connection(self) -> Connection:
        raise NotImplementedError

    def select_members(self, repo_id: str, criteria: UnitCriteria) -> Sequence[int]:
        keyed, variants = members_searched(repo_id, criteria)
        key = repository_units.c.unit_id
        return find_keys(self._connection, keyed, criteria, variants, key=key)

    def unit_keys(self, unit_ids: Collection[int]) -> Mapping[int, tuple[str, Mapping[str, Any]]]:
        found: dict[int, tuple[str, Mapping[str, Any]]] = {}
        for batch in batched(set(unit_ids)):
            statement = select(units.c.id, units.c.type_id, units.c.key).where(
                units.c.id.in_(batch)
            )
            for unit_id, type_id, key in self._connection.execute(statement):
                found[unit_id] = (type_id, key)
        return found

    def package_metadata(self, repo_id: str, chunk: int) -> Iterator[tuple[int, bytes]]:
        joined = repository_units.join(units, units.c.id == repository_units.c.unit_id)
        statement = (
            select(units.c.id, _CHUNKS[chunk])
            .select_from(joined.join(unit_chunks, unit_chunks.c.unit_id == units.c.id))
            .where(repository_units.c.repo_id == repo_id, units.c.type_id == "rpm")
            .order_by(repository_units.c.unit_id)
        )
        options = {"stream_results": True, "yield_per": 500}
        for unit_id, content in self._connection.execute(statement, execution_options=options):
            if content is not None:
                yield unit_id, content

    def signing_keys(self, repo_id: str) -> Mapping[int, str | None]:
        key = units.c.metadata["signing_key"].as_string()
        statement = _members(repo_id, units.c.id, key).where(units.c.type_id.in_(PACKAGE_TYPES))
        return {row[0]: row[1] for row in self._connection.execute(statement)}


def _members(repo_id: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """Return the selection of columns of the units in a repository."""
    joined = repository_units.join(units, units.c.id == repository_units.c.unit_id)
    return select(*columns).select_from(joined).where(repository_units.c.repo_id == repo_id)
