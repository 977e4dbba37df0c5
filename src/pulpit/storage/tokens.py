"""Tokens of users."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pulpit.domain.tokens import Token
from pulpit.errors import DuplicateResource
from pulpit.storage.permissions import state_changed
from pulpit.storage.tables import tokens

__all__ = ["SqlTokenStore"]

_WITH_DIGEST = select(tokens).where(tokens.c.digest == bindparam("of_digest"))


class SqlTokenStore:
    """Implements ``pulpit.ports.TokenStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: Token) -> None:
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(tokens), dataclasses.asdict(token))
        except IntegrityError as error:
            raise DuplicateResource(token.name) from error
        state_changed(self._connection)

    def list(self, login: str) -> Sequence[Token]:
        statement = select(tokens).where(tokens.c.login == login).order_by(tokens.c.name)
        return [Token(**row) for row in self._connection.execute(statement).mappings()]

    def with_digest(self, digest: str) -> Token | None:
        found = self._connection.execute(_WITH_DIGEST, {"of_digest": digest})
        row = found.mappings().one_or_none()
        return Token(**row) if row else None

    def remove(self, login: str, token_id: str) -> bool:
        which = (tokens.c.login == login) & (tokens.c.id == token_id)
        found = self._connection.execute(delete(tokens).where(which)).rowcount
        if found:
            state_changed(self._connection)
        return bool(found)

    def used(self, token_id: str, *, now: datetime) -> None:
        self._connection.execute(
            update(tokens).where(tokens.c.id == token_id).values(last_used=now)
        )
