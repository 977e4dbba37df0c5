"""Notices: an event as listeners are told of it, under the event types that they ask for.

A change of a task's status is told as ``task.<state>``. That of a sync or publish is told besides
as the repository event types of Pulp 2: its start, and once it has started its finish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import msgspec

from pulpit.domain.events import BODY_BYTES_KEPT, Event, EventKind
from pulpit.domain.listeners import DISABLED
from pulpit.domain.messages import Message
from pulpit.domain.payloads import PublishResult, SyncResult
from pulpit.domain.tasks import PUBLISH_TASK, SYNC_TASK, TaskState, repository_tag

__all__ = ["Known", "Notice", "possible_types"]

_STARTS = {SYNC_TASK: "repo.sync.start", PUBLISH_TASK: "repo.publish.start"}
_FINISHES = {SYNC_TASK: "repo.sync.finish", PUBLISH_TASK: "repo.publish.finish"}
#: How what came to such an end has ended; the words of Pulp 2's results.
_RESULTS = {TaskState.ERROR: "error", TaskState.CANCELED: "canceled"}
_REPOSITORY = repository_tag("")
_NULL, _EMPTY = msgspec.Raw(b"null"), msgspec.Raw(b"{}")
#: A result of fewer bytes may be but a link to the task.
_LINK_BYTES = 200


def possible_types(event: Event) -> Sequence[str]:
    """Return the event types under which an event may be told, without a look at its body."""
    if event.kind is EventKind.LISTENER:
        return (DISABLED,)
    if event.kind is not EventKind.STATUS or event.state is None:
        return ()
    types = [f"task.{event.state.value}"]
    if event.state is TaskState.RUNNING:
        types += _STARTS.values()
    elif event.state.is_complete:
        types += _FINISHES.values()
    return types


class _Report(msgspec.Struct, kw_only=True):
    """A Task Report, no deeper than it takes to tell what to make of it."""

    id: str = ""
    task_type: str = ""
    start_time: str | None = None
    finish_time: str | None = None
    progress_report: msgspec.Raw = _EMPTY
    result: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    traceback: str | None = None


class _ListenerEvent(msgspec.Struct, kw_only=True):
    """The body of an event of a listener."""

    listener: msgspec.Raw = _NULL
    reason: str = ""
    time: str = ""


_REPORTS, _LISTENER_EVENTS = msgspec.json.Decoder(_Report), msgspec.json.Decoder(_ListenerEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a sync or publish beside its event."""

    #: The distributor that the task names.
    distributor_id: str | None = None
    #: The type of that distributor, or of the repository's importer.
    type_id: str | None = None
    #: What the task has returned, where its event has but a link to that.
    result: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An event of which listeners may be told."""

    event: Event
    #: What its body says, if it is of a task.
    report: _Report = field(default_factory=_Report)

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the notice that an event makes.

        Raises:
            msgspec.DecodeError: its body is not what its type says.
        """
        if event.kind is EventKind.LISTENER:
            return cls(event=event)
        return cls(event=event, report=_REPORTS.decode(event.body))

    @property
    def event_types(self) -> Sequence[str]:
        """The event types under which it is told, in order."""
        possible = possible_types(self.event)
        names = {_STARTS.get(self.report.task_type)}
        if self.report.start_time is not None:
            names.add(_FINISHES.get(self.report.task_type))
        return [name for name in possible if not name.startswith("repo.") or name in names]

    @property
    def repo_id(self) -> str | None:
        """The repository that its task works on; of several, the first."""
        for tag in self.event.tags:
            if tag.startswith(_REPOSITORY):
                return tag.removeprefix(_REPOSITORY)
        return None

    @property
    def has_result(self) -> bool:
        """Whether the task has finished and the event holds the document that it has returned."""
        is_object = bytes(memoryview(self.report.result)[:1]) == b"{"
        return self.event.state is TaskState.FINISHED and is_object and not self.has_link

    @property
    def has_link(self) -> bool:
        """Whether the event has but a link to what the task has returned."""
        result = self.report.result
        if memoryview(result).nbytes > _LINK_BYTES or self.event.state is not TaskState.FINISHED:
            return False
        value = msgspec.json.decode(result)
        return isinstance(value, dict) and value.keys() == {"_href"}

    def lacks(self, event_type: str) -> bool:
        """Tell whether more belongs into the message than the event holds; see ``Known``."""
        if event_type in _FINISHES.values():
            return not self.has_result
        return event_type == _STARTS[PUBLISH_TASK]

    def message(self, event_type: str) -> Message:
        """Return what listeners are told under an event type, still without its body."""
        return Message(
            sequence=self.event.sequence,
            event_id=self.event.id,
            event_type=event_type,
            repo_id=self.repo_id,
            task_id=self.event.task_id,
            tags=self.event.tags,
            time=self.event.time,
            body=b"",
        )

    def body(self, event_type: str, known: Known) -> bytes:
        """Return the body of the message, JSON: ``{"event_type", "payload", "call_report"}``.

        Raises:
            msgspec.DecodeError: the event's body is not what its type says.
        """
        is_of_task = self.event.kind is EventKind.STATUS
        return msgspec.json.encode(
            {
                "event_type": event_type,
                "payload": self._payload(event_type, known),
                "call_report": msgspec.Raw(self.event.body) if is_of_task else None,
            }
        )

    def _payload(self, event_type: str, known: Known) -> Any:
        match event_type:
            case "listener.disabled":
                told = _LISTENER_EVENTS.decode(self.event.body)
                return {"listener": told.listener, "reason": told.reason, "time": told.time}
            case "repo.sync.start":
                return {"repo_id": self.repo_id}
            case "repo.publish.start":
                return {"repo_id": self.repo_id, "distributor_id": known.distributor_id}
            case "repo.sync.finish" | "repo.publish.finish":
                return self._result(known)
            case _:
                state = self.event.state.value if self.event.state else None
                return {"task_id": self.event.task_id, "state": state, "tags": self.event.tags}

    def _result(self, known: Known) -> Any:
        """Return what the sync or publish has returned, or the like of it where it has not."""
        if self.has_result:
            return self.report.result
        if self.has_link and isinstance(known.result, Mapping):
            return _bounded(known.result)
        progress = msgspec.json.decode(self.report.progress_report)
        by, parts = next(iter(progress.items()), (None, None)) if progress else (None, None)
        if self.report.task_type == PUBLISH_TASK:
            return self._publish(known, by, parts)
        return self._sync(known, by, parts)

    def _sync(self, known: Known, importer_id: str | None, stages: Any) -> SyncResult:
        """Return the document of a sync that has returned none."""
        named = stages if isinstance(stages, Mapping) else {}
        importer = importer_id or known.type_id
        ended: Any = {
            "_ns": "repo_sync_results",
            **self._ended(),
            "importer_id": importer,
            "importer_type_id": importer,
            "added_count": 0,
            "updated_count": 0,
            "removed_count": 0,
            "summary": {name: {"state": stage.get("state")} for name, stage in named.items()},
            "details": named,
        }
        return cast("SyncResult", ended)

    def _publish(self, known: Known, distributor_id: str | None, steps: Any) -> PublishResult:
        """Return the document of a publish that has returned none."""
        listed = steps if isinstance(steps, list) else []
        ended: Any = {
            "_ns": "repo_publish_results",
            **self._ended(),
            "distributor_id": known.distributor_id or distributor_id,
            "distributor_type_id": known.type_id,
            "summary": {step.get("step_type"): step.get("state") for step in listed},
            "details": listed,
        }
        return cast("PublishResult", ended)

    def _ended(self) -> dict[str, Any]:
        """Return what the documents of syncs and publishes have in common."""
        report = self.report
        error = msgspec.json.decode(report.error)
        state = self.event.state or TaskState.FINISHED
        return {
            # the same whoever makes the document, and however often
            "id": report.id,
            "repo_id": self.repo_id,
            "started": report.start_time,
            "completed": report.finish_time,
            "result": _RESULTS.get(state, "success"),
            "error_message": error.get("description") if isinstance(error, Mapping) else None,
            "exception": None,
            "traceback": report.traceback,
        }


def _bounded(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a task has returned; without its details where it is longer than events may be.

    Only they grow with what a feed holds.
    """
    if len(msgspec.json.encode(result)) <= BODY_BYTES_KEPT:
        return result
    return {**result, "details": None}
