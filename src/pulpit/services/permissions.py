"""Permissions: what is granted to users and roles, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pulpit.domain.permissions import ALL, Access, Grant, Operation
from pulpit.domain.roles import SUPER_USERS_ROLE
from pulpit.errors import InvalidValue
from pulpit.ports import Storage
from pulpit.services.access import (
    checked_resource,
    existing_role,
    existing_user,
    require_power_over,
    require_rights,
)
from pulpit.services.documents import as_object, refuse_unknown, required
from pulpit.services.roles import changing_role

__all__ = ["Permissions"]

#: Resource to login to operations.
_ByResource = dict[str, dict[str, set[Operation]]]
#: Returns what is allowed after a change, of what was allowed and what the change names.
_Change = Callable[[Collection[Operation], Collection[Operation]], Collection[Operation]]


class Permissions:
    """What is done with permissions."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def list(
        self, resource: str | None = None
    ) -> Sequence[tuple[str, Mapping[str, Collection[Operation]]]]:
        """Return resource, and login to operations, as granted to users or by their roles.

        Args:
            resource: that very one; None for all.

        Raises:
            InvalidValue: it is no resource.
        """
        wanted = None if resource is None else checked_resource(resource)
        found: _ByResource = {}
        with self._storage.read() as transaction:
            for grant in transaction.permissions.list(wanted):
                _add(found, grant.resource, grant.login, grant.operations)
            roles = (SUPER_USERS_ROLE, *transaction.roles.list())
            users = transaction.users.list()
        for role in roles:
            for of_role, operations in role.permissions.items():
                if wanted in (None, of_role):
                    for user in users:
                        if role.id in user.roles:
                            _add(found, of_role, user.login, operations)
        return sorted(found.items())

    def grant_to_user(self, document: Any, *, by: Access) -> None:
        """Grant operations on a resource to a user.

        Args:
            document: ``{"login", "resource", "operations"}``.
            by: what the one who does it may do.

        Raises:
            RequestError: a value is missing or invalid, there is no such user, or the one who
                grants may not do it.
        """
        self._change_user(document, by, lambda before, named: {*before, *named})

    def revoke_from_user(self, document: Any, *, by: Access) -> None:
        """Take what was granted back; what a role allows stays. Raises as ``grant_to_user``."""
        self._change_user(document, by, lambda before, named: {*before} - {*named})

    def grant_to_role(self, document: Any, *, by: Access) -> None:
        """Let all who have a role do something; ``role_id`` is in the place of ``login``."""
        self._change_role(document, by, lambda before, named: {*before, *named})

    def revoke_from_role(self, document: Any, *, by: Access) -> None:
        """Take back what a role allows; raises as ``grant_to_user``."""
        self._change_role(document, by, lambda before, named: {*before} - {*named})

    def created(self, resource: str, *, by: Access) -> None:
        """Grant whoever has made a resource everything on it, unless they may do all anyway.

        Args:
            resource: which.
            by: what the one who has made it may do.
        """
        if by.is_unlimited:
            return
        with self._storage.write() as transaction:
            # the user may be gone meanwhile
            if transaction.users.get(by.login):
                grant = Grant(resource=resource, login=by.login, operations=ALL)
                transaction.permissions.set(grant)

    def deleted(self, resource: str) -> None:
        """Forget what was granted on a resource that is gone, and on all below it.

        Whoever makes one of the same name later must not share it with those who had the first.
        """
        with self._storage.read() as transaction:
            if not transaction.permissions.any_below(resource):
                return
        with self._storage.write() as transaction:
            transaction.permissions.remove_below(resource)

    def _change_user(self, document: Any, by: Access, change: _Change) -> None:
        login, resource, named = _parsed(document, "login")
        require_rights(by, {resource: named})
        with self._storage.write() as transaction:
            user = existing_user(transaction, login)
            require_power_over(transaction, by, user)
            before = transaction.permissions.of_user(login).get(resource, ())
            after = change(before, named)
            grant = Grant(resource=resource, login=login, operations=_in_order(after))
            transaction.permissions.set(grant)

    def _change_role(self, document: Any, by: Access, change: _Change) -> None:
        role_id, resource, named = _parsed(document, "role_id")
        require_rights(by, {resource: named})
        with self._storage.write() as transaction:
            role = changing_role(existing_role(transaction, role_id))
            after = _in_order(change(role.permissions.get(resource, ()), named))
            rights = {**role.permissions, resource: after}
            kept = {each: operations for each, operations in rights.items() if operations}
            transaction.roles.update(replace(role, permissions=kept))


def _add(found: _ByResource, resource: str, login: str, operations: Collection[Operation]) -> None:
    found.setdefault(resource, {}).setdefault(login, set()).update(operations)


def _in_order(operations: Collection[Operation]) -> tuple[Operation, ...]:
    return tuple(each for each in ALL if each in operations)


def _parsed(document: Any, key: str) -> tuple[str, str, Sequence[Operation]]:
    """Return of whom, on what, and what; *key* says who that is."""
    sent = as_object(document)
    refuse_unknown(sent, (key, "resource", "operations"))
    who = required(sent, key, str)
    resource = checked_resource(required(sent, "resource", str))
    names = required(sent, "operations", list)
    known = {each.value: each for each in ALL}
    operations = [known.get(str(name).upper()) for name in names]
    if None in operations:
        raise InvalidValue("operations", why=f"must be of {', '.join(known)}")
    return who, resource, [each for each in operations if each is not None]
