"""Requests as values: what is sent, and how its answer is read; both clients send the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pulpit.client.reports import CallReport, TaskReport

__all__ = [
    "EVENTS_PATH",
    "SNAPSHOT_PATH",
    "Request",
    "cancel",
    "check_credentials",
    "copy_units",
    "create_repository",
    "delete_repository",
    "head",
    "nothing",
    "one_object",
    "orphans",
    "orphans_of",
    "publish",
    "remove_orphans",
    "remove_units",
    "repositories",
    "repository",
    "some_objects",
    "status",
    "sync",
    "task",
    "tasks",
    "units",
]

EVENTS_PATH = "/pulpit/v1/events/"
SNAPSHOT_PATH = "/pulpit/v1/snapshot/"
_API = ("pulp", "api", "v2")
_WITH_PARTS = {"details": "true"}

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T_co]):
    """One request to the API."""

    method: str
    path: str
    #: Returns what the JSON of the answer means; raises ValueError for what it can't be.
    read: Callable[[Any], T_co]
    params: Mapping[str, Any] | None = None
    #: The JSON value to send; None sends no body.
    json: Any = None
    #: Bytes to send, in place of it; sent twice, they do no harm.
    content: bytes | None = None


def status() -> Request[Mapping[str, Any]]:
    """Return the request for the server's status."""
    return Request(method="GET", path=_path("status"), read=one_object)


def check_credentials() -> Request[None]:
    """Return a request that only a known user may make."""
    return Request(method="GET", path=_path("plugins", "types"), read=nothing)


def repositories() -> Request[Sequence[Mapping[str, Any]]]:
    """Return the request for all repositories, with importers and distributors."""
    return Request(method="GET", path=_path("repositories"), read=some_objects, params=_WITH_PARTS)


def repository(repo_id: str) -> Request[Mapping[str, Any]]:
    """Return the request for a repository, with importers and distributors."""
    path = _path("repositories", repo_id)
    return Request(method="GET", path=path, read=one_object, params=_WITH_PARTS)


def create_repository(document: Mapping[str, Any]) -> Request[Mapping[str, Any]]:
    """Return the request that creates a repository."""
    return Request(method="POST", path=_path("repositories"), read=one_object, json=document)


def delete_repository(repo_id: str) -> Request[CallReport]:
    """Return the request that has a repository deleted."""
    path = _path("repositories", repo_id)
    return Request(method="DELETE", path=path, read=CallReport.from_document)


def orphans() -> Request[Mapping[str, Any]]:
    """Return the request for how many orphans there are of each type."""
    return Request(method="GET", path=_path("content", "orphans"), read=one_object)


def orphans_of(type_id: str) -> Request[Sequence[Mapping[str, Any]]]:
    """Return the request for the orphans of a type."""
    return Request(method="GET", path=_path("content", "orphans", type_id), read=some_objects)


def remove_orphans(type_id: str | None) -> Request[CallReport]:
    """Return the request that has orphans removed, of one type or all."""
    path = _path("content", "orphans", *([type_id] if type_id else []))
    return Request(method="DELETE", path=path, read=CallReport.from_document)


def sync(repo_id: str, override: Mapping[str, Any] | None) -> Request[CallReport]:
    """Return the request that has a repository synced."""
    body = {"override_config": dict(override)} if override else {}
    return _action(repo_id, "sync", body)


def publish(
    repo_id: str, distributor_id: str, override: Mapping[str, Any] | None
) -> Request[CallReport]:
    """Return the request that has a repository published."""
    body = {"override_config": dict(override)} if override else {}
    return _action(repo_id, "publish", {"id": distributor_id, **body})


def copy_units(
    repo_id: str,
    source: str,
    criteria: Mapping[str, Any] | None,
    override: Mapping[str, Any] | None,
) -> Request[CallReport]:
    """Return the request that has units copied into a repository."""
    body: dict[str, Any] = {"source_repo_id": source}
    if criteria:
        body["criteria"] = dict(criteria)
    if override:
        body["override_config"] = dict(override)
    return _action(repo_id, "associate", body)


def remove_units(repo_id: str, criteria: Mapping[str, Any] | None) -> Request[CallReport]:
    """Return the request that has units removed from a repository."""
    return _action(repo_id, "unassociate", {"criteria": dict(criteria)} if criteria else {})


def units(
    repo_id: str, *, types: Sequence[str], filters: Mapping[str, Any], limit: int | None
) -> Request[Sequence[Mapping[str, Any]]]:
    """Return the request for the units of a repository that match."""
    criteria: dict[str, Any] = {"type_ids": list(types), "filters": {"unit": dict(filters)}}
    if limit is not None:
        criteria["limit"] = limit
    path = _path("repositories", repo_id, "search", "units")
    return Request(method="POST", path=path, read=_units, json={"criteria": criteria})


def tasks(
    *, tags: Sequence[str], states: Sequence[str], group: str | None, limit: int | None
) -> Request[Sequence[TaskReport]]:
    """Return the request for the tasks that have all that is asked for, newest first."""
    filters: dict[str, Any] = {}
    if tags:
        filters["$and"] = [{"tags": tag} for tag in tags]
    if states:
        filters["state"] = {"$in": list(states)}
    if group is not None:
        filters["group_id"] = group
    criteria: dict[str, Any] = {"filters": filters, "sort": [["_id", "descending"]]}
    if limit is not None:
        criteria["limit"] = limit
    body = {"criteria": criteria}
    return Request(method="POST", path=_path("tasks", "search"), read=_reports, json=body)


def task(task_id: str) -> Request[TaskReport]:
    """Return the request for a task."""
    return Request(method="GET", path=_path("tasks", task_id), read=TaskReport.from_document)


def cancel(task_id: str) -> Request[None]:
    """Return the request that has a task canceled."""
    return Request(method="DELETE", path=_path("tasks", task_id), read=nothing)


def head() -> Request[int]:
    """Return the request for the number of the newest event."""
    return Request(method="GET", path=EVENTS_PATH, read=_next)


def _path(*parts: str) -> str:
    """Return the path below the API's root, its parts quoted."""
    return "".join(f"/{quote(part, safe='')}" for part in (*_API, *parts)) + "/"


def _action(repo_id: str, action: str, body: Mapping[str, Any]) -> Request[CallReport]:
    path = _path("repositories", repo_id, "actions", action)
    return Request(method="POST", path=path, read=CallReport.from_document, json=body)


def nothing(_answer: Any) -> None:
    """Take any answer of the server."""


def one_object(answer: Any) -> Mapping[str, Any]:
    """Return the answer, which must be an object, or raise ValueError."""
    if not isinstance(answer, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what is wrong is a value from outside
    return answer


def some_objects(answer: Any) -> Sequence[Mapping[str, Any]]:
    """Return the answer, which must be a list of objects, or raise ValueError."""
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise ValueError("no list of JSON objects")
    return answer


def _units(answer: Any) -> Sequence[Mapping[str, Any]]:
    """Return the units of associations."""
    return [one_object(association.get("metadata")) for association in some_objects(answer)]


def _reports(answer: Any) -> Sequence[TaskReport]:
    return [TaskReport.from_document(document) for document in some_objects(answer)]


def _next(answer: Any) -> int:
    """Return the number that a page of events ends with."""
    number = answer.get("next") if isinstance(answer, dict) else None
    if not isinstance(number, int):
        raise ValueError("no page of events with a number to go on from")  # noqa: TRY004
    return number
