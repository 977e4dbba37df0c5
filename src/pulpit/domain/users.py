"""Users of the API."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pulpit.domain.permissions import Access
from pulpit.domain.roles import SUPER_USERS
from pulpit.domain.tokens import Token

__all__ = ["USERS_HREF", "USER_LOGIN", "Caller", "Identity", "User", "identity", "user_document"]

USERS_HREF = "/pulp/api/v2/users/"
#: What a login may be.
USER_LOGIN = re.compile(r"[.\-_A-Za-z0-9]+")
_MARK_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may use the API."""

    login: str
    #: 24 hexadecimal digits, the ``_id`` of the document.
    oid: str
    name: str
    #: An argon2 hash, or empty: then no password fits. Never leaves the server.
    password_hash: str
    #: Ids of the user's roles, in order of their names.
    roles: tuple[str, ...] = ()
    created: datetime

    @property
    def is_super_user(self) -> bool:
        """Whether the user may do everything."""
        return SUPER_USERS in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a client certificate is for."""

    login: str
    oid: str
    #: Changes with the password, so that older certificates are void then.
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who has proven who they are, with all that they may do."""

    user: User
    access: Access
    #: By which they came in, if so.
    token: Token | None = None
    #: Whether they have sent their password with this very request.
    has_password: bool = False
    #: Names the state that this was read from; see ``pulpit.ports.PermissionStore``.
    revision: str = ""


def identity(user: User) -> Identity:
    """Return what a certificate of the user has to say now."""
    mark = hashlib.sha256(f"{user.oid}:{user.password_hash}".encode()).hexdigest()[:_MARK_LENGTH]
    return Identity(login=user.login, oid=user.oid, mark=mark)


def user_document(user: User) -> dict[str, Any]:
    """Return the user as the API shows it, without anything of the password."""
    return {
        "_id": {"$oid": user.oid},
        "_ns": "users",
        "_href": f"{USERS_HREF}{user.login}/",
        "id": user.oid,
        "login": user.login,
        "name": user.name,
        "roles": list(user.roles),
    }
