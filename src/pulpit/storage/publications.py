"""The publication store in the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from pulpit.domain.published import Root, leading_paths, refuse_rivals
from pulpit.domain.repositories import Publication
from pulpit.domain.units import Unit
from pulpit.errors import MissingResource
from pulpit.storage.rows import batched, insert_ignoring
from pulpit.storage.tables import publications, published_files, units
from pulpit.storage.units import PACKAGE_FIELDS, package_of

__all__ = ["SqlPublicationStore"]

_FIELDS = tuple(publications.c)


class SqlPublicationStore:
    """Implements ``pulpit.ports.PublicationStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, publication: Publication) -> Publication:
        values = {column.name: getattr(publication, column.name) for column in _FIELDS[1:]}
        statement = insert(publications).values(values).returning(publications.c.id)
        return replace(publication, id=self._connection.execute(statement).scalar_one())

    def add_files(
        self, publication_id: int, units: Mapping[str, int], files: Collection[str]
    ) -> None:
        paths: chain[tuple[str, int | None]] = chain(
            units.items(), ((path, None) for path in files)
        )
        rows = [
            {"publication_id": publication_id, "path": path, "unit_id": unit_id}
            for path, unit_id in paths
        ]
        insert_ignoring(self._connection, published_files, rows)

    def copy_units(self, source_id: int, target_id: int, type_ids: Collection[str]) -> None:
        joined = published_files.join(units, units.c.id == published_files.c.unit_id)
        paths = (
            select(literal(target_id), published_files.c.path, published_files.c.unit_id)
            .select_from(joined)
            .where(published_files.c.publication_id == source_id, units.c.type_id.in_(type_ids))
        )
        names = ["publication_id", "path", "unit_id"]
        self._connection.execute(insert(published_files).from_select(names, paths))

    def unit_paths(self, publication_id: int) -> Mapping[str, int]:
        statement = select(published_files.c.path, published_files.c.unit_id).where(
            published_files.c.publication_id == publication_id,
            published_files.c.unit_id.is_not(None),
        )
        return dict(map(tuple, self._connection.execute(statement)))

    def set_reusable(self, publication_id: int, reusable: Mapping[str, Any]) -> None:
        statement = update(publications).where(publications.c.id == publication_id)
        self._connection.execute(statement.values(reusable=reusable))

    def live(self, repo_id: str, distributor_id: str) -> Publication | None:
        statement = select(*_FIELDS).where(
            publications.c.repo_id == repo_id,
            publications.c.distributor_id == distributor_id,
            publications.c.live,
        )
        row = self._connection.execute(statement).first()
        return _publication(row) if row else None

    def switch(self, publication_id: int, *, now: datetime) -> None:
        statement = select(*_FIELDS).where(publications.c.id == publication_id)
        row = self._connection.execute(statement).first()
        if row is None:
            raise MissingResource(publication_id=str(publication_id))
        publication = _publication(row)
        refuse_rivals(
            publication.relative_url,
            (publication.repo_id, publication.distributor_id),
            self.conflicting(publication.relative_url, publication.root),
        )
        before = (
            update(publications)
            .where(
                publications.c.repo_id == publication.repo_id,
                publications.c.distributor_id == publication.distributor_id,
                publications.c.live,
                publications.c.id != publication_id,
            )
            .values(live=False, superseded=now)
        )
        self._connection.execute(before)
        chosen = update(publications).where(publications.c.id == publication_id)
        self._connection.execute(chosen.values(live=True, superseded=None))

    def conflicting(self, relative_url: str, root: Root = Root.REPOS) -> Sequence[tuple[str, str]]:
        parents = leading_paths(relative_url)
        below = _starts_with(publications.c.relative_url, f"{relative_url}/")
        statement = (
            select(publications.c.repo_id, publications.c.distributor_id)
            .where(
                publications.c.live,
                publications.c.root == root,
                or_(publications.c.relative_url.in_(parents), below),
            )
            .order_by(publications.c.repo_id, publications.c.distributor_id)
        )
        return [
            (repo_id, distributor) for repo_id, distributor in self._connection.execute(statement)
        ]

    def resolve(
        self, path: str, root: Root = Root.REPOS
    ) -> tuple[Publication, str, Unit | None] | None:
        for publication in self._serving(leading_paths(path), root):
            inner = path[len(publication.relative_url) + 1 :]
            statement = (
                select(published_files.c.unit_id, *PACKAGE_FIELDS)
                .select_from(
                    published_files.outerjoin(units, units.c.id == published_files.c.unit_id)
                )
                .where(
                    published_files.c.publication_id == publication.id,
                    published_files.c.path == inner,
                )
            )
            row = self._connection.execute(statement).first()
            if row is not None:
                unit = None if row[0] is None else package_of(row[1:])
                return publication, inner, unit
        return None

    def _serving(self, relative_urls: Sequence[str], root: Root) -> list[Publication]:
        """Return the publications at these URLs that may answer: live ones, then the newest."""
        statement = (
            select(*_FIELDS)
            .where(
                publications.c.root == root,
                publications.c.relative_url.in_(relative_urls),
                or_(publications.c.live, publications.c.superseded.is_not(None)),
            )
            .order_by(
                publications.c.live.desc(),
                publications.c.superseded.desc(),
                publications.c.id.desc(),
            )
        )
        return [_publication(row) for row in self._connection.execute(statement)]

    def listing(self, path: str, root: Root = Root.REPOS) -> Sequence[str] | None:
        folder = path.strip("/")
        live = [item for item in self._serving(leading_paths(folder), root) if item.live]
        if folder and live:
            inner = folder[len(live[0].relative_url) + 1 :]
            names = self._names_in_publication(live[0].id, f"{inner}/" if inner else "")
        else:
            names = self._names_above(f"{folder}/" if folder else "", root)
        return sorted(names) or None

    def _names_in_publication(self, publication_id: int, prefix: str) -> set[str]:
        """Return the names below a prefix of a publication's paths."""
        statement = select(published_files.c.path).where(
            published_files.c.publication_id == publication_id
        )
        if prefix:
            statement = statement.where(_starts_with(published_files.c.path, prefix))
        return _first_names(self._connection.execute(statement).scalars().all(), prefix)

    def leading(self, path: str, root: Root = Root.REPOS) -> Sequence[str] | None:
        folder = path.strip("/")
        if folder and any(one.live for one in self._serving(leading_paths(folder), root)):
            return None
        return sorted(self._names_above(f"{folder}/" if folder else "", root)) or None

    def _names_above(self, prefix: str, root: Root) -> set[str]:
        """Return the folders that lead from a prefix to live publications."""
        statement = select(publications.c.relative_url).where(
            publications.c.live, publications.c.root == root
        )
        if prefix:
            statement = statement.where(_starts_with(publications.c.relative_url, prefix))
        urls = self._connection.execute(statement).scalars()
        return _first_names([f"{url}/" for url in urls], prefix)

    def folders(self) -> Collection[str]:
        return set(self._connection.execute(select(publications.c.folder)).scalars())

    def expired(self, *, before: datetime) -> Sequence[Publication]:
        never = and_(
            ~publications.c.live,
            publications.c.superseded.is_(None),
            publications.c.created < before,
        )
        statement = (
            select(*_FIELDS)
            .where(or_(publications.c.superseded < before, never))
            .order_by(publications.c.id)
        )
        return [_publication(row) for row in self._connection.execute(statement)]

    def remove(self, publication_ids: Collection[int]) -> None:
        for batch in batched(publication_ids):
            self._connection.execute(
                delete(published_files).where(published_files.c.publication_id.in_(batch))
            )
            self._connection.execute(delete(publications).where(publications.c.id.in_(batch)))


def _publication(row: Row[Any]) -> Publication:
    """Return the publication of a row of all columns."""
    values = {column.name: value for column, value in zip(_FIELDS, row, strict=True)}
    return Publication(**{**values, "root": Root(values["root"])})


def _starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Return the condition, which neither collation nor case rules of LIKE can bend."""
    return func.substr(column, 1, len(prefix)) == prefix


def _first_names(paths: Sequence[str], prefix: str) -> set[str]:
    """Return what follows the prefix up to the next slash, which is kept."""
    names = set()
    for path in paths:
        name, slash, _ = path[len(prefix) :].partition("/")
        names.add(name + slash)
    return names
