"""Requests about users, their tokens, roles and rights as values; both clients send the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pulpit.client.requests import Request, nothing, one_object, some_objects

__all__ = [
    "add_to_role",
    "change_rights",
    "create_role",
    "create_token",
    "create_user",
    "delete_role",
    "delete_user",
    "remove_from_role",
    "revoke_token",
    "roles",
    "tokens",
    "update_user",
    "user",
    "users",
]

_Object = Mapping[str, Any]
_Objects = Sequence[Mapping[str, Any]]


def users() -> Request[_Objects]:
    """Return the request for all users."""
    return Request(method="GET", path=_path("users"), read=some_objects)


def user(login: str) -> Request[_Object]:
    """Return the request for a user."""
    return Request(method="GET", path=_path("users", login), read=one_object)


def create_user(document: _Object) -> Request[_Object]:
    """Return the request that creates a user."""
    return Request(method="POST", path=_path("users"), read=one_object, json=dict(document))


def update_user(login: str, delta: _Object) -> Request[_Object]:
    """Return the request that changes a user."""
    body = {"delta": dict(delta)}
    return Request(method="PUT", path=_path("users", login), read=one_object, json=body)


def delete_user(login: str) -> Request[None]:
    """Return the request that deletes a user."""
    return Request(method="DELETE", path=_path("users", login), read=nothing)


def tokens(login: str) -> Request[_Objects]:
    """Return the request for a user's tokens."""
    return Request(method="GET", path=_path("users", login, "tokens"), read=some_objects)


def create_token(login: str, document: _Object) -> Request[_Object]:
    """Return the request that makes a token."""
    path = _path("users", login, "tokens")
    return Request(method="POST", path=path, read=one_object, json=dict(document))


def revoke_token(login: str, token_id: str) -> Request[None]:
    """Return the request that makes a token void."""
    path = _path("users", login, "tokens", token_id)
    return Request(method="DELETE", path=path, read=nothing)


def roles() -> Request[_Objects]:
    """Return the request for all roles."""
    return Request(method="GET", path=_path("roles"), read=some_objects)


def create_role(document: _Object) -> Request[_Object]:
    """Return the request that creates a role."""
    return Request(method="POST", path=_path("roles"), read=one_object, json=dict(document))


def delete_role(role_id: str) -> Request[None]:
    """Return the request that deletes a role."""
    return Request(method="DELETE", path=_path("roles", role_id), read=nothing)


def add_to_role(role_id: str, login: str) -> Request[None]:
    """Return the request that gives a role to a user."""
    body = {"login": login}
    return Request(method="POST", path=_path("roles", role_id, "users"), read=nothing, json=body)


def remove_from_role(role_id: str, login: str) -> Request[None]:
    """Return the request that takes a role from a user."""
    path = _path("roles", role_id, "users", login)
    return Request(method="DELETE", path=path, read=nothing)


def change_rights(
    action: str, who: _Object, resource: str, operations: Sequence[str]
) -> Request[None]:
    """Return the request that grants or revokes rights.

    Args:
        action: one of ``permissions/actions/``.
        who: ``{"login"}`` or ``{"role_id"}``.
        resource: such as ``/v2/repositories/``.
        operations: such as READ.
    """
    path = _path("permissions", "actions", action)
    body = {**who, "resource": resource, "operations": list(operations)}
    return Request(method="POST", path=path, read=nothing, json=body)


def _path(*parts: str) -> str:
    """Return the path below the API's root, its parts quoted."""
    return "".join(f"/{quote(part, safe='')}" for part in ("pulp", "api", "v2", *parts)) + "/"
