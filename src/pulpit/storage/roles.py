"""Roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pulpit.domain.roles import Role
from pulpit.errors import DuplicateResource
from pulpit.storage.permissions import operations_of, state_changed
from pulpit.storage.tables import roles

__all__ = ["SqlRoleStore"]


class SqlRoleStore:
    """Implements ``pulpit.ports.RoleStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, role: Role) -> None:
        row = {"id": role.id, "oid": role.oid, "created": role.created, **_changing(role)}
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(roles), row)
        except IntegrityError as error:
            raise DuplicateResource(role.id) from error
        state_changed(self._connection)

    def get(self, role_id: str) -> Role | None:
        statement = select(roles).where(roles.c.id == role_id)
        row = self._connection.execute(statement).mappings().one_or_none()
        return _role(row) if row else None

    def list(self) -> Sequence[Role]:
        rows = self._connection.execute(select(roles).order_by(roles.c.id)).mappings()
        return [_role(row) for row in rows]

    def update(self, role: Role) -> None:
        statement = update(roles).where(roles.c.id == role.id)
        self._connection.execute(statement.values(_changing(role)))
        state_changed(self._connection)

    def remove(self, role_id: str) -> None:
        self._connection.execute(delete(roles).where(roles.c.id == role_id))
        state_changed(self._connection)


def _changing(role: Role) -> dict[str, Any]:
    """Return what ``update`` writes."""
    return {
        "display_name": role.display_name,
        "description": role.description,
        "permissions": {
            resource: [each.value for each in operations]
            for resource, operations in role.permissions.items()
        },
    }


def _role(row: RowMapping) -> Role:
    rights = {
        resource: operations_of(operations) for resource, operations in row["permissions"].items()
    }
    return Role(**{**row, "permissions": rights})
