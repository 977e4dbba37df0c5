"""Users of the API: who there is."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from argon2 import PasswordHasher

from pulpit.domain.clock import new_oid
from pulpit.domain.criteria import Criteria
from pulpit.domain.permissions import Access
from pulpit.domain.roles import SUPER_USERS
from pulpit.domain.users import USER_LOGIN, Caller, User
from pulpit.errors import DuplicateResource, InvalidValue, PermissionDenied
from pulpit.ports import Clock, Storage, Transaction
from pulpit.services.access import (
    existing_role,
    existing_user,
    find_role,
    require_other_super_user,
    require_power_over,
    require_rights,
)
from pulpit.services.documents import (
    SEARCH,
    as_object,
    checked_id,
    optional,
    refuse_unknown,
    required,
)

__all__ = ["Users"]

_PASSWORD_BYTES = 15
#: Characters of a password or a name.
_MOST = 1024
#: Passwords that are hashed at a time, whoever asks: each takes 64 MiB and a processor.
_HASHED_AT_ONCE = 2
_CREATE_KEYS = ("login", "password", "name", "roles")
_DELTA_KEYS = ("password", "name", "roles")


class Users:
    """What is done with users.

    Args:
        storage: where they are kept.
        clock: the present time.
        hasher: of passwords; the default is slow on purpose.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock, hasher: PasswordHasher | None = None
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.Semaphore(_HASHED_AT_ONCE)

    def ensure_first(self, login: str, password: str | None) -> str | None:
        """Create the first user, a super-user, if there is none yet.

        Args:
            login: of the user.
            password: of the user; None to make one up.

        Returns:
            The password that was made up, to be shown once; else None.
        """
        with self._storage.write() as transaction:
            if transaction.users.count():
                return None
            chosen = password or secrets.token_urlsafe(_PASSWORD_BYTES)
            now = self._clock()
            transaction.users.set(
                User(
                    login=login,
                    oid=new_oid(now),
                    name=login,
                    password_hash=self._hasher.hash(chosen),
                    roles=(SUPER_USERS,),
                    created=now,
                ),
            )
        return None if password else chosen

    def list(self) -> Sequence[User]:
        """Return all users, by login."""
        with self._storage.read() as transaction:
            return transaction.users.list()

    def get(self, login: str) -> User:
        """Return the user, or raise MissingResource."""
        with self._storage.read() as transaction:
            return existing_user(transaction, login)

    def search(self, criteria: Criteria) -> Sequence[User]:
        """Return the users that the criteria select."""
        with self._storage.read() as transaction:
            return transaction.users.search(criteria)

    def create(self, document: Any, *, by: Access) -> User:
        """Create a user.

        Args:
            document: the JSON of ``POST users/``: login, and if need be password, name and roles.
            by: what the one who does it may do.

        Raises:
            RequestError: a value is missing, invalid or unknown, the login is taken, or a role may
                do more than the one who gives it.
        """
        sent = as_object(document)
        refuse_unknown(sent, _CREATE_KEYS)
        login = _checked_login(required(sent, "login", str))
        password, name = _password(sent), _name(sent) or login
        roles = _roles(sent) or ()
        # before the transaction, for which others wait
        password_hash = self._hashed(password) if password else ""
        now = self._clock()
        user = User(
            login=login,
            oid=new_oid(now),
            name=name,
            password_hash=password_hash,
            roles=roles,
            created=now,
        )
        with self._storage.write() as transaction:
            if transaction.users.get(login):
                raise DuplicateResource(login)
            _require_roles(transaction, by, roles)
            transaction.users.set(user)
        return user

    def update(self, login: str, document: Any, *, by: Caller) -> User:
        """Change a user; a new password makes void what was proven by the old one.

        Args:
            login: which.
            document: the JSON of ``PUT users/<login>/``.
            by: who does it.

        Raises:
            RequestError: a value is invalid or unknown, there is no such user or role, or the one
                who does it may do less than the user or a role.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("delta",))
        delta = required(sent, "delta", dict)
        refuse_unknown(delta, _DELTA_KEYS)
        changed = _changed(delta)
        if "password" in delta:
            if by.user.login == login and not by.has_password:
                raise PermissionDenied("Send login and password to change your own password")
            changed["password_hash"] = self._hashed(required(delta, "password", str))
        with self._storage.write() as transaction:
            user = existing_user(transaction, login)
            require_power_over(transaction, by.access, user)
            if "roles" in changed:
                _check_roles(transaction, user, changed["roles"], by.access)
            user = replace(user, **changed)
            transaction.users.set(user)
        return user

    def delete(self, login: str, *, by: Access) -> None:
        """Delete a user with their tokens and all that was granted to them.

        Raises:
            RequestError: there is none, it is the last super-user, or may do more than the one who
                deletes it.
        """
        with self._storage.write() as transaction:
            user = existing_user(transaction, login)
            require_power_over(transaction, by, user)
            if user.is_super_user:
                require_other_super_user(transaction, login)
            transaction.users.remove(login)
            transaction.permissions.remove_below(f"/v2/users/{login}/")

    def _hashed(self, password: str) -> str:
        """Return a password's hash."""
        with self._turn:
            try:
                return self._hasher.hash(password)
            except UnicodeEncodeError:
                raise InvalidValue("password", why="must be text") from None


def _check_roles(transaction: Transaction, user: User, roles: Sequence[str], by: Access) -> None:
    """Raise if the user can't have these roles, and no others."""
    _require_roles(transaction, by, [each for each in roles if each not in user.roles])
    for role_id in set(user.roles) - set(roles):
        # one that is gone meanwhile allows nothing
        if role := find_role(transaction, role_id):
            require_rights(by, role.permissions)
    if user.is_super_user and SUPER_USERS not in roles:
        require_other_super_user(transaction, user.login)


def _require_roles(transaction: Transaction, by: Access, roles: Sequence[str]) -> None:
    """Raise if there is no such role, or it may do more than the one who gives it."""
    for role_id in roles:
        require_rights(by, existing_role(transaction, role_id).permissions)


def _changed(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a delta changes, but for the password."""
    changed: dict[str, Any] = {}
    if "name" in delta:
        changed["name"] = _name(delta) or ""
        if not changed["name"]:
            raise InvalidValue("name", why="must be a text that is not empty")
    if "roles" in delta:
        roles = _roles(delta)
        if roles is None:
            raise InvalidValue("roles", why="must be a list")
        changed["roles"] = roles
    if "password" in delta and not _password(delta):
        raise InvalidValue("password", why="must be a text that is not empty")
    return changed


def _checked_login(login: str) -> str:
    """Return a new user's login, or raise InvalidValue."""
    return checked_id(
        login,
        "login",
        USER_LOGIN,
        holds="letters, digits, dots, hyphens and underscores",
        reserved=SEARCH,
    )


def _password(sent: Mapping[str, Any]) -> str | None:
    """Return the password, None or empty without one, or raise InvalidValue."""
    return _bounded(sent, "password")


def _name(sent: Mapping[str, Any]) -> str | None:
    """Return the name, None or empty without one, or raise InvalidValue."""
    return _bounded(sent, "name")


def _bounded(sent: Mapping[str, Any], key: str) -> str | None:
    value = optional(sent, key, str)
    if value and len(value) > _MOST:
        raise InvalidValue(key, why=f"use at most {_MOST} characters")
    return value


def _roles(sent: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the roles, sorted, None without any, or raise InvalidValue."""
    value = optional(sent, "roles", list)
    if value is None:
        return None
    if not all(isinstance(each, str) for each in value):
        raise InvalidValue("roles", why="must be a list of role ids")
    return tuple(sorted(set(value)))
