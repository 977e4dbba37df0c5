"""Users, and what decides who may do what, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from pulpit.domain.criteria import Criteria, select
from pulpit.domain.permissions import ALL, Grant, Operation
from pulpit.domain.roles import Role
from pulpit.domain.tokens import Token
from pulpit.domain.users import Identity, User
from pulpit.errors import DuplicateResource
from pulpit.testing.state import State

__all__ = [
    "MemoryAuthority",
    "MemoryPermissionStore",
    "MemoryRoleStore",
    "MemoryTokenStore",
    "MemoryUserStore",
]


def _changed(state: State) -> None:
    """Name the state of all that decides who may do what anew."""
    state.access_revision = uuid4().hex


class MemoryUserStore:
    """Implements ``pulpit.ports.UserStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, login: str) -> User | None:
        return self._state.users.get(login)

    def set(self, user: User) -> None:
        self._state.users[user.login] = user
        _changed(self._state)

    def count(self) -> int:
        return len(self._state.users)

    def list(self) -> Sequence[User]:
        return [self._state.users[login] for login in sorted(self._state.users)]

    def search(self, criteria: Criteria) -> Sequence[User]:
        return select(self.list(), criteria, _document)

    def with_role(self, role_id: str) -> Sequence[User]:
        return [user for user in self.list() if role_id in user.roles]

    def remove(self, login: str) -> None:
        state = self._state
        state.users.pop(login, None)
        state.grants = {key: grant for key, grant in state.grants.items() if key[1] != login}
        state.tokens = {key: token for key, token in state.tokens.items() if token.login != login}
        _changed(state)


def _document(user: User) -> Mapping[str, Any]:
    """Return what searches look at."""
    return {
        "_id": user.oid,
        "id": user.oid,
        "login": user.login,
        "name": user.name,
        "roles": user.roles,
    }


class MemoryRoleStore:
    """Implements ``pulpit.ports.RoleStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, role: Role) -> None:
        if role.id in self._state.roles:
            raise DuplicateResource(role.id)
        self._state.roles[role.id] = role
        _changed(self._state)

    def get(self, role_id: str) -> Role | None:
        return self._state.roles.get(role_id)

    def list(self) -> Sequence[Role]:
        return [self._state.roles[role_id] for role_id in sorted(self._state.roles)]

    def update(self, role: Role) -> None:
        if present := self._state.roles.get(role.id):
            kept = dataclasses.replace(role, oid=present.oid, created=present.created)
            self._state.roles[role.id] = kept
        _changed(self._state)

    def remove(self, role_id: str) -> None:
        self._state.roles.pop(role_id, None)
        _changed(self._state)


class MemoryPermissionStore:
    """Implements ``pulpit.ports.PermissionStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def revision(self) -> str:
        return self._state.access_revision

    def of_user(self, login: str) -> Mapping[str, Collection[Operation]]:
        grants = self._state.grants.values()
        return {grant.resource: grant.operations for grant in grants if grant.login == login}

    def list(self, resource: str | None = None) -> Sequence[Grant]:
        grants = [grant for _, grant in sorted(self._state.grants.items())]
        return [grant for grant in grants if resource in (None, grant.resource)]

    def set(self, grant: Grant) -> None:
        key = (grant.resource, grant.login)
        if grant.operations:
            ordered = tuple(each for each in ALL if each in grant.operations)
            self._state.grants[key] = dataclasses.replace(grant, operations=ordered)
        else:
            self._state.grants.pop(key, None)
        _changed(self._state)

    def any_below(self, resource: str) -> bool:
        return any(key[0].startswith(resource) for key in self._state.grants)

    def remove_below(self, resource: str) -> None:
        gone = [key for key in self._state.grants if key[0].startswith(resource)]
        for key in gone:
            del self._state.grants[key]
        if gone:
            _changed(self._state)


class MemoryTokenStore:
    """Implements ``pulpit.ports.TokenStore``."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, token: Token) -> None:
        if any(each.name == token.name for each in self.list(token.login)):
            raise DuplicateResource(token.name)
        self._state.tokens[token.id] = token
        _changed(self._state)

    def list(self, login: str) -> Sequence[Token]:
        found = [token for token in self._state.tokens.values() if token.login == login]
        return sorted(found, key=lambda token: token.name)

    def with_digest(self, digest: str) -> Token | None:
        found = (token for token in self._state.tokens.values() if token.digest == digest)
        return next(found, None)

    def remove(self, login: str, token_id: str) -> bool:
        token = self._state.tokens.get(token_id)
        if token is None or token.login != login:
            return False
        del self._state.tokens[token_id]
        _changed(self._state)
        return True

    def used(self, token_id: str, *, now: datetime) -> None:
        if token := self._state.tokens.get(token_id):
            self._state.tokens[token_id] = dataclasses.replace(token, last_used=now)


class MemoryAuthority:
    """Implements ``pulpit.ports.CertificateAuthority``; its certificates are not X.509."""

    def __init__(self) -> None:
        self._issued: dict[bytes, tuple[Identity, datetime, int]] = {}

    def issue(self, subject: Identity, *, now: datetime, days: int) -> tuple[str, str]:
        certificate = f"certificate {len(self._issued) + 1} of {subject.login}"
        self._issued[certificate.encode()] = (subject, now, days)
        return certificate, f"key of {certificate}"

    def identify(self, certificate: bytes, *, now: datetime) -> Identity | None:
        subject, since, days = self._issued.get(certificate, (None, now, 0))
        return subject if 0 <= (now - since).total_seconds() < days * 86_400 else None
