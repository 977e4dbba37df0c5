"""A process that runs tasks for the distributed engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from pulpit.domain.clock import render_time

__all__ = [
    "CANCEL_CHANNEL",
    "JOB_NAME",
    "JOB_QUEUE",
    "Vacancy",
    "Worker",
    "new_worker",
    "worker_document",
]

#: What both ends of the distributed engine call its queue, its one kind of job, and the channel
#: that tells the id of a task whose process is to end.
JOB_QUEUE = "pulpit"
JOB_NAME = "pulpit.run"
CANCEL_CHANNEL = "pulpit_cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker as the database knows it."""

    #: What tasks are told to run on.
    name: str
    #: A UUID: a process of the same name later is another one.
    incarnation: str
    #: How many tasks it runs at once.
    slots: int
    #: Seconds without a heartbeat after which it counts as lost; it goes by that itself.
    timeout: float
    started: datetime
    #: When it was last heard of, by the database's clock.
    heartbeat: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacancy:
    """Slots of a worker that are free."""

    worker: Worker
    slots: int
    #: To be given after an error, which may have come of a lost answer: the tasks that the worker
    #: knows to run on it.
    begun: Collection[str] | None = None


def new_worker(name: str, *, slots: int, timeout: float, now: datetime) -> Worker:
    """Return a worker that has told nobody of itself."""
    return Worker(
        name=name,
        incarnation=str(uuid4()),
        slots=slots,
        timeout=timeout,
        started=now,
        heartbeat=now,
    )


def worker_document(worker: Worker) -> Mapping[str, Any]:
    """Return the worker as ``known_workers`` of the status document has it."""
    return {
        "_id": worker.name,
        "_ns": "workers",
        "last_heartbeat": render_time(worker.heartbeat),
    }
