"""Events: what the journal holds and every channel tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pulpit.domain.clock import render_time
from pulpit.domain.deliveries import REASON_KEPT
from pulpit.domain.file_progress import staged
from pulpit.domain.listeners import DISABLED, Listener, NotifierType
from pulpit.domain.payloads import ListenerDisabled
from pulpit.domain.reports import TaskReport
from pulpit.domain.tasks import TASKS_HREF, Task, TaskState, task_report

__all__ = [
    "BODY_BYTES_KEPT",
    "ERROR_DETAILS_KEPT",
    "LISTENER_DISABLED",
    "RESULT_BYTES_KEPT",
    "TASK_EVENT_TYPES",
    "Event",
    "EventKind",
    "NewEvent",
    "listener_event",
    "task_event",
]

#: The newest ``error_details`` of a stage that an event carries; GET has them all.
ERROR_DETAILS_KEPT = 100
#: A longer result is replaced in events by a link to the task.
RESULT_BYTES_KEPT = 1 << 20
#: A longer body, such as a hostile feed may cause, has its texts shortened.
BODY_BYTES_KEPT = 4 << 20
_TEXT_KEPT = 1_000


class EventKind(StrEnum):
    """What an event is about, which decides how long it is kept and how it is folded."""

    #: A task changed its state: never lost, never folded.
    STATUS = "status"
    #: A task got on: may be folded into the next event of the same task.
    PROGRESS = "progress"
    #: A listener was disabled: of no task, never lost, never folded.
    LISTENER = "listener"


#: The versioned name of each kind of event of a task; a body of another shape gets another name.
TASK_EVENT_TYPES: Mapping[EventKind, str] = {
    EventKind.STATUS: "pulpit.task.status.v1",
    EventKind.PROGRESS: "pulpit.task.progress.v1",
}
#: The versioned name of the event that tells that a listener was disabled.
LISTENER_DISABLED = "pulpit.listener.disabled.v1"
#: Characters of where a listener is told that its event holds.
_TARGET_KEPT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event on its way into the journal, which gives it its number."""

    kind: EventKind
    #: Versioned name, such as ``pulpit.task.status.v1``.
    type: str
    #: The task it tells of; None for an event of a listener.
    task_id: str | None
    #: The task's revision after this event; contiguous for each task, from 1. 1 without a task.
    revision: int
    #: The task's state after this event.
    state: TaskState | None
    tags: tuple[str, ...]
    time: datetime
    #: JSON text, UTF-8.
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as the journal holds it."""

    #: Its number in the one order of all events; numbers grow and may have gaps.
    sequence: int
    #: Unique for ever and everywhere; a resend carries the same one.
    id: str
    kind: EventKind
    type: str
    task_id: str | None
    revision: int
    #: It stands for the revisions after this one up to its own, all but itself progress.
    previous: int
    state: TaskState | None
    tags: tuple[str, ...]
    time: datetime
    body: bytes

    @property
    def folded(self) -> int:
        """How many earlier events this one stands for beside itself."""
        return max(self.revision - self.previous - 1, 0)


def _without_excess(progress: Any) -> Any:
    """Return *progress* with at most the newest error details of each stage, and their total."""
    if isinstance(progress, Mapping):
        kept = {key: _without_excess(value) for key, value in progress.items()}
        details = progress.get("error_details")
        if isinstance(details, list | tuple) and len(details) > ERROR_DETAILS_KEPT:
            kept["error_details"] = list(details[-ERROR_DETAILS_KEPT:])
            kept["error_details_total"] = len(details)
        return kept
    if isinstance(progress, list | tuple):
        return [_without_excess(item) for item in progress]
    return progress


def _event_report(task: Task) -> TaskReport:
    """Return the Task Report within the bounds of size that events have."""
    report = task_report(task)
    report["progress_report"] = _without_excess(staged(task.progress))
    if task.result is not None and len(msgspec.json.encode(task.result)) > RESULT_BYTES_KEPT:
        report["result"] = {"_href": f"{TASKS_HREF}{task.id}/"}
    return report


def _event_body(task: Task) -> bytes:
    """Return the body of an event of the task, JSON."""
    report = _event_report(task)
    body = msgspec.json.encode(report)
    if len(body) <= BODY_BYTES_KEPT:
        return body
    report["progress_report"] = _shortened(report["progress_report"])
    report["error"] = _shortened(report["error"])
    report["traceback"] = _shortened(report["traceback"])
    if task.result is not None:
        report["result"] = {"_href": f"{TASKS_HREF}{task.id}/"}
    return msgspec.json.encode(report)


def _shortened(value: Any) -> Any:
    """Return *value* with short texts, and stages without error details but with their total."""
    if isinstance(value, str):
        return value[:_TEXT_KEPT]
    if isinstance(value, Mapping):
        kept = {key: _shortened(item) for key, item in value.items() if key != "error_details"}
        if "error_details" in value:
            kept["error_details"] = []
            kept.setdefault("error_details_total", len(value["error_details"]))
        return kept
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return value


def task_event(task: Task, kind: EventKind, *, now: datetime) -> NewEvent:
    """Return the event that tells of *task* as it is now.

    Args:
        task: with the revision that this event makes.
        kind: STATUS or PROGRESS.
        now: the time of the change.
    """
    return NewEvent(
        kind=kind,
        type=TASK_EVENT_TYPES[kind],
        task_id=task.id,
        revision=task.revision,
        state=task.state,
        tags=task.tags,
        time=now,
        body=_event_body(task),
    )


def listener_event(listener: Listener, reason: str, *, now: datetime) -> NewEvent:
    """Return the event that tells that a listener was disabled, without its secrets.

    Args:
        listener: which.
        reason: why, in a line; cut to ``REASON_KEPT`` characters.
        now: the time of the change.
    """
    body: ListenerDisabled = {
        "event_type": DISABLED,
        "listener": {
            "id": listener.id,
            "notifier_type_id": listener.notifier_type.value,
            "target": _target(listener),
            "event_types": list(listener.event_types),
        },
        "reason": reason[:REASON_KEPT],
        "time": render_time(now) or "",
    }
    return NewEvent(
        kind=EventKind.LISTENER,
        type=LISTENER_DISABLED,
        task_id=None,
        revision=1,
        state=None,
        tags=(),
        time=now,
        body=msgspec.json.encode(body),
    )


def _target(listener: Listener) -> str | None:
    """Return where the listener is told: the host of its URL, its addresses, or its exchange."""
    config = listener.config
    match listener.notifier_type:
        case NotifierType.HTTP:
            target = _host(str(config.get("url") or ""))
        case NotifierType.EMAIL:
            addresses = config.get("addresses")
            target = ", ".join(map(str, addresses)) if isinstance(addresses, list | tuple) else ""
        case NotifierType.AMQP:
            target = str(config.get("exchange") or "")
    return target[:_TARGET_KEPT] or None


def _host(url: str) -> str:
    """Return the host of a URL, which may be anything; path and query may hold a secret."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
