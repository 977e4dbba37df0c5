"""``/pulpit/v1/events/``: the journal as a stream of server-sent events, or as JSON pages.

The client keeps the cursor: every event carries its number, and reading goes on after any of
them. A number that is past retention is told, never passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pulpit.api.queries import accepted_types, limit, members, number, single, tags
from pulpit.api.web import Call, Gate, error_response, json_response
from pulpit.domain.clock import render_time
from pulpit.domain.events import Event, EventKind
from pulpit.domain.tasks import TaskState
from pulpit.errors import EventsGone, InvalidValue, PulpitError
from pulpit.events.cloudevents import structured
from pulpit.events.live import SharedReads, follow
from pulpit.ports import EventSource

__all__ = ["EVENTS", "EventFilter", "Streams", "routes"]

EVENTS = "/pulpit/v1/events/"
_HEARTBEAT = b": alive\n\n"
#: Batches that a reader still gets when the server stops, and seconds to wait for each.
_LAST_WORDS, _LAST_WAIT = 5, 0.2
#: Events on one page, at the most and unless asked for otherwise.
_PAGE_MOST, _PAGE = 1_000, 100
#: Events looked at for one page, so that a filter that nothing passes ends; and those at once.
_SCAN, _BATCH = 10_000, 500
#: Media types that ask for CloudEvents, beside that of the stream or of JSON.
_CLOUDEVENTS = frozenset({"application/cloudevents+json", "application/cloudevents-batch+json"})

#: Returns the bytes of one event, as its format wants.
_Encode = Callable[[Event], bytes]
#: Yields batches of the events after a number, without end.
_BatchesAfter = Callable[[int], AsyncGenerator[Sequence[Event], None]]


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


class Streams:
    """Ends all streams when the server stops, so that it need not wait for their readers."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self.readers = 0

    def close(self) -> None:
        """End all streams."""
        self._closing.set()

    def figures(self) -> dict[str, int]:
        """Return counts: what is there now, and what happened since the start."""
        return {"readers": self.readers, "sent": 0, "folded": 0, "stale": 0, "dead": 0}

    async def until_closed(self, parts: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        """Yield the parts until the server stops, or the reader goes away."""
        self.readers += 1
        closing = asyncio.create_task(self._closing.wait())
        coming: asyncio.Future[bytes] | None = None
        last_words = 0
        try:
            while last_words < _LAST_WORDS:
                coming = asyncio.ensure_future(anext(parts))
                await asyncio.wait({coming, closing}, return_when=asyncio.FIRST_COMPLETED)
                if self._closing.is_set():
                    # the ends of the tasks that ran, say
                    last_words += 1
                    await asyncio.wait({coming}, timeout=_LAST_WAIT)
                if not coming.done():
                    return
                yield coming.result()
        finally:
            self.readers -= 1
            closing.cancel()
            # the journal must not wake for ever who is gone, whatever has ended this
            with anyio.CancelScope(shield=True):
                if coming and not coming.done():
                    coming.cancel()
                    await asyncio.wait({coming})
                await parts.aclose()


def routes(
    gate: Gate,
    source: EventSource,
    streams: Streams,
    *,
    event_source_uri: str,
    heartbeat: float = 15.0,
) -> Sequence[Route]:
    """Return the route of the event stream.

    Args:
        gate: lets users in.
        source: the journal.
        streams: ends the streams at the end of the server.
        event_source_uri: of this server, CloudEvents' ``source``.
        heartbeat: seconds without events after which a sign of life is sent.
    """
    shared = SharedReads(source)

    def cloudevent(event: Event) -> bytes:
        return msgspec.json.encode(structured(event, source=event_source_uri))

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
            await gate.user(request)
            query = request.query_params
            resumed = number(request.headers.get("last-event-id"), "Last-Event-ID")
            since = number(single(query, "since"), "since")
            after = resumed if resumed is not None else since
            wanted = EventFilter.of(query)
            encode = cloudevent if _is_cloudevents(request) else _body
        except PulpitError as error:
            return error_response(request, error)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="text/event-stream")
        batches = partial(follow, source, idle=heartbeat, read=shared.read)
        begin = source.head() if after is None else after
        parts = _frames(batches, begin, wanted, heartbeat, encode)
        return StreamingResponse(
            streams.until_closed(parts), headers=headers, media_type="text/event-stream"
        )

    return [Route(EVENTS, endpoint, methods=["GET"])]


def _page(
    source: EventSource, after: int, most: int, wanted: EventFilter, encode: _Encode
) -> dict[str, Any]:
    """Return the events after a number that are wanted, and the number to go on after."""
    found: list[msgspec.Raw] = []
    scanned = 0
    while len(found) < most and scanned < _SCAN:
        events = source.read(after, _BATCH)
        if not events:
            break
        scanned += len(events)
        for event in events:
            after = event.sequence
            if wanted.passes(event):
                found.append(msgspec.Raw(encode(event)))
            if len(found) == most:
                break
    return {"events": found, "next": after}


def _body(event: Event) -> bytes:
    """Return the event as it stands in a stream."""
    return event.body


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


async def _frames(
    batches_after: _BatchesAfter,
    after: int,
    wanted: EventFilter,
    heartbeat: float,
    encode: _Encode,
) -> AsyncGenerator[bytes, None]:
    """Yield server-sent events without end."""
    loop = asyncio.get_running_loop()
    # the answer's head goes out at once, so that the client knows that it is connected
    yield _HEARTBEAT
    told = loop.time()
    while True:
        try:
            async with aclosing(batches_after(after)) as batches:
                async for events in batches:
                    frames = [
                        _frame(event, encode(event)) for event in events if wanted.passes(event)
                    ]
                    # what others want is no sign of life for this reader
                    if frames or loop.time() - told >= heartbeat:
                        yield b"".join(frames) or _HEARTBEAT
                        told = loop.time()
        except EventsGone as gone:
            yield _stale(gone)
            after = gone.head if gone.since > gone.head else gone.oldest - 1


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
