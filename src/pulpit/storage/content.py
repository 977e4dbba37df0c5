"""The content store in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update

from pulpit.domain.clock import utc_now
from pulpit.domain.units import FILE_TYPES, PACKAGE_TYPES, Unit
from pulpit.errors import MissingResource
from pulpit.storage.orphans import OrphanRows
from pulpit.storage.rows import batched, insert_ignoring, insert_statement, upsert
from pulpit.storage.tables import (
    repositories,
    repository_units,
    unit_chunks,
    unit_files,
    units,
)
from pulpit.storage.unit_numbers import next_free
from pulpit.storage.unit_searches import UnitSearches
from pulpit.storage.unit_selections import UnitSelections
from pulpit.storage.units import (
    PACKAGE_FIELDS,
    UNIT_FIELDS,
    chunk_row,
    package_of,
    unit_of,
    unit_row,
)

__all__ = ["SqlContentStore"]

#: Units whose chunks are read at once; of most packages a few kilobytes, of a kernel a hundred.
_READ_AT_ONCE = 200
_CHUNKS = (unit_chunks.c.chunk_0, unit_chunks.c.chunk_1, unit_chunks.c.chunk_2)


class SqlContentStore(OrphanRows, UnitSearches, UnitSelections):
    """Implements ``pulpit.ports.ContentStore``."""

    def known(self, type_id: str, digests: Collection[bytes]) -> Mapping[bytes, int]:
        found: dict[bytes, int] = {}
        for batch in batched(digests):
            statement = select(units.c.key_digest, units.c.id).where(
                units.c.type_id == type_id, units.c.key_digest.in_(batch)
            )
            found.update(map(tuple, self._connection.execute(statement)))
        return found

    def add(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        now = utc_now()
        rows = [unit_row(unit, now=now) for unit in units]
        self._insert(rows, replacing=False)
        ids = self._ids(rows)
        chunks = _chunk_rows(units, rows, ids)
        insert_ignoring(self._connection, unit_chunks, chunks)
        return ids

    def replace(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        now = utc_now()
        rows = [unit_row(unit, now=now) for unit in units]
        present = self._ids(rows)
        before = self._contents(present)
        self._insert(rows, replacing=True)
        ids = self._ids(rows)
        chunks = _chunk_rows(units, rows, ids)
        upsert(self._connection, unit_chunks, chunks)
        self._drop_chunks(set(ids.values()).difference(row["unit_id"] for row in chunks))
        after = {row["unit_id"]: (row["chunk_0"], row["chunk_1"], row["chunk_2"]) for row in chunks}
        changed = [it for it in present.values() if before.get(it) != after.get(it)]
        self._revise(changed)
        self._touch(changed)
        return ids

    def _revise(self, unit_ids: Collection[int]) -> None:
        """Keep that units have other chunks than before."""
        for batch in batched(unit_ids):
            statement = update(units).where(units.c.id.in_(batch))
            self._connection.execute(statement.values(revision=units.c.revision + 1))

    def _drop_chunks(self, unit_ids: Collection[int]) -> None:
        """Delete the chunks of units that have none any longer."""
        for batch in batched(unit_ids):
            self._connection.execute(delete(unit_chunks).where(unit_chunks.c.unit_id.in_(batch)))

    def _insert(self, rows: Sequence[Mapping[str, Any]], *, replacing: bool) -> None:
        """Insert rows of units; what is there gets the artifact that it had not."""
        if not rows:
            return
        statement = insert_statement(self._connection, units)
        new = statement.excluded
        values: dict[str, Any] = {"artifact": func.coalesce(units.c.artifact, new.artifact)}
        where: ColumnElement[bool] | None = None
        if replacing:
            values |= {"metadata": new.metadata, "updated": new.updated}
        else:
            where = and_(units.c.artifact.is_(None), new.artifact.is_not(None))
        statement = statement.on_conflict_do_update(
            index_elements=[units.c.type_id, units.c.key_digest], set_=values, where=where
        )
        # in one order for all who write the same at once, so that none waits for one who waits
        ordered: list[Mapping[str, Any]] = sorted(rows, key=_unit_key)
        if first := next_free(self._connection):
            ordered = [{**row, "id": first + place} for place, row in enumerate(ordered)]
        self._connection.execute(statement, ordered)

    def _ids(self, rows: Sequence[Mapping[str, Any]]) -> dict[bytes, int]:
        """Return key digest to id of those rows that are stored."""
        ids: dict[bytes, int] = {}
        for type_id in {row["type_id"] for row in rows}:
            digests = [row["key_digest"] for row in rows if row["type_id"] == type_id]
            ids.update(self.known(type_id, digests))
        return ids

    def _contents(self, ids: Mapping[bytes, int]) -> dict[int, tuple[bytes | None, ...]]:
        """Return unit id to chunks."""
        found: dict[int, tuple[bytes | None, ...]] = {}
        for batch in batched(ids.values(), _READ_AT_ONCE):
            statement = select(unit_chunks.c.unit_id, *_CHUNKS).where(
                unit_chunks.c.unit_id.in_(batch)
            )
            found.update((row[0], tuple(row[1:])) for row in self._connection.execute(statement))
        return found

    def _touch(self, unit_ids: Collection[int]) -> None:
        """Give the repositories of changed units a new revision."""
        for batch in batched(unit_ids):
            holders = select(repository_units.c.repo_id).where(
                repository_units.c.unit_id.in_(batch)
            )
            statement = (
                update(repositories)
                .where(repositories.c.id.in_(holders))
                .values(content_revision=repositories.c.content_revision + 1)
            )
            self._connection.execute(statement)

    def members(self, repo_id: str, type_id: str | None = None) -> Mapping[int, bytes]:
        statement = _in_repository(repo_id, units.c.id, units.c.key_digest)
        if type_id is not None:
            statement = statement.where(units.c.type_id == type_id)
        return {row[0]: row[1] for row in self._connection.execute(statement)}

    def revisions(self, repo_id: str, type_ids: Collection[str]) -> Mapping[int, int]:
        statement = _in_repository(repo_id, units.c.id, units.c.revision).where(
            units.c.type_id.in_(type_ids)
        )
        return dict(map(tuple, self._connection.execute(statement)))

    def units(self, repo_id: str, type_ids: Collection[str]) -> Iterator[Unit]:
        return self._read(repo_id, type_ids, UNIT_FIELDS, unit_of)

    def packages(self, repo_id: str, *, name: str | None = None) -> Iterator[Unit]:
        statement = _in_repository(repo_id, *PACKAGE_FIELDS).where(
            units.c.type_id.in_(PACKAGE_TYPES)
        )
        if name is not None:
            statement = statement.where(units.c.name == name)
        rows = self._connection.execute(statement, execution_options={"yield_per": 1000})
        return map(package_of, rows)

    def package_chunks(self, repo_id: str, type_ids: Collection[str]) -> Iterator[Unit]:
        return self._read(repo_id, type_ids, PACKAGE_FIELDS, package_of)

    def locally_stored(self, repo_id: str) -> int:
        here = or_(units.c.artifact.is_not(None), units.c.type_id.not_in(FILE_TYPES))
        lacks = exists().where(unit_files.c.unit_id == units.c.id, unit_files.c.artifact.is_(None))
        statement = _in_repository(repo_id, func.count()).where(here, ~lacks)
        return int(self._connection.execute(statement).scalar_one())

    def _read(
        self,
        repo_id: str,
        type_ids: Collection[str],
        fields: Sequence[ColumnElement[Any]],
        build: Callable[[Sequence[Any], tuple[bytes, ...]], Unit],
    ) -> Iterator[Unit]:
        """Yield units in order, reading few at once: sorting with chunks would hold them all."""
        order = (units.c.name, units.c.arch, units.c.version, units.c.release, units.c.epoch)
        statement = (
            _in_repository(repo_id, units.c.id)
            .where(units.c.type_id.in_(type_ids))
            .order_by(*order, units.c.checksum, units.c.key_digest)
        )
        ids = self._connection.execute(statement).scalars().all()
        joined = units.outerjoin(unit_chunks, unit_chunks.c.unit_id == units.c.id)
        reading = select(*fields, *_CHUNKS).select_from(joined)
        for batch in batched(ids, _READ_AT_ONCE):
            rows = self._connection.execute(reading.where(units.c.id.in_(batch)))
            found = {row[0]: row for row in rows}
            for unit_id in batch:
                row = found[unit_id]
                yield build(row, tuple(chunk for chunk in row[-3:] if chunk is not None))

    def associate(self, repo_id: str, unit_ids: Collection[int], *, now: datetime) -> int:
        new = [*set(unit_ids).difference(self._present(repo_id, unit_ids))]
        rows = [{"repo_id": repo_id, "unit_id": unit_id, "created": now} for unit_id in sorted(new)]
        insert_ignoring(self._connection, repository_units, rows)
        self._recount(repo_id, new, sign=1, moment=repositories.c.last_unit_added, now=now)
        return len(new)

    def unassociate(self, repo_id: str, unit_ids: Collection[int], *, now: datetime) -> int:
        gone = self._present(repo_id, unit_ids)
        for batch in batched(gone):
            statement = delete(repository_units).where(
                repository_units.c.repo_id == repo_id, repository_units.c.unit_id.in_(batch)
            )
            self._connection.execute(statement)
        self._recount(repo_id, gone, sign=-1, moment=repositories.c.last_unit_removed, now=now)
        return len(gone)

    def touch(self, repo_id: str, *, now: datetime) -> None:
        moment = repositories.c.last_unit_added
        before = self._connection.execute(
            select(moment).where(repositories.c.id == repo_id)
        ).scalar_one()
        statement = update(repositories).where(repositories.c.id == repo_id)
        values = {
            "last_unit_added": max(before or now, now),
            "content_revision": repositories.c.content_revision + 1,
        }
        self._connection.execute(statement.values(values))

    def _present(self, repo_id: str, unit_ids: Collection[int]) -> list[int]:
        """Return which of the units are in the repository."""
        found: list[int] = []
        for batch in batched(set(unit_ids)):
            statement = select(repository_units.c.unit_id).where(
                repository_units.c.repo_id == repo_id, repository_units.c.unit_id.in_(batch)
            )
            found.extend(self._connection.execute(statement).scalars())
        return found

    def _recount(
        self, repo_id: str, unit_ids: Sequence[int], *, sign: int, moment: Any, now: datetime
    ) -> None:
        """Keep that these units were added (*sign* 1) or removed (-1), and when."""
        if not unit_ids:
            return
        changes: Counter[str] = Counter()
        for batch in batched(unit_ids):
            statement = (
                select(units.c.type_id, func.count())
                .where(units.c.id.in_(batch))
                .group_by(units.c.type_id)
            )
            changes.update(dict(map(tuple, self._connection.execute(statement))))
        row = self._connection.execute(
            select(repositories.c.content_unit_counts, moment).where(repositories.c.id == repo_id)
        ).one()
        counts = dict(row[0])
        for type_id, number in changes.items():
            counts[type_id] = counts.get(type_id, 0) + sign * number
        recounted = (
            update(repositories)
            .where(repositories.c.id == repo_id)
            .values(
                {
                    "content_unit_counts": {kind: n for kind, n in counts.items() if n > 0},
                    moment.name: max(row[1] or now, now),
                    "content_revision": repositories.c.content_revision + 1,
                }
            )
        )
        self._connection.execute(recounted)

    def unit(self, unit_id: int) -> Unit:
        row = self._connection.execute(select(*UNIT_FIELDS).where(units.c.id == unit_id)).first()
        if row is None:
            raise MissingResource(unit_id=str(unit_id))
        return unit_of(row)


def _in_repository(repo_id: str, *fields: ColumnElement[Any]) -> Select[Any]:
    """Return the selection of columns of the units in a repository."""
    joined = repository_units.join(units, units.c.id == repository_units.c.unit_id)
    return select(*fields).select_from(joined).where(repository_units.c.repo_id == repo_id)


def _chunk_rows(
    added: Sequence[Unit], rows: Sequence[Mapping[str, Any]], ids: Mapping[bytes, int]
) -> list[dict[str, Any]]:
    """Return the rows of the units' chunks; of equal units the first one's."""
    found: dict[int, tuple[bytes, ...]] = {}
    for unit, row in zip(added, rows, strict=True):
        if unit.chunks:
            found.setdefault(ids[row["key_digest"]], unit.chunks)
    return [chunk_row(unit_id, chunks) for unit_id, chunks in sorted(found.items())]


def _unit_key(row: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return what a unit is unique by."""
    return row["type_id"], row["key_digest"]
