"""Groups of repositories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pulpit.domain.repo_groups import RepoGroup
from pulpit.errors import DuplicateResource, MissingResource
from pulpit.storage.rows import batched, insert_ignoring
from pulpit.storage.tables import repo_group_members, repo_groups

__all__ = ["SqlRepoGroupStore"]


class SqlRepoGroupStore:
    """Implements ``pulpit.ports.RepoGroupStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, group: RepoGroup) -> None:
        row = {"id": group.id, "oid": group.oid, **_changing(group)}
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(repo_groups), row)
        except IntegrityError as error:
            raise DuplicateResource(group.id) from error
        self.add_members(group.id, group.repo_ids)

    def get(self, group_id: str) -> RepoGroup:
        found = self._read(select(repo_groups).where(repo_groups.c.id == group_id))
        if not found:
            raise MissingResource(repo_group=group_id)
        return found[0]

    def list(self) -> Sequence[RepoGroup]:
        return self._read(select(repo_groups).order_by(repo_groups.c.id))

    def _read(self, statement: Select[Any]) -> Sequence[RepoGroup]:
        rows = self._connection.execute(statement).mappings().all()
        members = self._members([row["id"] for row in rows])
        return [RepoGroup(**row, repo_ids=tuple(members.get(row["id"], ()))) for row in rows]

    def _members(self, group_ids: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return the sorted ids of the repositories in each group."""
        found: dict[str, list[str]] = {}
        columns = repo_group_members.c
        for batch in batched(group_ids):
            statement = (
                select(columns.group_id, columns.repo_id)
                .where(columns.group_id.in_(batch))
                .order_by(columns.repo_id)
            )
            for group_id, repo_id in self._connection.execute(statement):
                found.setdefault(group_id, []).append(repo_id)
        return found

    def update(self, group: RepoGroup) -> None:
        statement = update(repo_groups).where(repo_groups.c.id == group.id)
        self._connection.execute(statement.values(_changing(group)))

    def remove(self, group_id: str) -> None:
        self._connection.execute(delete(repo_groups).where(repo_groups.c.id == group_id))

    def add_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        rows = [{"group_id": group_id, "repo_id": repo_id} for repo_id in sorted(set(repo_ids))]
        insert_ignoring(self._connection, repo_group_members, rows)

    def remove_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        columns = repo_group_members.c
        for batch in batched(repo_ids):
            statement = delete(repo_group_members).where(
                columns.group_id == group_id, columns.repo_id.in_(batch)
            )
            self._connection.execute(statement)


def _changing(group: RepoGroup) -> dict[str, Any]:
    """Return what ``update`` writes."""
    return {
        "display_name": group.display_name,
        "description": group.description,
        "notes": group.notes,
    }
