"""Following the event stream: one iterator that survives lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from pulpit.client.connection import Connection
from pulpit.client.errors import ApiError, ClientError, Unintelligible, Unreachable
from pulpit.client.reports import TaskReport, json_object
from pulpit.client.sse import Frame, frames
from pulpit.domain.events import EventKind

__all__ = ["EVENTS_PATH", "Event", "EventFilter", "EventStream", "Retry", "Stale"]

EVENTS_PATH = "/pulpit/v1/events/"
_GATEWAY_ERRORS = frozenset({502, 503, 504})
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of the journal."""

    sequence: int
    #: Versioned name, such as ``pulpit.task.status.v1``.
    type: str
    #: What the event is about; None for a kind that this client does not know.
    kind: EventKind | None
    #: The body: for a task's event, its Task Report.
    body: Mapping[str, Any]

    @property
    def report(self) -> TaskReport | None:
        """The Task Report in the body; None for an event that is about no task."""
        try:
            return TaskReport.from_document(self.body)
        except ValueError:
            return None

    @classmethod
    def from_frame(cls, frame: Frame) -> Self:
        """Return the event that *frame* carries.

        Raises:
            ValueError: it has no number, or its data is no JSON object.
        """
        body = json_object(msgspec.json.decode(frame.data), "an event")
        kinds = {f"pulpit.task.{kind.value}.v1": kind for kind in EventKind}
        kind = kinds.get(frame.event)
        if kind is None and frame.event.startswith("repo."):
            kind = EventKind.REPOSITORY
        return cls(sequence=int(frame.id or ""), type=frame.event, kind=kind, body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Events after the number asked for are gone: read a snapshot, then go on from here."""

    #: The number that was asked for.
    since: int
    #: The oldest number that can still be read.
    oldest: int
    #: The newest one.
    head: int
    #: Where the present state can be read.
    snapshot: str

    @property
    def resume(self) -> int:
        """The number to go on after: the oldest known one, or the head when asked past it."""
        return self.head if self.since > self.head else max(self.oldest - 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The connection was lost; it is tried again after *delay* seconds."""

    reason: str
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to receive; what is None or empty lets everything through."""

    task: str | None = None
    repository: str | None = None
    kind: EventKind | None = None
    state: str | None = None
    tags: tuple[str, ...] = ()

    def params(self) -> dict[str, Any]:
        """Return the query that asks for these events."""
        named = {
            "task": self.task,
            "repository": self.repository,
            "kind": self.kind.value if self.kind else None,
            "state": self.state,
            "tag": list(self.tags),
        }
        return {name: value for name, value in named.items() if value}


@dataclass(slots=True, kw_only=True)
class EventStream:
    """Events in journal order, without end; resumes by itself after the last one seen.

    Yields Event, and Stale when events were lost to retention. The first connection must
    succeed; after that a lost one is tried again with growing delays.
    """

    connection: Connection
    #: The number to start after; None starts with the next event.
    since: int | None
    wanted: EventFilter = field(default_factory=EventFilter)
    #: Seconds of trying in vain after which Unreachable is raised; None never gives up.
    patience: float | None = 60.0
    on_retry: Callable[[Retry], None] = lambda _retry: None
    wait: Callable[[float], None] = time.sleep
    _delay: float = _FIRST_DELAY
    _waited: float = 0.0
    _connected: bool = False

    def __iter__(self) -> Iterator[Event | Stale]:
        while True:
            try:
                yield from self._one_connection()
            except (Unreachable, ApiError) as error:
                self._pause(error)
            else:
                # the server ended the stream in good order: it is going down or restarting
                self._pause(Unreachable(self.connection.url, "it ended the stream"))

    def _one_connection(self) -> Iterator[Event | Stale]:
        """Yield what one connection brings."""
        headers = {} if self.since is None else {"Last-Event-ID": str(self.since)}
        params = self.wanted.params() | ({} if self.since is None else {"since": self.since})
        with self.connection.stream(EVENTS_PATH, params=params, headers=headers) as response:
            self._connected = True
            yield from self._read(response.iter_bytes())

    def _read(self, chunks: Iterable[bytes]) -> Iterator[Event | Stale]:
        """Yield the events in *chunks*, and remember how far they went."""
        try:
            for frame in frames(chunks):
                self._delay, self._waited = _FIRST_DELAY, 0.0
                if frame is None:
                    continue
                if frame.event == "stale":
                    stale = _stale(frame)
                    self.since = stale.resume
                    yield stale
                    continue
                event = Event.from_frame(frame)
                self.since = event.sequence
                yield event
        except (ValueError, msgspec.DecodeError) as error:
            raise Unintelligible(self.connection.url, f"its event stream holds {error}") from None

    def _pause(self, error: ClientError) -> None:
        """Wait before the next attempt, or give up by raising *error*."""
        again = isinstance(error, Unreachable) or (
            isinstance(error, ApiError) and error.status in _GATEWAY_ERRORS
        )
        exhausted = self.patience is not None and self._waited >= self.patience
        if not again or not self._connected or exhausted:
            raise error
        reason = error.reason if isinstance(error, Unreachable) else error.message
        self.on_retry(Retry(reason=reason, delay=self._delay))
        self.wait(self._delay)
        self._waited += self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)


def _stale(frame: Frame) -> Stale:
    """Return the notice that *frame* is.

    Raises:
        ValueError: it is none.
    """
    data = json_object(msgspec.json.decode(frame.data), "a stale event")
    numbers = {name: data.get(name) for name in ("since", "oldest", "head")}
    if not all(isinstance(number, int) for number in numbers.values()):
        raise ValueError("a stale event without its numbers")
    return Stale(
        since=int(numbers["since"] or 0),
        oldest=int(numbers["oldest"] or 0),
        head=int(numbers["head"] or 0),
        snapshot=str(data.get("snapshot") or "/pulp/api/v2/tasks/"),
    )
