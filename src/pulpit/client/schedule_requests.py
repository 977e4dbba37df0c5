"""Requests about schedules as values; both clients send the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pulpit.client.requests import Request, nothing, one_object, some_objects
from pulpit.domain.schedules import Scheduled, ScheduleKind

__all__ = ["create", "delete", "schedule", "schedules", "update"]

_Object = Mapping[str, Any]


def schedules(of: Scheduled) -> Request[Sequence[_Object]]:
    """Return the request for the schedules of an importer or distributor."""
    return Request(method="GET", path=_path(of), read=some_objects)


def schedule(of: Scheduled, schedule_id: str) -> Request[_Object]:
    """Return the request for a schedule."""
    return Request(method="GET", path=_path(of, schedule_id), read=one_object)


def create(of: Scheduled, document: _Object) -> Request[_Object]:
    """Return the request that creates a schedule."""
    return Request(method="POST", path=_path(of), read=one_object, json=dict(document))


def update(of: Scheduled, schedule_id: str, changes: _Object) -> Request[_Object]:
    """Return the request that changes a schedule."""
    path = _path(of, schedule_id)
    return Request(method="PUT", path=path, read=one_object, json=dict(changes))


def delete(of: Scheduled, schedule_id: str) -> Request[None]:
    """Return the request that deletes a schedule."""
    return Request(method="DELETE", path=_path(of, schedule_id), read=nothing)


def _path(of: Scheduled, *more: str) -> str:
    """Return the path of schedules, its parts quoted."""
    plugins = "importers" if of.kind is ScheduleKind.SYNC else "distributors"
    parts = ("repositories", of.repo_id, plugins, of.plugin_id, "schedules", of.kind.value, *more)
    return "/pulp/api/v2/" + "".join(f"{quote(part, safe='')}/" for part in parts)
