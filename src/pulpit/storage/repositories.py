"""Repositories with their importers and distributors."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Dialect,
    String,
    TypeDecorator,
    bindparam,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON

from pulpit.domain.criteria import Criteria
from pulpit.domain.repositories import Distributor, Importer, Repository, masked
from pulpit.errors import DuplicateResource, MissingResource
from pulpit.storage.criteria import ColumnKind, FieldColumn
from pulpit.storage.rows import batched, upsert
from pulpit.storage.searches import find
from pulpit.storage.tables import distributors, importers, publications, repositories

__all__ = ["SqlRepositoryStore"]

_DISTRIBUTOR = tuple(column.name for column in distributors.c)
_CHANGING = ("display_name", "description", "notes", "scratchpad")

_FIELDS = {
    "_id": FieldColumn(column=repositories.c.oid),
    "id": FieldColumn(column=repositories.c.id),
    "display_name": FieldColumn(column=repositories.c.display_name),
    "description": FieldColumn(column=repositories.c.description),
    "notes": FieldColumn(column=repositories.c.notes, kind=ColumnKind.JSON),
    "scratchpad": FieldColumn(column=repositories.c.scratchpad, kind=ColumnKind.JSON),
    "content_unit_counts": FieldColumn(
        column=repositories.c.content_unit_counts, kind=ColumnKind.JSON
    ),
    "last_unit_added": FieldColumn(column=repositories.c.last_unit_added, kind=ColumnKind.TIME),
    "last_unit_removed": FieldColumn(column=repositories.c.last_unit_removed, kind=ColumnKind.TIME),
}


class _MaskedJson(TypeDecorator[Any]):
    """A configuration, read as clients may see it."""

    impl = JSON
    cache_ok = True

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> Any:
        return None if value is None else masked(value)


class _Masked(FunctionElement[Any]):
    """A configuration of which no search is to tell a secret."""

    type = _MaskedJson()
    inherit_cache = True


@compiles(_Masked)
def _compile_masked(element: _Masked, compiler: SQLCompiler, **options: Any) -> str:
    """Return what is judged here, where it is masked when it is read."""
    return compiler.process(element.clauses, **options)


@compiles(_Masked, "sqlite")
def _compile_masked_there(element: _Masked, compiler: SQLCompiler, **options: Any) -> str:
    """Return what SQLite judges."""
    return f"pulpit_masked({compiler.process(element.clauses, **options)})"


#: Unique, since ids hold no slash.
_PLACE = (distributors.c.repo_id + literal("/", String) + distributors.c.id).label("place")
_DISTRIBUTOR_FIELDS = {
    "_id": FieldColumn(column=distributors.c.oid),
    "id": FieldColumn(column=distributors.c.id),
    "repo_id": FieldColumn(column=distributors.c.repo_id),
    "distributor_type_id": FieldColumn(column=distributors.c.distributor_type_id),
    "config": FieldColumn(column=_Masked(distributors.c.config), kind=ColumnKind.JSON),
    "auto_publish": FieldColumn(column=distributors.c.auto_publish, kind=ColumnKind.BOOLEAN),
    "scratchpad": FieldColumn(column=distributors.c.scratchpad, kind=ColumnKind.JSON),
    "last_publish": FieldColumn(column=distributors.c.last_publish, kind=ColumnKind.TIME),
    "last_updated": FieldColumn(column=distributors.c.last_updated, kind=ColumnKind.TIME),
}

#: Building a statement takes longer than running it; this one runs for every task.
_GET = select(repositories).where(repositories.c.id == bindparam("of_id"))
_NOTES = select(repositories.c.id, repositories.c.notes).where(
    repositories.c.id.in_(bindparam("ids", expanding=True))
)


class SqlRepositoryStore:
    """Implements ``pulpit.ports.RepositoryStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _repositories(
        self, statement: Any, values: Mapping[str, Any] | None = None
    ) -> list[Repository]:
        rows = self._connection.execute(statement, values or {}).mappings()
        return [Repository(**row) for row in rows]

    def add(self, repository: Repository) -> None:
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(repositories), dataclasses.asdict(repository))
        except IntegrityError as error:
            raise DuplicateResource(repository.id) from error

    def get(self, repo_id: str) -> Repository:
        found = self._repositories(_GET, {"of_id": repo_id})
        if not found:
            raise MissingResource(repo_id=repo_id)
        return found[0]

    def notes(self, repo_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return {
            row.id: row.notes
            for batch in batched(repo_ids)
            for row in self._connection.execute(_NOTES, {"ids": batch})
        }

    def list(self) -> Sequence[Repository]:
        return self._repositories(select(repositories).order_by(repositories.c.id))

    def search(self, criteria: Criteria) -> Sequence[Repository]:
        found = find(
            self._connection, select(repositories), criteria, _FIELDS, key=repositories.c.id
        )
        return [Repository(**row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's name

    def update(self, repository: Repository) -> None:
        self._connection.execute(
            update(repositories)
            .where(repositories.c.id == repository.id)
            .values({name: getattr(repository, name) for name in _CHANGING}),
        )

    def remove(self, repo_id: str) -> None:
        self._connection.execute(delete(publications).where(publications.c.repo_id == repo_id))
        self._connection.execute(delete(repositories).where(repositories.c.id == repo_id))

    def importers(self, repo_ids: Collection[str]) -> Sequence[Importer]:
        return [
            Importer(**row)
            for batch in batched(repo_ids)
            for row in self._connection.execute(
                select(importers).where(importers.c.repo_id.in_(batch)),
            ).mappings()
        ]

    def set_importer(self, importer: Importer) -> None:
        upsert(self._connection, importers, [dataclasses.asdict(importer)])

    def remove_importer(self, repo_id: str) -> None:
        self._connection.execute(delete(importers).where(importers.c.repo_id == repo_id))

    def distributors(self, repo_ids: Collection[str]) -> Sequence[Distributor]:
        return [
            Distributor(**row)
            for batch in batched(repo_ids)
            for row in self._connection.execute(
                select(distributors)
                .where(distributors.c.repo_id.in_(batch))
                .order_by(distributors.c.repo_id, distributors.c.id),
            ).mappings()
        ]

    def search_distributors(self, criteria: Criteria) -> Sequence[Distributor]:
        statement = select(distributors, _PLACE)
        found = find(self._connection, statement, criteria, _DISTRIBUTOR_FIELDS, key=_PLACE)
        return [Distributor(**{name: row._mapping[name] for name in _DISTRIBUTOR}) for row in found]  # noqa: SLF001 - SQLAlchemy's name

    def set_distributor(self, distributor: Distributor) -> None:
        upsert(self._connection, distributors, [dataclasses.asdict(distributor)])

    def remove_distributor(self, repo_id: str, distributor_id: str) -> None:
        self._connection.execute(
            delete(publications).where(
                publications.c.repo_id == repo_id,
                publications.c.distributor_id == distributor_id,
            ),
        )
        self._connection.execute(
            delete(distributors).where(
                distributors.c.repo_id == repo_id, distributors.c.id == distributor_id
            ),
        )
