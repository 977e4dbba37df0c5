"""Roles: rights that several users have together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pulpit.domain.permissions import ALL, EVERYTHING, Rights

__all__ = ["ROLES_HREF", "ROLE_ID", "SUPER_USERS", "SUPER_USERS_ROLE", "Role", "role_document"]

ROLES_HREF = "/pulp/api/v2/roles/"
#: What a role may be called.
ROLE_ID = re.compile(r"[\-_A-Za-z0-9]+")
#: The role whose users may do everything; it is always there, and never without a user.
SUPER_USERS = "super-users"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Rights under a name."""

    id: str
    #: 24 hexadecimal digits, the ``_id`` of the document.
    oid: str
    display_name: str
    description: str | None = None
    permissions: Rights = field(default_factory=dict)
    created: datetime


SUPER_USERS_ROLE = Role(
    id=SUPER_USERS,
    oid="0" * 24,
    display_name="Super Users",
    description="Users who may do everything",
    permissions=EVERYTHING,
    created=datetime(1970, 1, 1, tzinfo=UTC),
)


def role_document(role: Role, users: Sequence[str]) -> dict[str, Any]:
    """Return the role as the API shows it.

    Args:
        role: which.
        users: logins of those who have it.
    """
    return {
        "_id": {"$oid": role.oid},
        "_ns": "roles",
        "_href": f"{ROLES_HREF}{role.id}/",
        "id": role.id,
        "display_name": role.display_name,
        "description": role.description,
        "permissions": {
            resource: [each.value for each in ALL if each in operations]
            for resource, operations in sorted(role.permissions.items())
        },
        "users": list(users),
    }
