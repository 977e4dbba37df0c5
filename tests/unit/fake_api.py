"""A scripted server behind httpx.MockTransport: what the client and the commands speak to."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpx

__all__ = ["FakeApi", "cloudevent", "error_body", "report", "sse", "task_event"]

SNAPSHOT = ("GET", "/pulpit/v1/snapshot/")
STATUS = "pulpit.task.status.v1"

TASK = "11111111-2222-3333-4444-555555555555"


def report(state: str = "finished", *, task_id: str = TASK, **more: Any) -> dict[str, Any]:
    """Return a task report of a sync of zoo."""
    document: dict[str, Any] = {
        "task_id": task_id,
        "state": state,
        "task_type": "pulp.server.managers.repo.sync.sync",
        "tags": ["pulp:repository:zoo", "pulp:action:sync"],
        "progress_report": {},
        "result": None,
        "error": None,
        "start_time": "2024-05-01T12:00:00Z",
        "finish_time": "2024-05-01T12:00:02Z",
        "worker_name": "w1",
        "spawned_tasks": [],
    }
    return document | more


def error_body(status: int, code: str, text: str, **data: Any) -> dict[str, Any]:
    """Return the API's error body."""
    error = {"code": code, "description": text, "data": data, "sub_errors": []}
    return {"http_status": status, "error_message": text, "error": error}


def sse(number: int | None, kind: str, body: Any) -> bytes:
    """Return one event of a stream."""
    head = b"" if number is None else b"id: %d\n" % number
    return head + f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode()


def cloudevent(number: int, body: Any, **more: Any) -> dict[str, Any]:
    """Return a structured CloudEvent of a change of status."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"journal:{number}",
        "source": "http://server:1",
        "type": STATUS,
        "time": "2024-05-01T12:00:00Z",
        "sequence": f"{number:020d}",
        "datacontenttype": "application/json",
        "pulpitkind": "status",
        "pulpitrevision": number,
        "pulpitprevious": number - 1,
        "pulpitfolded": 0,
        "data": body,
    }
    if isinstance(body, dict) and "task_id" in body:
        event["subject"] = body["task_id"]
    return event | more


def task_event(number: int, body: Any, **more: Any) -> bytes:
    """Return an event of a task as it stands in a stream; its revision is its number."""
    event = cloudevent(number, body, **more)
    return sse(number, str(event["type"]), event)


class _Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces and may break off."""

    def __init__(self, chunks: Iterable[bytes | Exception]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


class FakeApi:
    """Answers by (method, path); each answer is a status and a JSON document."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {
            ("GET", "/pulpit/v1/events/"): (200, {"events": [], "next": 7}),
        }
        #: What each connection to the event stream brings, in turn.
        self.streams: list[Iterable[bytes | Exception] | httpx.Response | Exception] = []
        #: What each request for a snapshot is answered, in turn; empty ones after that.
        self.snapshots: list[Any] = []
        self.requests: list[httpx.Request] = []
        self.logins = {("admin", "secret")}
        self.tokens: set[str] = set()
        self.transport = httpx.MockTransport(self._handle)

    def at(self, method: str, path: str, document: Any, status: int = 200) -> None:
        """Answer this request so from now on."""
        self.answers[method, path] = (status, document)

    def call(self, method: str, path: str, *task_ids: str) -> None:
        """Answer this request with a call report that names tasks."""
        spawned = [{"_href": f"/tasks/{task_id}/", "task_id": task_id} for task_id in task_ids]
        self.at(method, path, {"result": None, "error": None, "spawned_tasks": spawned}, 202)

    def told(self, *reports: dict[str, Any], start: int = 8) -> None:
        """Have the next connection to the stream tell these reports."""
        self.streams.append(
            [task_event(start + offset, told) for offset, told in enumerate(reports)]
        )

    def snapshot(
        self,
        *reports: dict[str, Any],
        sequence: int = 7,
        revision: int = 1,
        next_: str | None = None,
    ) -> None:
        """Have the next snapshot hold these tasks, each at this revision."""
        tasks = [{"revision": revision, "task": told} for told in reports]
        self.snapshots.append({"sequence": sequence, "tasks": tasks, "next": next_})

    def bodies(self, method: str, path: str) -> list[Any]:
        """Return the JSON that was sent so."""
        return [
            json.loads(request.content or b"null")
            for request in self.requests
            if (request.method, request.url.path) == (method, path)
        ]

    def _handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        if not self._allowed(request):
            return httpx.Response(401, json=error_body(401, "PLP0025", "Authentication failed"))
        if request.headers.get("Accept") == "text/event-stream":
            return self._stream()
        if (request.method, request.url.path) == SNAPSHOT:
            return self._snapshot()
        missing = (404, error_body(404, "PLP0009", "Missing", resources={"repo_id": "none"}))
        status, document = self.answers.get((request.method, request.url.path), missing)
        if isinstance(document, Exception):
            raise document
        if isinstance(document, bytes):
            return httpx.Response(status, content=document)
        return httpx.Response(status, json=document)

    def _snapshot(self) -> httpx.Response:
        """Answer with the next snapshot of the script."""
        empty = {"sequence": 7, "tasks": [], "next": None}
        document = self.snapshots.pop(0) if self.snapshots else empty
        if isinstance(document, Exception):
            raise document
        return httpx.Response(200, json=document)

    def _allowed(self, request: httpx.Request) -> bool:
        """Return whether the request carries a login that is known."""
        expected = {
            "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
            for user, password in self.logins
        }
        expected |= {f"Bearer {token}" for token in self.tokens}
        return request.headers.get("Authorization") in expected

    def _stream(self) -> httpx.Response:
        """Answer with the next connection of the script."""
        script = self.streams.pop(0)
        if isinstance(script, Exception):
            raise script
        if isinstance(script, httpx.Response):
            return script
        return httpx.Response(
            200, headers={"Content-Type": "text/event-stream"}, stream=_Chunks(script)
        )
