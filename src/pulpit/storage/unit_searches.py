"""Searches of units, by themselves and as members of a repository."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Select, select, update

from pulpit.domain.associations import Association, UnitCriteria
from pulpit.domain.clock import utc_now
from pulpit.domain.criteria import Selection
from pulpit.domain.filters import fields_of
from pulpit.domain.units import Unit
from pulpit.errors import MissingResource
from pulpit.storage.criteria import Variant
from pulpit.storage.rows import batched
from pulpit.storage.searches import find_among
from pulpit.storage.tables import repository_units, unit_chunks, units
from pulpit.storage.unit_fields import membership_variants, unit_variants
from pulpit.storage.units import UNIT_FIELDS, unit_of

__all__ = ["UnitSearches", "members_searched"]

_ALL_UNITS = select(*UNIT_FIELDS).select_from(units)
_MEMBERS = select(*UNIT_FIELDS, repository_units.c.unit_id, repository_units.c.created).select_from(
    repository_units.join(units, units.c.id == repository_units.c.unit_id)
)
_CHUNKS = select(
    unit_chunks.c.unit_id, unit_chunks.c.chunk_0, unit_chunks.c.chunk_1, unit_chunks.c.chunk_2
)


class UnitSearches:
    """The part of ``pulpit.ports.ContentStore`` that finds units."""

    @property
    def _connection(self) -> Connection:
        raise NotImplementedError

    def search(self, type_ids: Collection[str], criteria: Selection) -> Sequence[Unit]:
        variants = unit_variants(type_ids, _names(criteria))
        found = find_among(self._connection, _ALL_UNITS, criteria, variants, key=units.c.id)
        return [unit_of(row) for row in found]

    def search_associations(self, repo_id: str, criteria: UnitCriteria) -> Sequence[Association]:
        keyed, variants = members_searched(repo_id, criteria)
        found = find_among(
            self._connection,
            _MEMBERS.where(repository_units.c.repo_id == repo_id),
            criteria,
            variants,
            key=repository_units.c.unit_id,
            among=keyed,
        )
        return [Association(repo_id=repo_id, unit=unit_of(row), created=row[-1]) for row in found]

    def memberships(self, unit_ids: Collection[int]) -> Mapping[int, Sequence[str]]:
        found: dict[int, list[str]] = {unit_id: [] for unit_id in unit_ids}
        for batch in batched(found):
            statement = (
                select(repository_units.c.unit_id, repository_units.c.repo_id)
                .where(repository_units.c.unit_id.in_(batch))
                .order_by(repository_units.c.repo_id)
            )
            for unit_id, repo_id in self._connection.execute(statement):
                found[unit_id].append(repo_id)
        return found

    def chunks(self, unit_ids: Collection[int]) -> Mapping[int, tuple[bytes, ...]]:
        found: dict[int, tuple[bytes, ...]] = {}
        for batch in batched(set(unit_ids)):
            rows = self._connection.execute(_CHUNKS.where(unit_chunks.c.unit_id.in_(batch)))
            for row in rows:
                found[row[0]] = tuple(chunk for chunk in row[1:] if chunk is not None)
        return found

    def by_uid(self, type_id: str, uid: str) -> Unit:
        statement = _ALL_UNITS.where(units.c.uid == uid, units.c.type_id == type_id)
        row = self._connection.execute(statement).first()
        if row is None:
            raise MissingResource(content_type=type_id, unit_id=uid)
        return unit_of(row)

    def set_user_metadata(self, unit_id: int, metadata: Mapping[str, object]) -> None:
        self._connection.execute(
            update(units)
            .where(units.c.id == unit_id)
            .values(user_metadata=metadata or None, updated=utc_now())
        )


def members_searched(repo_id: str, criteria: UnitCriteria) -> tuple[Select[Any], Sequence[Variant]]:
    """Return what selects the ids of a repository's units, and where what is asked of them stands.

    The rows of the units are left out if nothing is asked of these.
    """
    names = _names(criteria)
    keyed = select(repository_units.c.unit_id).where(repository_units.c.repo_id == repo_id)
    if alone := membership_variants(criteria.type_ids, names):
        return keyed, alone
    joined = repository_units.join(units, units.c.id == repository_units.c.unit_id)
    variants = unit_variants(criteria.type_ids, names, associated=True)
    return keyed.select_from(joined), variants


def _names(criteria: Selection) -> list[str]:
    """Return the dotted names that a search looks at."""
    return [*chain(fields_of(criteria.where), (name for name, _ in criteria.sort))]
