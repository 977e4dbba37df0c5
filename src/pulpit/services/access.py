"""What users may do, and the one rule about giving it away: nobody gives, or gets, what they lack.

Without that rule, whoever may look after users could make themselves super-users.
"""

from __future__ import annotations

from pulpit.domain.permissions import EVERYTHING, Access, Operation, Rights, normalized
from pulpit.domain.roles import SUPER_USERS, SUPER_USERS_ROLE, Role
from pulpit.domain.users import User
from pulpit.errors import InvalidValue, LastSuperUser, MissingResource, PermissionDenied
from pulpit.ports import Transaction

__all__ = [
    "access_of",
    "checked_resource",
    "existing_role",
    "existing_user",
    "find_role",
    "require_other_super_user",
    "require_power_over",
    "require_rights",
]


def access_of(transaction: Transaction, user: User) -> Access:
    """Return all that a user may do, by roles and by what was granted to them."""
    if user.is_super_user:
        return Access(login=user.login, rights=EVERYTHING)
    rights: dict[str, set[Operation]] = {}
    roles = (find_role(transaction, role_id) for role_id in user.roles)
    granted = [role.permissions for role in roles if role is not None]
    for some in (transaction.permissions.of_user(user.login), *granted):
        for resource, operations in some.items():
            rights.setdefault(resource, set()).update(operations)
    return Access(
        login=user.login,
        rights={resource: frozenset(operations) for resource, operations in rights.items()},
    )


def find_role(transaction: Transaction, role_id: str) -> Role | None:
    """Return the role, or None; that of super-users is always there."""
    return SUPER_USERS_ROLE if role_id == SUPER_USERS else transaction.roles.get(role_id)


def existing_role(transaction: Transaction, role_id: str) -> Role:
    """Return the role, or raise MissingResource."""
    role = find_role(transaction, role_id)
    if role is None:
        raise MissingResource(role_id=role_id)
    return role


def existing_user(transaction: Transaction, login: str) -> User:
    """Return the user, or raise MissingResource."""
    user = transaction.users.get(login)
    if user is None:
        raise MissingResource(login=login)
    return user


def require_rights(by: Access, rights: Rights) -> None:
    """Make sure that whoever gives or takes rights has them, or raise PermissionDenied."""
    if not by.covers(rights):
        raise PermissionDenied(
            f"User {by.login} may not give or take rights that they do not have: ask a super-user"
        )


def require_power_over(transaction: Transaction, by: Access, user: User) -> None:
    """Make sure that whoever acts on another's user may do all that this one may.

    Raises:
        PermissionDenied: they would get, by that user, what they lack.
    """
    if by.login != user.login and not by.covers(access_of(transaction, user).rights):
        raise PermissionDenied(
            f"User {user.login} may do what user {by.login} may not: ask a super-user"
        )


def require_other_super_user(transaction: Transaction, login: str) -> None:
    """Make sure that there is another super-user than this one, or raise LastSuperUser."""
    if all(user.login == login for user in transaction.users.with_role(SUPER_USERS)):
        raise LastSuperUser


def checked_resource(resource: str) -> str:
    """Return a resource that a client has named, or raise InvalidValue."""
    try:
        return normalized(resource)
    except ValueError as error:
        raise InvalidValue("resource", why=str(error)) from error
