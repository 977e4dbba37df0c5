"""What a stream asks, how far it came and when it tries again; without any I/O of its own.

The blocking stream and the one on an event loop both drive this: they carry requests and bytes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from pulpit.client import requests
from pulpit.client.connection import StreamRequest
from pulpit.client.errors import ApiError, Unintelligible, Unreachable
from pulpit.client.events import TASKS_AT_ONCE, Event, EventFilter, Stale
from pulpit.client.requests import EVENTS_PATH, Request
from pulpit.client.snapshots import Snapshot, SnapshotPages
from pulpit.client.sse import Frames
from pulpit.domain.tasks import TaskState

__all__ = ["Following", "Resumed", "Retry", "Trying"]

_GATEWAY_ERRORS = frozenset({502, 503, 504})
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The connection was lost; it is tried again after *delay* seconds."""

    reason: str
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The connection is back after *away* seconds; events go on where they broke off."""

    away: float


def _unheard(_notice: object) -> None:
    """Tell nobody."""


class Trying(TypedDict, total=False):
    """How a stream deals with lost connections."""

    #: Seconds without a connection until Unreachable is raised (60); None is for ever.
    patience: float | None
    #: Told of every attempt that failed; must return at once.
    on_retry: Callable[[Retry], None]
    #: Told when the connection is back; must return at once.
    on_resume: Callable[[Resumed], None]


class Backoff:
    """Growing delays between attempts, spread so that many clients don't come back at once.

    The first connection must succeed; what is lost after that is tried again.
    """

    def __init__(
        self,
        *,
        patience: float | None = 60.0,
        on_retry: Callable[[Retry], None] = _unheard,
        on_resume: Callable[[Resumed], None] = _unheard,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._patience = patience
        self._on_retry, self._on_resume = on_retry, on_resume
        self._clock, self._spread = clock, spread
        self._delay = _FIRST_DELAY
        self._connected = False
        self._lost: float | None = None

    def connected(self) -> None:
        """Remember that there is a server."""
        self._connected = True

    def alive(self) -> None:
        """Begin anew with short delays: the server has sent something."""
        self._delay = _FIRST_DELAY
        if self._lost is not None:
            away, self._lost = self._clock() - self._lost, None
            self._on_resume(Resumed(away=away))

    def failed(self, error: Unreachable | ApiError) -> float:
        """Return how many seconds to wait before the next attempt.

        Raises:
            Unreachable | ApiError: *error*, when there is to be none.
        """
        now = self._clock()
        lost = now if self._lost is None else self._lost
        again = isinstance(error, Unreachable) or error.status in _GATEWAY_ERRORS
        exhausted = self._patience is not None and now - lost >= self._patience
        if not again or not self._connected or exhausted:
            raise error
        self._lost = lost
        delay = self._delay * (1 + self._spread()) / 2
        self._delay = min(self._delay * 2, _LONGEST_DELAY)
        reason = error.reason if isinstance(error, Unreachable) else error.message
        self._on_retry(Retry(reason=reason, delay=delay))
        return delay


class Following:
    """Events in journal order, and snapshots where they are wanted.

    Args:
        url: of the server, for errors.
        wanted: which events.
        since: the number to start after; None: now, or at a snapshot.
        snapshots: whether a snapshot comes first (without *since*) and after every gap.
        complete: whether snapshots hold the tasks that are complete, too.
        backoff: when to try again.
    """

    def __init__(
        self,
        url: str,
        *,
        wanted: EventFilter,
        since: int | None,
        snapshots: bool,
        complete: bool,
        backoff: Backoff,
    ) -> None:
        #: The number of the last event that was taken; None before the first answer.
        self.since = since
        self._url, self._wanted, self._backoff = url, wanted, backoff
        self._states = tuple(TaskState) if complete else ()
        # a request can't name more of them, so that of all events only some are wanted
        self._tasks = frozenset(wanted.tasks) if len(wanted.tasks) > TASKS_AT_ONCE else None
        self._snapshots = snapshots
        self._pages = self._new_pages() if snapshots and since is None else None
        self._revisions: dict[str, int] = {}
        self._frames = Frames()

    def request(self) -> Request[int | Snapshot] | None:
        """Return what is to be asked before the stream is opened, or None."""
        if self._pages is not None:
            return self._pages.request()
        return requests.head() if self.since is None else None

    def answered(self, answer: int | Snapshot) -> Iterator[Snapshot]:
        """Take the answer to the request; yield a snapshot that is complete."""
        self._backoff.connected()
        self._backoff.alive()
        if not isinstance(answer, Snapshot):
            self.since = answer
        elif self.request() is None:
            self._pages = None
            self.since = answer.sequence
            self._revisions = {known.report.task_id: known.revision for known in answer.tasks}
            yield answer

    def stream(self) -> StreamRequest:
        """Return the request for the events that come next."""
        self._frames = Frames()
        since = str(self.since)
        return StreamRequest(
            path=EVENTS_PATH,
            params={**self._wanted.params(), "since": since, "format": "cloudevents"},
            headers={"Last-Event-ID": since},
        )

    def opened(self) -> None:
        """Take note that the stream is open."""
        self._backoff.connected()

    def received(self, chunk: bytes) -> Iterator[Event | Stale]:
        """Yield what *chunk* completes; nothing more once there is a new request to make.

        Raises:
            Unintelligible: it is no stream of events.
        """
        try:
            for frame in self._frames.feed(chunk):
                self._backoff.alive()
                if frame is None:
                    continue
                if frame.event == "stale":
                    yield self._gap(Stale.from_frame(frame))
                    if self.request() is not None:
                        return
                    continue
                event = Event.from_frame(frame)
                self.since = event.sequence
                if self._is_news(event):
                    yield event
        except (ValueError, msgspec.DecodeError) as error:
            raise Unintelligible(self._url, f"its event stream holds {error}") from None

    def ended(self) -> Unreachable:
        """Return the error for a stream that the server ended: it goes down, or starts again."""
        return Unreachable(self._url, "it ended the stream")

    def failed(self, error: Unreachable | ApiError) -> float:
        """Return how many seconds to wait before the next attempt, or raise *error*."""
        return self._backoff.failed(error)

    def _gap(self, stale: Stale) -> Stale:
        """Go on after what is gone."""
        self.since = stale.resume
        if self._snapshots:
            self._pages = self._new_pages()
        return stale

    def _new_pages(self) -> SnapshotPages:
        return SnapshotPages(self._wanted, states=self._states)

    def _is_news(self, event: Event) -> bool:
        """Return whether the event is wanted and tells more than the last snapshot."""
        task_id = event.task_id
        if self._tasks is not None and task_id not in self._tasks:
            return False
        if task_id is None or event.revision > self._revisions.get(task_id, 0):
            # the stream is in order: whatever comes of this task from now on is news
            self._revisions.pop(task_id or "", None)
            return True
        return False
