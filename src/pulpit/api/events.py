"""``/pulpit/v1/events/``: the journal as a stream of server-sent events, or as JSON pages.

The client keeps the cursor: every event carries its number, and reading goes on after any of
them. A number that is past retention is told, never passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import random
from time import monotonic
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pulpit.api.protocol import ABORT, GONE
from pulpit.api.queries import accepted_types, limit, members, number, single, tags
from pulpit.api.web import Call, Gate, error_response, json_response
from pulpit.domain.clock import render_time
from pulpit.domain.events import TASK_EVENT_TYPES, Event, EventKind
from pulpit.domain.permissions import Operation
from pulpit.domain.tasks import TaskState
from pulpit.domain.users import Caller
from pulpit.errors import DatabaseFailed, EventsGone, InvalidValue, PulpitError
from pulpit.events.cloudevents import structured
from pulpit.events.fanout import Fanout, Reader
from pulpit.ports import EventHistory

__all__ = ["EVENTS", "EventFilter", "EventStream", "routes"]

EVENTS = "/pulpit/v1/events/"
_HEARTBEAT = b": alive\n\n"
#: Events on one page, at the most and unless asked for otherwise.
_PAGE_MOST, _PAGE = 1_000, 100
#: Events looked at for one page, so that a filter that nothing passes ends; and those at once.
_SCAN, _BATCH = 10_000, 500
#: Bytes of a page's bodies after which it is full.
_PAGE_BYTES = 8 << 20
#: Bytes that may fill a client's connection, and those that the server takes at once.
_LARGE, _PIECE = 16 << 10, 64 << 10
#: Media types that ask for CloudEvents, beside that of the stream or of JSON.
_CLOUDEVENTS = frozenset({"application/cloudevents+json", "application/cloudevents-batch+json"})

#: Returns the bytes of one event, as its format wants.
_Encode = Callable[[Event], bytes]
_MayGoOn = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events a reader wants; what is empty lets everything through."""

    task_ids: frozenset[str]
    #: An event has all of them; of the others one of each.
    tags: frozenset[str]
    kinds: frozenset[EventKind]
    states: frozenset[TaskState]
    types: frozenset[str]

    @classmethod
    def of(cls, query: QueryParams) -> EventFilter:
        """Return the filter that the query describes.

        Raises:
            InvalidValue: a kind or state is not known.
        """
        return cls(
            task_ids=frozenset(query.getlist("task")),
            tags=tags(query),
            kinds=members(EventKind, query, "kind"),
            states=members(TaskState, query, "state"),
            types=frozenset(query.getlist("type")),
        )

    def __bool__(self) -> bool:
        return bool(self.task_ids or self.tags or self.kinds or self.states or self.types)

    @property
    def passes_progress(self) -> bool:
        """Whether progress of the tasks that are wanted is wanted, too."""
        return (
            (not self.kinds or EventKind.PROGRESS in self.kinds)
            and (not self.states or TaskState.RUNNING in self.states)
            and (not self.types or TASK_EVENT_TYPES[EventKind.PROGRESS] in self.types)
        )

    def passes(self, event: Event) -> bool:
        """Tell whether the event is wanted."""
        return (
            (not self.task_ids or event.task_id in self.task_ids)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.states or event.state in self.states)
            and (not self.types or event.type in self.types)
            and (not self.tags or self.tags.issubset(event.tags))
        )


def _is_cloudevents(request: Request) -> bool:
    """Tell whether events are to come as CloudEvents, by the query or the header Accept.

    Raises:
        InvalidValue: the query asks for another format.
    """
    wanted = single(request.query_params, "format")
    if wanted not in (None, "cloudevents"):
        raise InvalidValue("format", why="must be cloudevents or left out")
    return wanted is not None or not _CLOUDEVENTS.isdisjoint(accepted_types(request))


class EventStream(Response):
    """Server-sent events as long as both sides are there.

    Args:
        attach: returns its reader, once it begins.
        may_go_on: tells before each part whether the client may still read.
    """

    media_type = "text/event-stream"

    def __init__(self, attach: Callable[[], Reader], *, may_go_on: _MayGoOn) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._attach = attach
        self._may_go_on = may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        state = scope.get("state", {})
        reader = self._attach()
        # who takes nothing must not hold up the end of the server
        reader.cut_off = state.get(ABORT)
        leaving = asyncio.create_task(_disconnected(receive))
        leaving.add_done_callback(lambda _: reader.leave(is_dead=GONE in state))
        try:
            # the answer's head goes out at once, so that the client knows that it is connected
            part: bytes | None = _HEARTBEAT
            while part is not None:
                is_large = len(part) >= _LARGE
                await _send_pieces(send, part)
                if is_large:
                    # what follows waits until the client takes more, so that neither this part
                    # nor the next one is held for it
                    part = None
                    await send({"type": "http.response.body", "body": b"", "more_body": True})
                part = await _next(reader)
                if part is not None and not await self._may_go_on():
                    break
            await send({"type": "http.response.body", "body": b""})
        finally:
            reader.leave()
            leaving.cancel()


