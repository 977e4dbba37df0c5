"""Events as values that a program can rely on, and the words that say which are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypedDict

import msgspec

from pulpit.client.reports import TaskReport, json_object
from pulpit.client.sse import Frame
from pulpit.domain.clock import parse_time
from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState

__all__ = ["Event", "EventFilter", "Filters", "Stale"]

#: More tasks in one request would make an address that proxies refuse.
TASKS_AT_ONCE = 100


class _Structured(msgspec.Struct, kw_only=True):
    """A structured CloudEvent, as far as it is relied upon."""

    specversion: str
    id: str
    type: str
    subject: str | None = None
    time: str | None = None
    pulpitkind: str = ""
    pulpitrevision: int = 0
    pulpitprevious: int = 0
    pulpitfolded: int = 0
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the journal."""

    #: Its number in the one order of all events, to resume after.
    sequence: int
    #: Unique for ever and everywhere; a repeat carries the same one.
    id: str
    #: Versioned name, such as ``pulpit.task.status.v1``.
    type: str
    #: What the event is about; None for a kind that this client does not know.
    kind: EventKind | None
    #: When the change was made, in UTC.
    time: datetime | None
    #: The task that it tells of; None for an event of a listener.
    task_id: str | None
    #: The task's revision after this event; grows from 1 for each task.
    revision: int
    #: The event stands for the revisions after this one up to its own, all but itself progress.
    previous: int
    #: How many earlier events it stands for beside itself.
    folded: int
    #: The task's state after this event; None for an event of no task.
    state: TaskState | None
    tags: tuple[str, ...]
    #: The body: for a task's event, its Task Report.
    body: Mapping[str, Any]
    #: The Task Report in the body; None for an event that is about no task.
    report: TaskReport | None
    #: The whole structured CloudEvent, as it came.
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_frame(cls, frame: Frame) -> Self:
        """Return the event that *frame* carries.

        Raises:
            ValueError: it has no number, or its data is no structured CloudEvent.
            msgspec.DecodeError: its data is no JSON, or of the wrong types.
        """
        document = json_object(msgspec.json.decode(frame.data), "an event")
        if "specversion" not in document:
            raise ValueError("no CloudEvents, which a server older than this client does not send")
        told = msgspec.convert(document, _Structured)
        report = _report(told.data)
        return cls(
            sequence=_number(frame.id),
            id=told.id,
            type=told.type,
            kind=EventKind(told.pulpitkind) if told.pulpitkind in set(EventKind) else None,
            time=parse_time(told.time) if told.time else None,
            task_id=told.subject or None,
            revision=told.pulpitrevision,
            previous=told.pulpitprevious,
            folded=told.pulpitfolded,
            state=report.state if report else None,
            tags=report.tags if report else (),
            body=told.data,
            report=report,
            document=document,
        )


def _number(text: str | None) -> int:
    """Return the number that an event goes by."""
    if text is None or not text.isascii() or not text.isdigit():
        raise ValueError("an event without a number")
    return int(text)


def _report(body: Mapping[str, Any]) -> TaskReport | None:
    """Return the Task Report that the body is, if it is one."""
    try:
        return TaskReport.from_document(body)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Events after the number asked for are gone: read a snapshot; reading goes on from there."""

    #: The number that was asked for.
    since: int
    #: The oldest number that can still be read.
    oldest: int
    #: The newest one.
    head: int
    #: How many events were missed at the most; None when nobody knows.
    missed: int | None
    #: The path where the present state can be read.
    snapshot: str
    #: The whole notice, as it came.
    document: Mapping[str, Any] = field(repr=False)

    @property
    def resume(self) -> int:
        """The number to go on after: the oldest known one, or the head when asked past it."""
        return self.head if self.since > self.head else max(self.oldest - 1, 0)

    @classmethod
    def from_frame(cls, frame: Frame) -> Self:
        """Return the notice that *frame* is.

        Raises:
            ValueError: it is none.
            msgspec.DecodeError: its data is no JSON.
        """
        data = json_object(msgspec.json.decode(frame.data), "a stale event")
        since, oldest, head = (data.get(name) for name in ("since", "oldest", "head"))
        if not isinstance(since, int) or not isinstance(oldest, int) or not isinstance(head, int):
            raise ValueError("a stale event without its numbers")  # noqa: TRY004 - from outside
        missed = data.get("missed")
        return cls(
            since=since,
            oldest=oldest,
            head=head,
            missed=missed if isinstance(missed, int) else None,
            snapshot=str(data.get("snapshot") or ""),
            document=data,
        )


class Filters(TypedDict, total=False):
    """Which events are wanted; what is left out or empty lets everything through."""

    #: Of any of these tasks, by id.
    task: str | Sequence[str]
    #: Of tasks that have all of these tags.
    tag: str | Sequence[str]
    #: Of tasks that work on this repository.
    repository: str | None
    kind: EventKind | None
    #: Of tasks that are in any of these states after the event.
    state: str | Sequence[str]
    #: Of any of these types, such as ``pulpit.task.status.v1``.
    type: str | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted, as a value; its fields are those of Filters."""

    task: str | Sequence[str] = ()
    tag: str | Sequence[str] = ()
    repository: str | None = None
    kind: EventKind | None = None
    state: str | Sequence[str] = ()
    type: str | Sequence[str] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, without repeats."""
        return tuple(dict.fromkeys(several(self.task)))

    def params(self) -> dict[str, Any]:
        """Return the query that asks for these events, or for more when it would be too long."""
        tasks = self.tasks
        named = {
            "task": list(tasks) if len(tasks) <= TASKS_AT_ONCE else None,
            "repository": self.repository,
            "kind": self.kind.value if self.kind else None,
            "state": list(several(self.state)),
            "type": list(several(self.type)),
            "tag": list(several(self.tag)),
        }
        return {name: value for name, value in named.items() if value}


def several(value: str | Sequence[str]) -> Sequence[str]:
    """Return the values, of which one may have come alone."""
    return (value,) if isinstance(value, str) else value
