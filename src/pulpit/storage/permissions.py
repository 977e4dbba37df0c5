"""What was granted to users, and the name of the present state of all that decides who may what."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, select

from pulpit.domain.permissions import ALL, Grant, Operation
from pulpit.storage.rows import upsert
from pulpit.storage.tables import permissions, settings

__all__ = ["SqlPermissionStore", "operations_of", "state_changed"]

_REVISION = "access.revision"
_REVISION_BYTES = 8
#: Building a statement takes longer than running it; this one runs for every request.
_READ = select(settings.c.value).where(settings.c.name == bindparam("of_name"))


def state_changed(connection: Connection) -> None:
    """Name the state anew; see ``pulpit.ports.PermissionStore.revision``."""
    # not the next number: a database that was restored from a backup would give it a second time
    value = secrets.token_hex(_REVISION_BYTES)
    upsert(connection, settings, [{"name": _REVISION, "value": value}])


def operations_of(names: Collection[str]) -> tuple[Operation, ...]:
    """Return the operations of these names, in their order."""
    return tuple(each for each in ALL if each.value in names)


class SqlPermissionStore:
    """Implements ``pulpit.ports.PermissionStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def revision(self) -> str:
        return self._connection.execute(_READ, {"of_name": _REVISION}).scalar() or ""

    def of_user(self, login: str) -> Mapping[str, Collection[Operation]]:
        statement = select(permissions).where(permissions.c.login == login)
        rows = self._connection.execute(statement)
        return {row.resource: operations_of(row.operations) for row in rows}

    def list(self, resource: str | None = None) -> Sequence[Grant]:
        statement = select(permissions).order_by(permissions.c.resource, permissions.c.login)
        if resource is not None:
            statement = statement.where(permissions.c.resource == resource)
        return [
            Grant(resource=row.resource, login=row.login, operations=operations_of(row.operations))
            for row in self._connection.execute(statement)
        ]

    def set(self, grant: Grant) -> None:
        key = {"resource": grant.resource, "login": grant.login}
        if grant.operations:
            names = [each.value for each in operations_of(grant.operations)]
            upsert(self._connection, permissions, [{**key, "operations": names}])
        else:
            self._connection.execute(
                delete(permissions).where(
                    permissions.c.resource == grant.resource, permissions.c.login == grant.login
                )
            )
        state_changed(self._connection)

    def any_below(self, resource: str) -> bool:
        statement = select(permissions.c.resource).where(_below(resource)).limit(1)
        return self._connection.execute(statement).first() is not None

    def remove_below(self, resource: str) -> None:
        if self._connection.execute(delete(permissions).where(_below(resource))).rowcount:
            state_changed(self._connection)


def _below(resource: str) -> ColumnElement[bool]:
    """Return the condition that a resource is this one, or lies below it."""
    # up to the character after the slash that it ends with
    return and_(permissions.c.resource >= resource, permissions.c.resource < f"{resource[:-1]}0")
