"""Users of the API."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, delete, func, select

from pulpit.domain.criteria import Criteria
from pulpit.domain.users import User
from pulpit.storage.criteria import ColumnKind, FieldColumn
from pulpit.storage.permissions import state_changed
from pulpit.storage.rows import upsert
from pulpit.storage.searches import find
from pulpit.storage.tables import users

__all__ = ["SqlUserStore"]

_FIELDS = {
    "_id": FieldColumn(column=users.c.oid),
    "id": FieldColumn(column=users.c.oid),
    "login": FieldColumn(column=users.c.login),
    "name": FieldColumn(column=users.c.name),
    "roles": FieldColumn(column=users.c.roles, kind=ColumnKind.JSON),
}


class SqlUserStore:
    """Implements ``pulpit.ports.UserStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, login: str) -> User | None:
        statement = select(users).where(users.c.login == login)
        row = self._connection.execute(statement).mappings().one_or_none()
        return _user(row) if row else None

    def set(self, user: User) -> None:
        upsert(self._connection, users, [dataclasses.asdict(user)])
        state_changed(self._connection)

    def count(self) -> int:
        return int(self._connection.execute(select(func.count()).select_from(users)).scalar_one())

    def list(self) -> Sequence[User]:
        rows = self._connection.execute(select(users).order_by(users.c.login)).mappings()
        return [_user(row) for row in rows]

    def search(self, criteria: Criteria) -> Sequence[User]:
        found = find(self._connection, select(users), criteria, _FIELDS, key=users.c.login)
        return [_user(row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's name

    def with_role(self, role_id: str) -> Sequence[User]:
        # those who look after a server are few, and JSON is searched in no way that all share
        return [user for user in self.list() if role_id in user.roles]

    def remove(self, login: str) -> None:
        self._connection.execute(delete(users).where(users.c.login == login))
        state_changed(self._connection)


def _user(row: RowMapping) -> User:
    return User(**{**row, "roles": tuple(row["roles"])})
