"""Users of the API."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, func, select

from pulpit.domain.users import User
from pulpit.storage.rows import upsert
from pulpit.storage.tables import users

__all__ = ["SqlUserStore"]


class SqlUserStore:
    """Implements ``pulpit.ports.UserStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, login: str) -> User | None:
        row = self._connection.execute(select(users).where(users.c.login == login)).one_or_none()
        return User(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's name

    def set(self, user: User) -> None:
        upsert(self._connection, users, [dataclasses.asdict(user)])

    def count(self) -> int:
        return int(self._connection.execute(select(func.count()).select_from(users)).scalar_one())
