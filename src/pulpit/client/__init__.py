"""The typed client of the REST API and the event stream, for programs and for the commands.

::

    with Client("http://127.0.0.1:8080", auth=("admin", "secret")) as client:
        start = client.head()
        [task_id] = client.sync("zoo").spawned
        for event in client.events(since=start, task=task_id):
            ...

``AsyncClient`` has the same calls for an event loop.
"""

from __future__ import annotations

from pulpit.client.asynchronous import AsyncClient
from pulpit.client.blocking import Client
from pulpit.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    NotFound,
    Unauthenticated,
    Unintelligible,
    Unreachable,
    Untrusted,
)
from pulpit.client.events import Event, EventFilter, Filters, Stale
from pulpit.client.files import send_file
from pulpit.client.following import Backoff, Resumed, Retry
from pulpit.client.listeners import (
    Delivery,
    DeliveryPage,
    Listener,
    ListenerTest,
    RotatedSecret,
)
from pulpit.client.options import EventOptions, FollowOptions
from pulpit.client.reports import CallReport, TaskReport
from pulpit.client.snapshots import KnownTask, Snapshot
from pulpit.client.stream import AsyncEventStream, EventStream
from pulpit.client.upload_requests import UploadState
from pulpit.domain.schedules import Scheduled, ScheduleKind

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncEventStream",
    "Backoff",
    "CallReport",
    "Client",
    "ClientError",
    "Conflict",
    "Delivery",
    "DeliveryPage",
    "Event",
    "EventFilter",
    "EventOptions",
    "EventStream",
    "Filters",
    "FollowOptions",
    "Forbidden",
    "KnownTask",
    "Listener",
    "ListenerTest",
    "NotFound",
    "Resumed",
    "Retry",
    "RotatedSecret",
    "ScheduleKind",
    "Scheduled",
    "Snapshot",
    "Stale",
    "TaskReport",
    "Unauthenticated",
    "Unintelligible",
    "Unreachable",
    "Untrusted",
    "UploadState",
    "send_file",
]