async def _send_pieces(send: Send, part: bytes) -> None:
    """Send a part, of which the server copies no more than the client takes and one piece.

    At the journal's head a part is shared by all, and those who take nothing may be many.
    """
    for start in range(0, len(part), _PIECE):
        piece = part[start : start + _PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    """Wait until the client is gone; what it may still send is nothing to anybody."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(reader: Reader) -> bytes | None:
    """Return what is to be sent next; None at the end."""
    try:
        part = await reader.next()
    except EventsGone as gone:
        reader.skip(gone)
        return _stale(gone)
    return _HEARTBEAT if part == b"" else part


class _Leave:
    """The right of one client to read, looked at now and then.

    Args:
        gate: lets users in.
        caller: as they came in.
        seconds: between two looks.
    """

    def __init__(self, gate: Gate, caller: Caller, *, seconds: float) -> None:
        self._gate, self._caller, self._seconds = gate, caller, seconds
        # many who came at once are not looked at all at once
        self._looked = monotonic() - random() * seconds  # noqa: S311 - nothing depends on it

    async def holds(self) -> bool:
        """Tell whether the client may still read, as of a few seconds ago."""
        if monotonic() - self._looked < self._seconds:
            return True
        self._looked = monotonic()
        try:
            present = await self._gate.readmitted(self._caller, Operation.READ, EVENTS)
        except DatabaseFailed:
            # there are no new events then either
            return True
        self._caller = present or self._caller
        return present is not None


def routes(
    gate: Gate,
    source: EventHistory,
    fanout: Fanout,
    *,
    event_source_uri: str,
    heartbeat: float = 15.0,
    looks: float = 10.0,
) -> Sequence[Route]:
    """Return the route of the event stream.

    Args:
        gate: lets users in.
        source: the journal.
        fanout: feeds the streams.
        event_source_uri: of this server, CloudEvents' ``source``.
        heartbeat: seconds without events after which a sign of life is sent.
        looks: seconds between two looks at whether a reader may still read.
    """

    def cloudevent(event: Event) -> bytes:
        return msgspec.json.encode(structured(event, source=event_source_uri))

    def cloudevent_frame(event: Event) -> bytes:
        return _frame(event, cloudevent(event))

    def page(call: Call) -> Response:
        query = call.request.query_params
        since = number(single(query, "since"), "since")
        after = source.head() if since is None else since
        most = limit(query, default=_PAGE, most=_PAGE_MOST)
        encode = cloudevent if _is_cloudevents(call.request) else _document
        return json_response(_page(source, after, most, EventFilter.of(query), encode))

    paged = gate.route(EVENTS, GET=page).endpoint

    async def endpoint(request: Request) -> Response:
        if "text/event-stream" not in accepted_types(request):
            answer: Response = await paged(request)
            return answer
        try:
            caller = await gate.admitted(request, Operation.READ, EVENTS)
            query = request.query_params
            resumed = number(request.headers.get("last-event-id"), "Last-Event-ID")
            since = number(single(query, "since"), "since")
            after = resumed if resumed is not None else since
            wanted = EventFilter.of(query)
            is_cloudevents = _is_cloudevents(request)
        except PulpitError as error:
            return error_response(request, error)
        if request.method == "HEAD":
            return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        return EventStream(
            lambda: fanout.attach(
                source.head() if after is None else after,
                encode=cloudevent_frame if is_cloudevents else _plain_frame,
                wanted=wanted.passes if wanted else None,
                heartbeat=heartbeat,
                task_ids=wanted.task_ids,
                # else it is not told what events stand for, or these must not stand for progress
                resumes=is_cloudevents and after is not None and wanted.passes_progress,
            ),
            may_go_on=_Leave(gate, caller, seconds=looks).holds,
        )

    return [Route(EVENTS, endpoint, methods=["GET"])]


def _page(
    source: EventHistory, after: int, most: int, wanted: EventFilter, encode: _Encode
) -> dict[str, Any]:
    """Return the events after a number that are wanted, and the number to go on after."""
    found: list[msgspec.Raw] = []
    scanned = size = 0
    # asked before, so that all up to there is seen
    head = source.head()
    while len(found) < most and scanned < _SCAN and size < _PAGE_BYTES:
        if wanted.task_ids:
            events = source.read_tasks(after, _BATCH, wanted.task_ids, most_bytes=_PAGE_BYTES)
        else:
            events = source.read(after, _BATCH, most_bytes=_PAGE_BYTES)
        if not events:
            after = max(after, head)
            break
        scanned += len(events)
        for event in events:
            after = event.sequence
            if wanted.passes(event):
                found.append(msgspec.Raw(encode(event)))
                size += len(event.body)
            if len(found) == most or size >= _PAGE_BYTES:
                break
    return {"events": found, "next": after}


def _document(event: Event) -> bytes:
    """Return the event as it stands on a page."""
    document = {
        "sequence": event.sequence,
        "id": event.id,
        "kind": event.kind.value,
        "type": event.type,
        "task_id": event.task_id,
        "revision": event.revision,
        "previous": event.previous,
        "state": event.state.value if event.state else None,
        "tags": event.tags,
        "time": render_time(event.time),
        "body": msgspec.Raw(event.body),
    }
    return msgspec.json.encode(document)


def _plain_frame(event: Event) -> bytes:
    """Return an event in a stream whose data is the body alone."""
    return _frame(event, event.body)


def _frame(event: Event, data: bytes) -> bytes:
    """Return one event on the wire; JSON text holds no line break."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.sequence,
        event.type.encode(),
        data,
    )


def _stale(gone: EventsGone) -> bytes:
    """Return the word that events are gone; without an id, which would move the cursor."""
    return b"event: stale\ndata: %s\n\n" % msgspec.json.encode(gone.data)
