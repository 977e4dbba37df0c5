"""What the API answers, as values that a program can rely on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pulpit.domain.tasks import TaskState

__all__ = ["CallReport", "TaskReport", "json_object"]

_REPOSITORY, _ACTION = "pulp:repository:", "pulp:action:"


def json_object(value: Any, what: str) -> Mapping[str, Any]:
    """Return *value*, which must be a JSON object.

    Raises:
        ValueError: it is none; the message names *what* should have been one.
    """
    match value:
        case dict():
            return value
        case _:
            raise ValueError(f"{what} that is no JSON object")


def _text(value: Any) -> str | None:
    """Return *value* if it is text."""
    return value if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any]:
    """Return *value* if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _spawned(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids in ``spawned_tasks``."""
    listed = document.get("spawned_tasks")
    found = [_text(_object(item).get("task_id")) for item in listed or ()]
    return tuple(task_id for task_id in found if task_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """A task as the server tells of it."""

    task_id: str
    state: TaskState
    #: The dotted name of this kind of work.
    task_type: str = ""
    tags: tuple[str, ...] = ()
    #: The progress report, a JSON object.
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    #: ``{code, description, data, sub_errors}`` of a task in state error.
    error: Mapping[str, Any] | None = None
    #: ``YYYY-MM-DDTHH:MM:SSZ``.
    start_time: str | None = None
    finish_time: str | None = None
    worker_name: str | None = None
    #: Ids of the tasks that this one handed in.
    spawned: tuple[str, ...] = ()
    #: The whole document, as it came.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return the report that *document* is.

        Raises:
            ValueError: it is none.
        """
        task_id = _text(_object(document).get("task_id"))
        if task_id is None:
            raise ValueError("a task report must be an object with a task_id")
        return cls(
            task_id=task_id,
            state=TaskState(document.get("state")),
            task_type=_text(document.get("task_type")) or "",
            tags=tuple(str(tag) for tag in document.get("tags") or ()),
            progress=_object(document.get("progress_report")),
            result=document.get("result"),
            error=_object(document.get("error")) or None,
            start_time=_text(document.get("start_time")),
            finish_time=_text(document.get("finish_time")),
            worker_name=_text(document.get("worker_name")),
            spawned=_spawned(document),
            document=document,
        )

    @property
    def repository(self) -> str | None:
        """The repository that the task works on; None when it works on none."""
        return self._tagged(_REPOSITORY)

    @property
    def action(self) -> str:
        """What the task does, such as ``sync``; the last word of its type without a tag."""
        return self._tagged(_ACTION) or self.task_type.rpartition(".")[2] or "task"

    def _tagged(self, prefix: str) -> str | None:
        """Return the rest of the first tag that starts so."""
        return next((tag[len(prefix) :] for tag in self.tags if tag.startswith(prefix)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """The answer to a request whose work is done by tasks."""

    #: Ids of the tasks that will do what was asked, in the order of the answer.
    spawned: tuple[str, ...]
    #: The whole document, as it came.
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """Return the call report that *document* is.

        Raises:
            ValueError: it is none.
        """
        known = json_object(document, "a call report")
        return cls(spawned=_spawned(known), document=known)
