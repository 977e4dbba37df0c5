"""What a request needs a right to: which operation, on which resource.

Both follow from method and path, as Pulp 2 had it, so that no route is left without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pulpit.domain.permissions import Operation, normalized

__all__ = ["needed_operation", "needed_resource", "resource_at"]

_METHODS = {
    "GET": Operation.READ,
    "HEAD": Operation.READ,
    "POST": Operation.CREATE,
    "PUT": Operation.UPDATE,
    "DELETE": Operation.DELETE,
}
#: Actions that change what they are below: more than to have the server do something.
_ACTIONS = {
    "associate": Operation.UPDATE,
    "unassociate": Operation.UPDATE,
    "import_upload": Operation.UPDATE,
    "delete_orphans": Operation.DELETE,
}
#: Ours that show what Pulp 2 had, too: a right holds for both.
_SAME = {"/pulpit/v1/listeners/": "/v2/events/"}
_PARAMETER = re.compile(r"\{([^}:]+)(?::[^}]+)?\}")


def needed_operation(method: str, template: str) -> Operation:
    """Return what a request does to the resource.

    Args:
        method: of HTTP.
        template: the route's path, with parameters in braces.
    """
    parts = template.strip("/").split("/")
    if method == "POST":
        if "search" in parts:
            return Operation.READ
        if "actions" in parts:
            return _ACTIONS.get(parts[-1], Operation.EXECUTE)
    # a method that is not known here changes something
    return _METHODS.get(method, Operation.UPDATE)


def needed_resource(template: str, parameters: Mapping[str, str]) -> str:
    """Return the resource of a request: its path; for a search, that of what is searched.

    Else somebody could make something called "search", and search all by their right to it.

    Args:
        template: the route's path, with parameters in braces.
        parameters: their values in the request.
    """
    kept = []
    for part in template.split("/"):
        if part == "search":
            break
        kept.append(_PARAMETER.sub(lambda match: str(parameters.get(match[1], "")), part))
    return resource_at("/".join(kept))


def resource_at(path: str) -> str:
    """Return the resource at a path of the server; paths of two names are one resource."""
    path = path if path.endswith("/") else f"{path}/"
    for ours, pulp2 in _SAME.items():
        if path.startswith(ours):
            return pulp2 + path.removeprefix(ours)
    try:
        return normalized(path)
    except ValueError:
        # no grant can name it
        return path
