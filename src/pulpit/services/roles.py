"""Roles: what there are, and who has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pulpit.domain.clock import new_oid
from pulpit.domain.permissions import Access
from pulpit.domain.roles import ROLE_ID, SUPER_USERS, SUPER_USERS_ROLE, Role
from pulpit.domain.users import User
from pulpit.errors import DuplicateResource, InvalidValue
from pulpit.ports import Clock, Storage
from pulpit.services.access import (
    existing_role,
    existing_user,
    require_other_super_user,
    require_power_over,
    require_rights,
)
from pulpit.services.documents import as_object, checked_id, optional, refuse_unknown, required

__all__ = ["RoleView", "Roles", "changing_role"]

_CREATE_KEYS = ("role_id", "display_name", "description")
_DELTA_KEYS = ("display_name", "description")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleView:
    """A role with those who have it."""

    role: Role
    #: By login.
    users: Sequence[User]


def changing_role(role: Role) -> Role:
    """Return a role that may be changed, or raise InvalidValue."""
    if role.id == SUPER_USERS:
        raise InvalidValue("role_id", why=f"the role {SUPER_USERS} can't be changed")
    return role


class Roles:
    """What is done with roles."""

    def __init__(self, storage: Storage, *, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def list(self) -> Sequence[RoleView]:
        """Return all roles: that of super-users, and the others by id."""
        with self._storage.read() as transaction:
            users = transaction.users.list()
            return [_view(role, users) for role in (SUPER_USERS_ROLE, *transaction.roles.list())]

    def get(self, role_id: str) -> RoleView:
        """Return the role, or raise MissingResource."""
        with self._storage.read() as transaction:
            role = existing_role(transaction, role_id)
            return RoleView(role=role, users=transaction.users.with_role(role_id))

    def create(self, document: Any) -> RoleView:
        """Create a role that may do nothing yet.

        Args:
            document: the JSON of ``POST roles/``.

        Raises:
            RequestError: a value is missing, invalid or unknown, or the id is taken.
        """
        sent = as_object(document)
        refuse_unknown(sent, _CREATE_KEYS)
        role_id = checked_id(
            required(sent, "role_id", str),
            "role_id",
            ROLE_ID,
            holds="letters, digits, hyphens and underscores",
        )
        if role_id == SUPER_USERS:
            raise DuplicateResource(role_id)
        now = self._clock()
        role = Role(
            id=role_id,
            oid=new_oid(now),
            display_name=optional(sent, "display_name", str) or role_id,
            description=optional(sent, "description", str),
            created=now,
        )
        with self._storage.write() as transaction:
            transaction.roles.add(role)
        return RoleView(role=role, users=())

    def update(self, role_id: str, document: Any) -> RoleView:
        """Change what a role is called.

        Args:
            role_id: which.
            document: the JSON of ``PUT roles/<id>/``.

        Raises:
            RequestError: a value is invalid or unknown, or there is no such role.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("delta",))
        delta = required(sent, "delta", dict)
        refuse_unknown(delta, (*_DELTA_KEYS, "id"))
        if delta.get("id", role_id) != role_id:
            raise InvalidValue("id", why="the id of a role can't change")
        with self._storage.write() as transaction:
            role = changing_role(existing_role(transaction, role_id))
            if "display_name" in delta:
                name = optional(delta, "display_name", str) or role_id
                role = replace(role, display_name=name)
            if "description" in delta:
                role = replace(role, description=optional(delta, "description", str))
            transaction.roles.update(role)
            return RoleView(role=role, users=transaction.users.with_role(role_id))

    def delete(self, role_id: str, *, by: Access) -> None:
        """Delete a role; whoever had it loses what it allowed.

        Raises:
            RequestError: there is none, or it may do more than the one who deletes it.
        """
        with self._storage.write() as transaction:
            role = changing_role(existing_role(transaction, role_id))
            require_rights(by, role.permissions)
            for user in transaction.users.with_role(role_id):
                transaction.users.set(_without(user, role_id))
            transaction.roles.remove(role_id)

    def add_user(self, role_id: str, document: Any, *, by: Access) -> None:
        """Give a role to a user, who may have it already.

        Args:
            role_id: which.
            document: the JSON of ``POST roles/<id>/users/``.
            by: what the one who does it may do.

        Raises:
            RequestError: there is no such role or user, or the role may do more than the one who
                gives it.
        """
        sent = as_object(document)
        refuse_unknown(sent, ("login",))
        login = required(sent, "login", str)
        with self._storage.write() as transaction:
            role = existing_role(transaction, role_id)
            require_rights(by, role.permissions)
            user = existing_user(transaction, login)
            require_power_over(transaction, by, user)
            roles = tuple(sorted({*user.roles, role_id}))
            transaction.users.set(replace(user, roles=roles))

    def remove_user(self, role_id: str, login: str, *, by: Access) -> None:
        """Take a role from a user, who may not have it.

        Raises:
            RequestError: there is no such role or user, it is the last super-user, or the role may
                do more than the one who takes it.
        """
        with self._storage.write() as transaction:
            role = existing_role(transaction, role_id)
            require_rights(by, role.permissions)
            user = existing_user(transaction, login)
            require_power_over(transaction, by, user)
            if role_id == SUPER_USERS and user.is_super_user:
                require_other_super_user(transaction, login)
            transaction.users.set(_without(user, role_id))


def _without(user: User, role_id: str) -> User:
    return replace(user, roles=tuple(each for each in user.roles if each != role_id))


def _view(role: Role, users: Sequence[User]) -> RoleView:
    return RoleView(role=role, users=[user for user in users if role.id in user.roles])
