"""What a task is, which states it goes through, and the report that tells of it.

The states and the report are those of Pulp 2's API; ``accepted`` and ``suspended`` are known, so
that filters may name them, and never set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, cast

from pulpit.domain.clock import render_time
from pulpit.domain.file_progress import FileState
from pulpit.domain.reports import ErrorReport, TaskReference, TaskReport

__all__ = [
    "COMPLETE",
    "INCOMPLETE",
    "PUBLISH_TASK",
    "PURGEABLE",
    "SYNC_TASK",
    "TASKS_HREF",
    "Task",
    "TaskState",
    "action_tag",
    "call_report",
    "canceled_progress",
    "repository_resource",
    "repository_tag",
    "reserved_repositories",
    "task_reference",
    "task_report",
]

TASKS_HREF = "/pulp/api/v2/tasks/"
#: The ``task_type`` of syncs, and of publishes.
SYNC_TASK = "pulp.server.managers.repo.sync.sync"
PUBLISH_TASK = "pulp.server.managers.repo.publish.publish"


class TaskState(StrEnum):
    """The state of a task, as clients see it."""

    #: Handed in; waits for its reservations or for a free worker.
    WAITING = "waiting"
    ACCEPTED = "accepted"
    RUNNING = "running"
    SUSPENDED = "suspended"
    SKIPPED = "skipped"
    FINISHED = "finished"
    ERROR = "error"
    CANCELED = "canceled"

    @property
    def is_complete(self) -> bool:
        """True for a state that a task never leaves."""
        return self in COMPLETE


COMPLETE = frozenset(
    {TaskState.SKIPPED, TaskState.FINISHED, TaskState.ERROR, TaskState.CANCELED},
)
INCOMPLETE = frozenset(TaskState) - COMPLETE
#: The states whose tasks may be deleted in bulk.
PURGEABLE = frozenset({TaskState.FINISHED, TaskState.ERROR, TaskState.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task, at one moment."""

    #: The UUID that clients know it by.
    id: str
    #: 24 hexadecimal digits, the ``_id`` of the report.
    oid: str
    #: Grows with every task handed in; who has the lower number is served first.
    number: int = 0
    #: The dotted name that Pulp 2 gave this kind of work.
    task_type: str
    #: Which of our bodies does the work, such as ``sync``.
    operation: str
    #: JSON object that the body receives.
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state: TaskState = TaskState.WAITING
    tags: tuple[str, ...] = ()
    #: What nobody else may touch while it runs, such as ``repository:zoo``.
    resources: tuple[str, ...] = ()
    created: datetime
    start_time: datetime | None = None
    finish_time: datetime | None = None
    #: JSON object, the progress report of section "progress_report" of the API.
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    #: ``{code, description, data, sub_errors}`` of a task in state error.
    error: Mapping[str, Any] | None = None
    traceback: str | None = None
    worker_name: str | None = None
    group_id: str | None = None
    #: Ids of the tasks that this one handed in.
    spawned: tuple[str, ...] = ()
    #: How many journal rows tell of this task.
    revision: int = 0
    #: How often it was given to a worker; writes of an older attempt are refused.
    attempt: int = 0
    #: Of tasks that may run, those with higher ones go first; behind others of a resource it waits.
    priority: int = 0

    def started(self, *, worker_name: str, now: datetime) -> Self:
        """Return the task as it is once a worker has taken it."""
        return replace(
            self,
            state=TaskState.RUNNING,
            start_time=now,
            worker_name=worker_name,
            attempt=self.attempt + 1,
        )

    def progressed(self, report: Mapping[str, Any]) -> Self:
        """Return the task with another progress report."""
        return replace(self, progress=report)

    def finished(self, *, result: Any, spawned: Sequence[str], now: datetime) -> Self:
        """Return the task as it is after its body returned *result*."""
        return replace(
            self,
            state=TaskState.FINISHED,
            finish_time=now,
            result=result,
            error=None,
            traceback=None,
            spawned=self.spawned + tuple(spawned),
        )

    def failed(self, *, error: Mapping[str, Any], traceback: str | None, now: datetime) -> Self:
        """Return the task as it is after its body raised, or its process died."""
        return replace(
            self,
            state=TaskState.ERROR,
            finish_time=now,
            error=error,
            traceback=traceback,
        )

    def canceled(self, *, now: datetime) -> Self:
        """Return the task as it is after somebody, or the loss of its worker, ended it."""
        return replace(
            self,
            state=TaskState.CANCELED,
            finish_time=now,
            progress=canceled_progress(self.progress),
        )


#: What was in progress when its task was canceled to what it is then.
_CANCELED: Mapping[str, str] = {
    "IN_PROGRESS": "CANCELLED",
    FileState.MANIFEST_IN_PROGRESS: FileState.CANCELLED.value,
    FileState.ISOS_IN_PROGRESS: FileState.CANCELLED.value,
}


def canceled_progress(report: Any) -> Any:
    """Return a progress report in which what was in progress is CANCELLED, of isos cancelled."""
    if isinstance(report, Mapping):
        return {
            key: _CANCELED[value]
            if key == "state" and isinstance(value, str) and value in _CANCELED
            else canceled_progress(value)
            for key, value in report.items()
        }
    if isinstance(report, list | tuple):
        return [canceled_progress(item) for item in report]
    return report


def repository_tag(repo_id: str) -> str:
    """Return the tag of tasks that work on the repository."""
    return f"pulp:repository:{repo_id}"


def action_tag(action: str) -> str:
    """Return the tag of tasks that do *action*, such as ``sync``."""
    return f"pulp:action:{action}"


def repository_resource(repo_id: str) -> str:
    """Return the name under which a task reserves the repository."""
    return f"repository:{repo_id}"


def reserved_repositories(task: Task) -> Sequence[str]:
    """Return the ids of the repositories that the task reserves."""
    prefix = repository_resource("")
    return [name.removeprefix(prefix) for name in task.resources if name.startswith(prefix)]


def task_reference(task_id: str) -> TaskReference:
    """Return the link to a task that call reports and task reports hold."""
    return {"_href": f"{TASKS_HREF}{task_id}/", "task_id": task_id}


def call_report(
    *task_ids: str,
    result: Any = None,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the body of a 202: the tasks that will do what was asked."""
    return {
        "result": result,
        "error": error,
        "spawned_tasks": [task_reference(task_id) for task_id in task_ids],
    }


def task_report(task: Task) -> TaskReport:
    """Return the Task Report, the document of ``GET /pulp/api/v2/tasks/<id>/`` and of events."""
    return {
        "_href": f"{TASKS_HREF}{task.id}/",
        "_id": {"$oid": task.oid},
        "id": task.oid,
        "_ns": "task_status",
        "task_id": task.id,
        "task_type": task.task_type,
        "state": task.state.value,
        "tags": list(task.tags),
        "worker_name": task.worker_name,
        "queue": f"{task.worker_name}.dq" if task.worker_name else None,
        "group_id": task.group_id,
        "start_time": render_time(task.start_time),
        "finish_time": render_time(task.finish_time),
        "progress_report": task.progress,
        "result": task.result,
        "error": cast("ErrorReport | None", task.error),
        "exception": None,
        "traceback": task.traceback,
        "spawned_tasks": [task_reference(task_id) for task_id in task.spawned],
    }
