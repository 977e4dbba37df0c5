"""What listeners are told, key by key; Pulp 2's documents, and those of our own event types.

The schemas that receivers check messages by are made of these types, docstrings and all.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from msgspec import Meta

from pulpit.domain.reports import TaskId, TaskReport, Time

__all__ = [
    "DisabledListener",
    "ListenerDisabled",
    "ListenerDisabledPayload",
    "Notification",
    "PublishResult",
    "PublishStartPayload",
    "SyncResult",
    "SyncStartPayload",
    "TaskPayload",
]

_RepoId = Annotated[str, Meta(description="Id of the repository.")]
_DistributorId = Annotated[
    str | None, Meta(description="Id of the distributor; null if it is not known any more.")
]
_Result = Annotated[
    str,
    Meta(
        description="How it ended.",
        extra_json_schema={"enum": ["success", "error", "canceled"]},
    ),
]
_Count = Annotated[int, Meta(ge=0, description="How many units; 0 unless result is success.")]
_ErrorMessage = Annotated[str | None, Meta(description="Why it failed, for a person.")]
_Exception = Annotated[None, Meta(description="Always null; kept for consumers of Pulp 2.")]
_Id = Annotated[str, Meta(pattern="^[0-9a-f]{24}$")]


class SyncStartPayload(TypedDict):
    """A sync has begun."""

    repo_id: _RepoId


class PublishStartPayload(TypedDict):
    """A publish has begun."""

    repo_id: _RepoId
    distributor_id: _DistributorId


class SyncResult(TypedDict):
    """A sync that was begun has ended, well or not."""

    _ns: Annotated[str, Meta(extra_json_schema={"const": "repo_sync_results"})]
    id: _Id
    repo_id: _RepoId
    importer_id: Annotated[str | None, Meta(description="Id of the importer, which is its type.")]
    importer_type_id: str | None
    started: Time | None
    completed: Time | None
    result: _Result
    added_count: _Count
    updated_count: _Count
    removed_count: _Count
    summary: Annotated[Any, Meta(description="The state of each stage, by name.")]
    details: Annotated[
        Any, Meta(description="The stages as in the progress report; null where that is too long.")
    ]
    error_message: _ErrorMessage
    exception: _Exception
    traceback: str | None


class PublishResult(TypedDict):
    """A publish that was begun has ended, well or not."""

    _ns: Annotated[str, Meta(extra_json_schema={"const": "repo_publish_results"})]
    id: _Id
    repo_id: _RepoId
    distributor_id: _DistributorId
    distributor_type_id: str | None
    started: Time | None
    completed: Time | None
    result: _Result
    summary: Annotated[
        Any, Meta(description="The state of each type of step; a text if nothing had to be done.")
    ]
    details: Annotated[
        Any,
        Meta(
            description="The steps as in the progress report, a text if nothing had to be done; "
            "null where that is too long."
        ),
    ]
    error_message: _ErrorMessage
    exception: _Exception
    traceback: str | None


class TaskPayload(TypedDict):
    """A task has come to a state; more of it is in the call report."""

    task_id: TaskId
    state: str
    tags: list[str]


class DisabledListener(TypedDict):
    """A listener that was disabled, without what is secret."""

    id: _Id
    notifier_type_id: Annotated[str, Meta(description="http, email or amqp.")]
    target: Annotated[
        str | None,
        Meta(description="The host of its URL, its addresses, or its exchange if it has one."),
    ]
    event_types: list[str]


class ListenerDisabledPayload(TypedDict):
    """A listener was disabled: it is told of nothing until somebody enables it."""

    listener: DisabledListener
    reason: Annotated[str, Meta(description="Why, for a person.")]
    time: Time


class ListenerDisabled(ListenerDisabledPayload):
    """A listener was disabled: it is told of nothing until somebody enables it."""

    event_type: Annotated[str, Meta(extra_json_schema={"const": "listener.disabled"})]


class Notification(TypedDict):
    """What listeners are told of an event."""

    event_type: Annotated[
        str, Meta(min_length=1, description="Such as repo.sync.finish; it says what payload is.")
    ]
    payload: Annotated[Any, Meta(description="As the event type has it.")]
    call_report: Annotated[
        TaskReport | None,
        Meta(description="The task as the event tells it; null for an event of no task."),
    ]
