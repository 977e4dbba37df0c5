"""One event of each type, and what listeners are told of each, as a small repository tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pulpit.domain.deliveries import Parcel
from pulpit.domain.events import (
    LISTENER_DISABLED,
    TASK_EVENT_TYPES,
    Event,
    EventKind,
    NewEvent,
    listener_event,
    task_event,
)
from pulpit.domain.listeners import DISABLED, Listener, NotifierType
from pulpit.domain.notices import Known, Notice
from pulpit.domain.tasks import (
    PUBLISH_TASK,
    SYNC_TASK,
    Task,
    action_tag,
    repository_tag,
)

__all__ = ["example", "example_headers", "example_notification", "example_parcel"]

_CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_WAITING = Task(
    id="0b3f2d5c-4a5e-4b7e-9a57-6a7f6a0a1c2d",
    oid="69573645e3b0c44298fc1c14",
    task_type=SYNC_TASK,
    operation="sync",
    tags=(repository_tag("zoo"), action_tag("sync")),
    created=_CREATED,
    revision=1,
)
_PUBLISH = dataclasses.replace(
    _WAITING,
    id="7c1e9a34-2f0d-4d19-8a55-3b6c0d8e4f21",
    oid="69573663a7ffc6f8bf1ed766",
    task_type=PUBLISH_TASK,
    operation="publish",
    tags=(repository_tag("zoo"), action_tag("publish")),
)
_LISTENER = Listener(
    id="695736450b1c2d3e4f506172",
    notifier_type=NotifierType.HTTP,
    config={"url": "https://ci.example.com/hooks/pulp"},
    event_types=("*",),
    created=_CREATED,
    last_updated=_CREATED,
)
_WORKER = "embedded@pulp.example.com"
_JOURNAL = "5f0e6c6e-7d43-4a0c-8c39-1d1b2a7f9e10"
_STAGES = {"metadata": {"state": "FINISHED"}, "content": {"state": "FINISHED"}}
_STEP: Mapping[str, Any] = {
    "step_type": "rpms",
    "step_id": "3f9d2b60-51f7-4f0e-9a3e-6f5b8c7d1e02",
    "description": "Publishing RPMs",
    "details": "",
    "state": "FINISHED",
    "items_total": 42,
    "num_processed": 42,
    "num_success": 42,
    "num_failures": 0,
    "error_details": [],
}


def example(event_type: str) -> Event:
    """Return an event of that type, the same each time.

    Raises:
        KeyError: there is none of that type.
    """
    make: Mapping[str, Callable[[], Event]] = {
        TASK_EVENT_TYPES[EventKind.STATUS]: partial(_status, _WAITING, sequence=1041),
        TASK_EVENT_TYPES[EventKind.PROGRESS]: _progress,
        LISTENER_DISABLED: _disabled,
    }
    return make[event_type]()


def example_notification(event_type: str) -> bytes:
    """Return what listeners are told under an event type, JSON; the same each time.

    Raises:
        KeyError: nobody is told anything under it.
    """
    known = Known(distributor_id="web", type_id="yum_distributor")
    return Notice.of(_told(event_type)).body(event_type, known)


def _told(event_type: str) -> Event:
    """Return an event that listeners are told of under an event type."""
    running = {"repo.sync.start": _WAITING, "repo.publish.start": _PUBLISH}
    if event_type == DISABLED:
        return _disabled()
    if event_type in running:
        return _status(_started(running[event_type]), sequence=1042)
    return _status(_in_state(event_type), sequence=1077)


def example_parcel(event_type: str) -> Parcel:
    """Return a delivery of that, the same each time.

    Raises:
        KeyError: nobody is told anything under the event type.
    """
    event = _told(event_type)
    message = Notice.of(event).message(event_type)
    return Parcel(
        id="msg_9d0c3e1a6f4b4c7d8e2f1a5b7c9d3e60",
        event_type=event_type,
        sequence=event.sequence,
        event_id=event.id,
        task_id=message.task_id,
        repo_id=message.repo_id,
        time=event.time,
        body=example_notification(event_type),
    )


def example_headers() -> dict[str, str]:
    """Return the headers that go with it by HTTP."""
    return {
        "webhook-id": "9d0c3e1a-6f4b-4c7d-8e2f-1a5b7c9d3e60",
        "webhook-timestamp": "1767323105",
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    }


def _in_state(event_type: str) -> Task:
    """Return a task of which listeners are told under the event type."""
    running = _started(_WAITING)
    ended = _CREATED + timedelta(seconds=9)
    lost = {
        "code": "PLP0000",
        "description": "The process of the task was killed.",
        "data": {},
        "sub_errors": [],
    }
    make: Mapping[str, Callable[[], Task]] = {
        "repo.sync.finish": partial(_synced, running, ended),
        "repo.publish.finish": partial(_published, ended),
        "task.waiting": lambda: _WAITING,
        "task.running": lambda: running,
        "task.finished": partial(_synced, running, ended),
        "task.error": partial(running.failed, error=lost, traceback=None, now=ended),
        "task.canceled": partial(running.canceled, now=ended),
    }
    return make[event_type]()


def _started(task: Task) -> Task:
    now = _CREATED + timedelta(seconds=1)
    return dataclasses.replace(task.started(worker_name=_WORKER, now=now), revision=2)


def _synced(running: Task, now: datetime) -> Task:
    """Return the sync once it has brought in 42 packages."""
    result = {
        "_ns": "repo_sync_results",
        "id": "6957364e5d41402abc4b2a76",
        "repo_id": "zoo",
        "importer_id": "yum_importer",
        "importer_type_id": "yum_importer",
        "started": "2026-01-02T03:04:06Z",
        "completed": "2026-01-02T03:04:14Z",
        "result": "success",
        "added_count": 42,
        "updated_count": 0,
        "removed_count": 0,
        "summary": _STAGES,
        "details": _STAGES,
        "error_message": None,
        "exception": None,
        "traceback": None,
    }
    told = running.progressed({"yum_importer": _STAGES})
    return told.finished(result=result, spawned=[_PUBLISH.id], now=now)


def _published(now: datetime) -> Task:
    """Return the publish once it is over."""
    result = {
        "_ns": "repo_publish_results",
        "id": "6957366c7215ee9c7d9dc229",
        "repo_id": "zoo",
        "distributor_id": "web",
        "distributor_type_id": "yum_distributor",
        "started": "2026-01-02T03:04:06Z",
        "completed": "2026-01-02T03:04:14Z",
        "result": "success",
        "summary": {"rpms": "FINISHED"},
        "details": [_STEP],
        "error_message": None,
        "exception": None,
        "traceback": None,
    }
    told = _started(_PUBLISH).progressed({"web": [_STEP]})
    return told.finished(result=result, spawned=(), now=now)


def _progress() -> Event:
    """Return the event of the task while it downloads, after sixteen others, three folded in."""
    content = {
        "state": "IN_PROGRESS",
        "items_total": 42,
        "items_left": 28,
        "size_total": 1_204_224,
        "size_left": 802_816,
        "details": {"rpm_total": 42, "rpm_done": 14, "drpm_total": 0, "drpm_done": 0},
        "error_details": [],
    }
    running = _started(_WAITING).progressed(
        {"yum_importer": {"metadata": {"state": "FINISHED"}, "content": content}}
    )
    task = dataclasses.replace(running, revision=17)
    return _event(_of_task(task, EventKind.PROGRESS), sequence=1057, previous=13)


def _status(task: Task, *, sequence: int) -> Event:
    """Return the event that tells of the task's state."""
    return _event(_of_task(task, EventKind.STATUS), sequence=sequence, previous=task.revision - 1)


def _of_task(task: Task, kind: EventKind) -> NewEvent:
    return task_event(task, kind, now=_CREATED + timedelta(seconds=task.revision - 1))


def _disabled() -> Event:
    """Return the event that tells that a listener was disabled."""
    reason = "All attempts have failed for 5 days: connection refused"
    new = listener_event(_LISTENER, reason, now=_CREATED + timedelta(days=5))
    return _event(new, sequence=90_312, previous=0)


def _event(new: NewEvent, *, sequence: int, previous: int) -> Event:
    """Return the event as the journal holds it."""
    fields = {field.name: getattr(new, field.name) for field in dataclasses.fields(new)}
    return Event(sequence=sequence, id=f"{_JOURNAL}:{sequence}", previous=previous, **fields)
