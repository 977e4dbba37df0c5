"""Units that nothing holds, and files that nothing names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, exists, func, select

from pulpit.domain.orphans import Orphan
from pulpit.storage.artifacts import ArtifactRows
from pulpit.storage.rows import batched
from pulpit.storage.tables import artifacts, published_files, repository_units, unit_files, units
from pulpit.storage.unit_numbers import highest, keep_given

__all__ = ["OrphanRows"]

_IN_REPOSITORY = exists().where(repository_units.c.unit_id == units.c.id)
_PUBLISHED = exists().where(published_files.c.unit_id == units.c.id)
_IS_ORPHAN = ~_IN_REPOSITORY & ~_PUBLISHED
_OF_UNIT = exists().where(units.c.artifact == artifacts.c.digest)
_OF_MANY = exists().where(unit_files.c.artifact == artifacts.c.digest)
_IS_NAMELESS = ~_OF_UNIT & ~_OF_MANY


class OrphanRows(ArtifactRows):
    """The part of ``pulpit.ports.ContentStore`` that is about what nobody needs any longer."""

    def orphan_counts(self) -> Mapping[str, int]:
        statement = (
            select(units.c.type_id, func.count()).where(_IS_ORPHAN).group_by(units.c.type_id)
        )
        return dict(map(tuple, self._connection.execute(statement)))

    def orphans(
        self,
        *,
        type_id: str | None = None,
        uids: Collection[str] | None = None,
        after: int = 0,
        limit: int,
    ) -> Sequence[Orphan]:
        statement = (
            select(units.c.id, units.c.uid, units.c.type_id, units.c.key)
            .where(units.c.id > after, _IS_ORPHAN)
            .order_by(units.c.id)
            .limit(limit)
        )
        if type_id is not None:
            statement = statement.where(units.c.type_id == type_id)
        if uids is not None:
            statement = statement.where(units.c.uid.in_(uids))
        return [
            Orphan(id=number, uid=uid, type_id=kind, key=key)
            for number, uid, kind, key in self._connection.execute(statement)
        ]

    def remove_orphans(self, unit_ids: Collection[int] | None = None) -> tuple[int, Sequence[str]]:
        before = highest(self._connection)
        removed = self._remove_orphans(unit_ids)
        keep_given(self._connection, before)
        return removed

    def _remove_orphans(self, unit_ids: Collection[int] | None) -> tuple[int, Sequence[str]]:
        statement = delete(units).where(_IS_ORPHAN).returning(units.c.artifact)
        if unit_ids is None:
            removed = self._connection.execute(statement).scalars().all()
            return len(removed), self._forget_nameless(None)
        named: list[str | None] = []
        of_many = self._files_of(unit_ids)
        for batch in batched(unit_ids):
            removal = statement.where(units.c.id.in_(batch))
            named.extend(self._connection.execute(removal).scalars())
        doubtful = of_many.union(digest for digest in named if digest)
        return len(named), self._forget_nameless(doubtful)

    def nameless_artifacts(self, *, after: str, limit: int) -> Sequence[str]:
        statement = (
            select(artifacts.c.digest)
            .where(artifacts.c.digest > after, _IS_NAMELESS)
            .order_by(artifacts.c.digest)
            .limit(limit)
        )
        return self._connection.execute(statement).scalars().all()

    def drop_artifacts(self, digests: Collection[str]) -> Collection[str]:
        self._forget_nameless(digests)
        return set(digests).difference(self.has_artifacts(digests))

    def _forget_nameless(self, digests: Collection[str] | None) -> Sequence[str]:
        """Forget those of the files (None: of all) that no unit names; return their digests."""
        statement = delete(artifacts).where(_IS_NAMELESS).returning(artifacts.c.digest)
        if digests is None:
            return self._connection.execute(statement).scalars().all()
        forgotten: list[str] = []
        for batch in batched(digests):
            removal = statement.where(artifacts.c.digest.in_(batch))
            forgotten.extend(self._connection.execute(removal).scalars())
        return forgotten
