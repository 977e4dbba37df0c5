"""The documents that tell of a task, key by key: the JSON of the API and of event bodies.

The schemas that consumers check events by are made of these types, docstrings and all, so each
says what is promised and no more. Keys may be added; consumers ignore those that they don't know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

__all__ = [
    "ErrorReport",
    "ObjectId",
    "ProgressEventReport",
    "ProgressStage",
    "PublishStep",
    "TaskId",
    "TaskReference",
    "TaskReport",
    "Time",
]

#: The states that tasks are told in; ``TaskState`` knows more, which filters may name.
_STATES_TOLD = ["waiting", "running", "finished", "error", "canceled"]
_STAGE_STATES = ["NOT_STARTED", "IN_PROGRESS", "FINISHED", "FAILED", "SKIPPED", "CANCELLED"]

_COUNT = Meta(ge=0)
#: A time as the API writes it.
Time = Annotated[
    str,
    Meta(
        description="UTC, in whole seconds.",
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
TaskId = Annotated[
    str, Meta(description="The UUID of the task.", extra_json_schema={"format": "uuid"})
]

ObjectId = TypedDict("ObjectId", {"$oid": Annotated[str, Meta(pattern="^[0-9a-f]{24}$")]})

_StageState = Annotated[
    str,
    Meta(
        description="How far it is; CANCELLED where the task was canceled meanwhile.",
        extra_json_schema={"enum": _STAGE_STATES},
    ),
]
_ErrorDetails = Annotated[
    list[dict[str, Any]],
    Meta(description="What failed; events hold the newest 100 at the most, GET of the task all."),
]
_ErrorDetailsTotal = Annotated[
    int,
    Meta(ge=0, description="How many error_details there are; only where an event has left some."),
]


class TaskReference(TypedDict):
    """A link to a task."""

    _href: Annotated[str, Meta(description="Path of the task on this server.")]
    task_id: TaskId


class ErrorReport(TypedDict):
    """Why a request or a task failed."""

    code: Annotated[
        str, Meta(description="Code of the error, as the page of error codes lists them.")
    ]
    description: Annotated[str, Meta(description="The same in words, for a person.")]
    data: Annotated[Mapping[str, Any], Meta(description="What the error is about, by name.")]
    sub_errors: list[ErrorReport]


class ProgressStage(TypedDict):
    """One stage of a sync, such as metadata or content."""

    state: _StageState
    items_total: NotRequired[Annotated[int, _COUNT, Meta(description="Files to download.")]]
    items_left: NotRequired[Annotated[int, Meta(description="Files still to download.")]]
    size_total: NotRequired[Annotated[int, _COUNT, Meta(description="Bytes to download.")]]
    size_left: NotRequired[Annotated[int, Meta(description="Bytes still to download.")]]
    details: NotRequired[Annotated[Any, Meta(description="Counts by type of content.")]]
    error: NotRequired[Annotated[str, Meta(description="Why the stage failed.")]]
    error_details: NotRequired[_ErrorDetails]
    error_details_total: NotRequired[_ErrorDetailsTotal]


class PublishStep(TypedDict):
    """One step of a publish, such as rpms."""

    step_type: Annotated[str, Meta(description="What kind of step it is; may come more than once.")]
    step_id: Annotated[str, Meta(description="Unique among the steps of the task.")]
    description: Annotated[str, Meta(description="The step in words.")]
    details: Annotated[str, Meta(description="More of it in words, or empty.")]
    state: _StageState
    items_total: Annotated[int, _COUNT, Meta(description="Units to go through.")]
    num_processed: Annotated[int, _COUNT, Meta(description="Units gone through.")]
    num_success: Annotated[int, _COUNT, Meta(description="Units that went well.")]
    num_failures: Annotated[int, _COUNT, Meta(description="Units that did not.")]
    error_details: _ErrorDetails
    error_details_total: NotRequired[_ErrorDetailsTotal]


class _Report(TypedDict):
    """What every report of a task holds, apart from its state."""

    _href: Annotated[str, Meta(description="Path of the task on this server.")]
    _id: ObjectId
    id: Annotated[str, Meta(description="The digits of _id.")]
    _ns: Annotated[str, Meta(extra_json_schema={"const": "task_status"})]
    task_id: TaskId
    task_type: Annotated[str, Meta(description="The dotted name that Pulp 2 gave such work.")]
    tags: Annotated[
        list[str],
        Meta(description="Such as pulp:repository:zoo and pulp:action:sync."),
    ]
    worker_name: Annotated[str | None, Meta(description="Who runs it, or ran it.")]
    queue: Annotated[str | None, Meta(description="Of that worker; kept for clients of Pulp 2.")]
    group_id: str | None
    start_time: Time | None
    finish_time: Time | None
    progress_report: Annotated[
        Mapping[str, Mapping[str, ProgressStage] | list[PublishStep]],
        Meta(
            description="By importer: its stages by name. By distributor: its steps in order. "
            "Empty until the task tells something."
        ),
    ]
    result: Annotated[
        Any,
        Meta(
            description="What the task returned; in events, when that or the body is too "
            "long, an object with nothing but _href, the path of the task."
        ),
    ]
    error: Annotated[ErrorReport | None, Meta(description="Of a task in state error.")]
    exception: Annotated[None, Meta(description="Always null; kept for clients of Pulp 2.")]
    traceback: str | None
    spawned_tasks: Annotated[
        list[TaskReference], Meta(description="The tasks that this one has handed in.")
    ]


class TaskReport(_Report):
    """A task at one moment: what GET of the task answers, and what its status events hold."""

    state: Annotated[
        str,
        Meta(
            description="finished, error and canceled are final.",
            extra_json_schema={"enum": _STATES_TOLD},
        ),
    ]


class ProgressEventReport(_Report):
    """A running task that got on: what its progress events hold."""

    state: Annotated[str, Meta(extra_json_schema={"const": "running"})]
