"""One event of each type, as a sync of a small repository tells it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from pulpit.domain.events import TASK_EVENT_TYPES, Event, EventKind, task_event
from pulpit.domain.tasks import Task, action_tag, repository_tag

__all__ = ["example"]

_CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_WAITING = Task(
    id="0b3f2d5c-4a5e-4b7e-9a57-6a7f6a0a1c2d",
    oid="69573645e3b0c44298fc1c14",
    task_type="pulp.server.managers.repo.sync.sync",
    operation="sync",
    tags=(repository_tag("zoo"), action_tag("sync")),
    created=_CREATED,
    revision=1,
)
_JOURNAL = "5f0e6c6e-7d43-4a0c-8c39-1d1b2a7f9e10"


def example(event_type: str) -> Event:
    """Return an event of that type, the same each time.

    Raises:
        KeyError: there is none of that type.
    """
    return {
        TASK_EVENT_TYPES[EventKind.STATUS]: _event(_WAITING, EventKind.STATUS, sequence=1041),
        TASK_EVENT_TYPES[EventKind.PROGRESS]: _event(_running(), EventKind.PROGRESS, sequence=1057),
    }[event_type]


def _running() -> Task:
    """Return the task while it downloads, after sixteen other events."""
    content = {
        "state": "IN_PROGRESS",
        "items_total": 42,
        "items_left": 28,
        "size_total": 1_204_224,
        "size_left": 802_816,
        "details": {"rpm_total": 42, "rpm_done": 14, "drpm_total": 0, "drpm_done": 0},
        "error_details": [],
    }
    started = _WAITING.started(
        worker_name="embedded@pulp.example.com", now=_CREATED + timedelta(seconds=1)
    )
    running = started.progressed(
        {"yum_importer": {"metadata": {"state": "FINISHED"}, "content": content}}
    )
    return dataclasses.replace(running, revision=17)


def _event(task: Task, kind: EventKind, *, sequence: int) -> Event:
    """Return the event that tells of a task, with three revisions folded into progress."""
    new = task_event(task, kind, now=_CREATED + timedelta(seconds=task.revision - 1))
    return Event(
        sequence=sequence,
        id=f"{_JOURNAL}:{sequence}",
        kind=kind,
        type=new.type,
        task_id=task.id,
        revision=task.revision,
        previous=max(task.revision - 4, 0) if kind is EventKind.PROGRESS else task.revision - 1,
        state=task.state,
        tags=task.tags,
        time=new.time,
        body=new.body,
    )
