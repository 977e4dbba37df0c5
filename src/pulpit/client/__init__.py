"""The typed client of the REST API and the event stream, for programs and for the commands.

::

    with Client("http://127.0.0.1:8080", auth=("admin", "secret")) as client:
        start = client.head()
        [task_id] = client.sync("zoo").spawned
        for event in client.events(since=start, wanted=EventFilter(task=task_id)):
            ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from pulpit.client.connection import Connection, path
from pulpit.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    NotFound,
    Unauthenticated,
    Unintelligible,
    Unreachable,
)
from pulpit.client.events import EVENTS_PATH, Event, EventFilter, EventStream, Retry, Stale
from pulpit.client.reports import CallReport, TaskReport
from pulpit.config import DEFAULT_URL

__all__ = [
    "ApiError",
    "CallReport",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "EventFilter",
    "EventStream",
    "Forbidden",
    "NotFound",
    "Retry",
    "Stale",
    "TaskReport",
    "Unauthenticated",
    "Unintelligible",
    "Unreachable",
]

_API = ("pulp", "api", "v2")


class Client:
    """Speaks to one server; every method raises ClientError for what has no good end.

    Args:
        url: the server's address.
        auth: login and password, or None to go without.
        timeout: seconds to connect, and to wait for an answer.
        transport: what carries the requests; None for the network.

    Raises:
        ValueError: the URL is no server's.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        auth: tuple[str, str] | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(url, auth=auth, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._connection.url

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # server

    def status(self) -> Mapping[str, Any]:
        """Return the server's status; needs no credentials."""
        return self._object("GET", "status")

    def check_credentials(self) -> None:
        """Return if the server knows the login and password.

        Raises:
            Unauthenticated: it does not.
        """
        self._request("GET", "plugins", "types")

    # repositories

    def repositories(self) -> Sequence[Mapping[str, Any]]:
        """Return all repositories, with importers and distributors."""
        return self._objects("GET", "repositories", params={"details": "true"})

    def repository(self, repo_id: str) -> Mapping[str, Any]:
        """Return the repository, with importers and distributors.

        Raises:
            NotFound: there is none of that id.
        """
        return self._object("GET", "repositories", repo_id, params={"details": "true"})

    def create_repository(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a repository, with importer and distributors if *document* has them.

        Raises:
            Conflict: there is one of that id.
        """
        return self._object("POST", "repositories", json=document)

    def delete_repository(self, repo_id: str) -> CallReport:
        """Have the repository deleted."""
        return self._call("DELETE", "repositories", repo_id)

    def sync(self, repo_id: str, *, override: Mapping[str, Any] | None = None) -> CallReport:
        """Have the repository synced; *override* is its importer's configuration for this once."""
        body = {"override_config": dict(override)} if override else {}
        return self._call("POST", "repositories", repo_id, "actions", "sync", json=body)

    def publish(
        self, repo_id: str, distributor_id: str, *, override: Mapping[str, Any] | None = None
    ) -> CallReport:
        """Have the repository published by one of its distributors."""
        body: dict[str, Any] = {"id": distributor_id}
        if override:
            body["override_config"] = dict(override)
        return self._call("POST", "repositories", repo_id, "actions", "publish", json=body)

    # tasks

    def tasks(
        self,
        *,
        tags: Sequence[str] = (),
        states: Sequence[str] = (),
        limit: int | None = None,
    ) -> Sequence[TaskReport]:
        """Return the tasks that have all of the tags and one of the states, newest first."""
        filters: dict[str, Any] = {}
        if tags:
            filters["$and"] = [{"tags": tag} for tag in tags]
        if states:
            filters["state"] = {"$in": list(states)}
        criteria: dict[str, Any] = {"filters": filters, "sort": [["_id", "descending"]]}
        if limit is not None:
            criteria["limit"] = limit
        found = self._objects("POST", "tasks", "search", json={"criteria": criteria})
        return [self._report(document) for document in found]

    def task(self, task_id: str) -> TaskReport:
        """Return the task.

        Raises:
            NotFound: there is none of that id.
        """
        return self._report(self._object("GET", "tasks", task_id))

    def cancel(self, task_id: str) -> None:
        """Have the task canceled; one that is complete stays as it is."""
        self._request("DELETE", "tasks", task_id)

    # events

    def head(self) -> int:
        """Return the number of the newest event, to follow what comes after."""
        page = self._connection.request("GET", EVENTS_PATH)
        number = page.get("next") if isinstance(page, dict) else None
        if not isinstance(number, int):
            raise Unintelligible(self.url, "its page of events has no number to go on from")
        return number

    def events(
        self,
        *,
        since: int | None = None,
        wanted: EventFilter | None = None,
        patience: float | None = 60.0,
        on_retry: Callable[[Retry], None] = lambda _retry: None,
    ) -> EventStream:
        """Return the events after *since* (None: from now on), in order, without end.

        Args:
            since: the number to start after.
            wanted: which events.
            patience: seconds without a connection until Unreachable is raised; None is for ever.
            on_retry: told of every lost connection.
        """
        return EventStream(
            connection=self._connection,
            since=since,
            wanted=wanted or EventFilter(),
            patience=patience,
            on_retry=on_retry,
        )

    # how

    def _request(self, method: str, *parts: str, **more: Any) -> Any:
        """Return the JSON of the answer to a request below the API's root."""
        return self._connection.request(method, path(*_API, *parts), **more)

    def _object(self, method: str, *parts: str, **more: Any) -> Mapping[str, Any]:
        """Return an answer that must be an object."""
        answer = self._request(method, *parts, **more)
        if not isinstance(answer, dict):
            raise Unintelligible(self.url, f"{path(*parts)} is no JSON object")
        return answer

    def _objects(self, method: str, *parts: str, **more: Any) -> Sequence[Mapping[str, Any]]:
        """Return an answer that must be a list of objects."""
        answer = self._request(method, *parts, **more)
        if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
            raise Unintelligible(self.url, f"{path(*parts)} is no list of JSON objects")
        return answer

    def _call(self, method: str, *parts: str, **more: Any) -> CallReport:
        """Return an answer that must be a call report."""
        return CallReport.from_document(self._object(method, *parts, **more))

    def _report(self, document: Any) -> TaskReport:
        """Return an answer that must be a task report."""
        try:
            return TaskReport.from_document(document)
        except ValueError as error:
            raise Unintelligible(self.url, str(error)) from None
