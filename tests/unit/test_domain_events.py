"""Events: of tasks, the Task Report within bounds of size; of listeners, nothing secret."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pulpit.domain.events import BODY_BYTES_KEPT, Event, EventKind, listener_event, task_event
from pulpit.domain.listeners import Listener, NotifierType
from pulpit.domain.tasks import Task, TaskState, task_report
from tests.schemas import assert_told

_NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
_TASK = Task(
    id="00000000-0000-4000-8000-000000000001",
    oid="0" * 24,
    task_type="pulp.test",
    operation="test",
    tags=("a", "b"),
    created=_NOW,
    state=TaskState.RUNNING,
    revision=3,
)


def _body(**changes: Any) -> dict[str, Any]:
    """Return the body of the event of a task."""
    task = dataclasses.replace(_TASK, **changes)
    body = msgspec.json.decode(task_event(task, EventKind.PROGRESS, now=_NOW).body)
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("kind", [EventKind.STATUS, EventKind.PROGRESS])
def test_an_event_is_the_task_report(kind: EventKind) -> None:
    """The body is the document of GET, to the byte."""
    event = task_event(_TASK, kind, now=_NOW)
    assert event.body == msgspec.json.encode(task_report(_TASK))
    assert event.type == f"pulpit.task.{kind}.v1"
    assert (event.kind, event.task_id, event.revision) == (kind, _TASK.id, 3)
    assert (event.state, event.tags, event.time) == (TaskState.RUNNING, ("a", "b"), _NOW)


def test_few_error_details_stay() -> None:
    """Up to a hundred go as they are."""
    progress = {"yum_importer": {"content": {"error_details": [{"n": n} for n in range(100)]}}}
    assert _body(progress=progress)["progress_report"] == progress


def test_many_error_details_are_cut() -> None:
    """The newest hundred of each stage go, with their total, wherever the stage stands."""
    details = [{"n": n} for n in range(250)]
    cut = {"error_details": details[150:], "error_details_total": 250, "state": "FAILED"}
    stage = {"error_details": details, "state": "FAILED"}
    progress = {"yum_importer": {"content": stage}, "dist": [stage, {"sub_steps": [stage]}]}
    assert _body(progress=progress)["progress_report"] == {
        "yum_importer": {"content": cut},
        "dist": [cut, {"sub_steps": [cut]}],
    }
    # the task itself has them all
    assert len(stage["error_details"]) == 250


def test_a_long_result_is_a_link() -> None:
    """Up to a mebibyte goes; what is longer is to be read from the task."""
    fits = "x" * ((1 << 20) - 2)
    assert _body(result=fits)["result"] == fits
    assert _body(result=fits + "x")["result"] == {"_href": f"/pulp/api/v2/tasks/{_TASK.id}/"}
    assert _body(result=None)["result"] is None
    assert _body(result=0)["result"] == 0


def test_a_body_is_bounded_whatever_a_feed_says() -> None:
    """Texts of any length, in details, errors and tracebacks, make no body of more than 4 MiB."""
    endless = "x" * (1 << 20)
    stage = {"state": "FAILED", "error": endless, "error_details": [{"url": endless}] * 250}
    body = _body(
        progress={"yum_importer": {"content": stage, "metadata": {"state": "FINISHED"}}},
        error={"code": "RPM1004", "description": endless, "data": {"url": endless}},
        traceback=endless * 5,
        result="small",
        state=TaskState.ERROR,
    )
    assert len(msgspec.json.encode(body)) < BODY_BYTES_KEPT == 4 << 20
    assert body["progress_report"]["yum_importer"] == {
        "content": {
            "state": "FAILED",
            "error": "x" * 1_000,
            "error_details": [],
            "error_details_total": 250,
        },
        "metadata": {"state": "FINISHED"},
    }
    assert body["error"] == {
        "code": "RPM1004",
        "description": "x" * 1_000,
        "data": {"url": "x" * 1_000},
    }
    assert body["traceback"] == "x" * 1_000
    assert body["result"] == {"_href": f"/pulp/api/v2/tasks/{_TASK.id}/"}


def test_a_body_that_fits_is_not_shortened() -> None:
    """Up to four mebibytes go as they are."""
    traceback = "x" * (3 << 20)
    assert _body(traceback=traceback)["traceback"] == traceback


@pytest.mark.parametrize(
    ("notifier_type", "config", "target"),
    [
        (
            "http",
            {"url": "https://u:secret@ci.example.com:8443/hook/secret?k=secret"},
            "ci.example.com",
        ),
        ("http", {"url": "https://[secret"}, None),
        ("http", {}, None),
        (
            "email",
            {"addresses": ["a@example.com", "b@example.com"], "subject": "x"},
            "a@example.com, b@example.com",
        ),
        ("email", {"addresses": "secret"}, None),
        ("email", {"addresses": ["a" * 500]}, "a" * 300),
        ("amqp", {"exchange": "builds"}, "builds"),
        ("amqp", {}, None),
    ],
)
def test_the_event_of_a_listener(
    notifier_type: str, config: dict[str, Any], target: str | None
) -> None:
    """It says which listener was disabled and why, without what may be secret, and bounded."""
    listener = Listener(
        id="5e1f00000000000000000000",
        notifier_type=NotifierType(notifier_type),
        config=config | {"username": "secret", "password": "secret"},
        event_types=("*", "task.error"),
        sealed=b"secret",
        created=_NOW,
        last_updated=_NOW,
    )
    event = listener_event(listener, "r" * 1_000, now=_NOW)
    assert event.type == "pulpit.listener.disabled.v1"
    assert (event.kind, event.task_id, event.revision) == (EventKind.LISTENER, None, 1)
    assert (event.state, event.tags, event.time) == (None, (), _NOW)
    assert b"secret" not in event.body
    body = msgspec.json.decode(event.body)
    assert body == {
        "event_type": "listener.disabled",
        "listener": {
            "id": listener.id,
            "notifier_type_id": notifier_type,
            "target": target,
            "event_types": ["*", "task.error"],
        },
        "reason": "r" * 300,
        "time": "2026-01-02T03:04:05Z",
    }
    assert_told(event.type, body)


@pytest.mark.parametrize(
    ("previous", "revision", "folded"), [(0, 1, 0), (2, 3, 0), (2, 7, 4), (3, 3, 0)]
)
def test_an_event_tells_how_many_it_stands_for(previous: int, revision: int, folded: int) -> None:
    """Those between its previous and its own revision."""
    event = Event(
        sequence=1,
        id="e",
        kind=EventKind.STATUS,
        type="t",
        task_id="t",
        revision=revision,
        previous=previous,
        state=None,
        tags=(),
        time=_NOW,
        body=b"",
    )
    assert event.folded == folded
