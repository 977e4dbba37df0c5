"""Who may do what: operations on resources, which are paths of the API.

Pulp 2's rules: a right on a resource holds for all that lies below it, and what nobody has granted
is not allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "ALL",
    "EVERYTHING",
    "Access",
    "Grant",
    "Operation",
    "Rights",
    "normalized",
    "permission_document",
]

#: Characters of a resource; the ids within one may have 255 each.
_MOST = 1024
#: What clients put before a resource that they know by its ``_href``.
_PREFIX = "/pulp/api/"


class Operation(StrEnum):
    """What can be done to a resource."""

    CREATE = "CREATE"
    READ = "READ"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    EXECUTE = "EXECUTE"


#: Resource to what may be done to it, and to all below it.
Rights = Mapping[str, Collection[Operation]]

#: Every operation, in Pulp 2's order.
ALL = tuple(Operation)
#: The rights of super-users.
EVERYTHING: Rights = {"/": ALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one user may do to one resource, beside what roles allow."""

    resource: str
    login: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """All that a caller may do."""

    login: str
    rights: Rights = field(default_factory=dict)
    #: Whether the caller may only read, whatever the rights are.
    read_only: bool = False

    @property
    def is_unlimited(self) -> bool:
        """Whether everything is allowed."""
        return not self.read_only and set(self.rights.get("/", ())) == set(ALL)

    def allows(self, operation: Operation, resource: str) -> bool:
        """Tell whether something may be done to a resource.

        Args:
            operation: what.
            resource: as ``normalized`` returns it.
        """
        if self.read_only and operation is not Operation.READ:
            return False
        if operation in self._own(resource):
            return True
        return any(operation in self.rights.get(above, ()) for above in _upwards(resource))

    def covers(self, rights: Rights) -> bool:
        """Tell whether all of that may be done: nobody gives what they lack."""
        return all(
            self.allows(operation, resource)
            for resource, operations in rights.items()
            for operation in operations
        )

    def _own(self, resource: str) -> Collection[Operation]:
        """Return what everybody may do to a resource: log in, and look after their own user."""
        own = f"/v2/users/{self.login}/"
        if resource == "/v2/actions/login/":
            return (Operation.EXECUTE,)
        if resource == own:
            return (Operation.READ, Operation.UPDATE)
        return ALL if resource.startswith(f"{own}tokens/") else ()


def _upwards(resource: str) -> Iterator[str]:
    """Yield the resource and those above it, ``/`` last."""
    parts = [part for part in resource.split("/") if part]
    for count in range(len(parts), 0, -1):
        yield f"/{'/'.join(parts[:count])}/"
    yield "/"


def normalized(resource: str) -> str:
    """Return the resource with a slash at its end, and without the API's own prefix.

    Raises:
        ValueError: it is none.
    """
    if not resource.startswith("/") or "//" in resource or len(resource) > _MOST:
        raise ValueError(f"must be a path such as /v2/repositories/, of at most {_MOST} characters")
    resource = resource if resource.endswith("/") else f"{resource}/"
    return resource.removeprefix(_PREFIX[:-1]) if resource.startswith(_PREFIX) else resource


def permission_document(
    resource: str, users: Mapping[str, Collection[Operation]]
) -> dict[str, Any]:
    """Return who may do what to a resource as the API shows it.

    Args:
        resource: which.
        users: login to operations.
    """
    # nothing is kept for a resource as such, so the id comes from its name
    oid = hashlib.sha256(resource.encode(errors="surrogatepass")).hexdigest()[:24]
    return {
        "_id": {"$oid": oid},
        "_ns": "permissions",
        "id": oid,
        "resource": resource,
        "users": {
            login: [each.value for each in ALL if each in operations]
            for login, operations in sorted(users.items())
        },
    }
