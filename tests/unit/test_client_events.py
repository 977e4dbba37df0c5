"""The client's event stream: reading, resuming, gaps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.client import (
    Client,
    Event,
    EventFilter,
    EventStream,
    Retry,
    Stale,
    Unauthenticated,
    Unintelligible,
    Unreachable,
)
from pulpit.client.connection import Connection
from pulpit.client.sse import Frame, frames
from pulpit.domain.events import EventKind
from tests.unit.fake_api import FakeApi, report, sse

STATUS = "pulpit.task.status.v1"
BROKEN = httpx.ReadError("reset")


def stream(api: FakeApi, delays: list[float], **more: Any) -> EventStream:
    """Return a stream whose waits are written down instead of waited."""
    connection = Connection("http://server:1", auth=("admin", "secret"), transport=api.transport)
    return EventStream(connection=connection, wait=delays.append, **({"since": 3} | more))


def numbers(items: Iterator[Event | Stale], count: int) -> list[int]:
    """Return the numbers of the first events."""
    taken = itertools.islice(items, count)
    return [item.sequence for item in taken if isinstance(item, Event)]


@given(st.data())
def test_frames_do_not_depend_on_where_the_stream_is_cut(data: st.DataObject) -> None:
    """Cut anywhere, with any line end, the same events come out."""
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = 'id: 1\nevent: a\ndata: {"x": "\u2028\x85"}\n\n: beat\n\ndata: p\ndata:q\n\nid: 9'
    raw = text.replace("\n", end).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)])]
    assert list(frames(pieces)) == [
        Frame(id="1", event="a", data='{"x": "\u2028\x85"}'.encode()),
        None,
        Frame(id=None, event="message", data=b"p\nq"),
    ]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    """A stream of rubbish yields frames or nothing, and no error."""
    for frame in frames(chunks):
        assert frame is None or frame.data is not None


def test_endless_lines_are_refused() -> None:
    """A line without an end does not fill the memory."""
    with pytest.raises(ValueError, match="more than"):
        list(frames(b"data: " + b"x" * (1 << 20) for _ in range(100)))


def test_events_are_typed() -> None:
    """An event has its number, kind and report; filters are sent as the query."""
    api = FakeApi()
    api.streams.append([b": beat\n\n", sse(4, STATUS, report("running"))])
    wanted = EventFilter(task="t", repository="zoo", state="error", tags=("a", "b"))
    event = next(iter(stream(api, [], wanted=wanted)))
    assert isinstance(event, Event)
    assert (event.sequence, event.kind, event.type) == (4, EventKind.STATUS, STATUS)
    assert event.report is not None
    assert event.report.state == "running"
    assert str(api.requests[0].url.query, "ascii") == (
        "task=t&repository=zoo&state=error&tag=a&tag=b&since=3"
    )


def test_a_lost_connection_is_resumed_after_the_last_event() -> None:
    """Whether it breaks or ends in good order, nothing is lost and nothing comes twice."""
    api, delays = FakeApi(), list[float]()
    api.streams += [
        [sse(4, STATUS, report()), sse(6, STATUS, report()), b"id: 7\ndata: {", BROKEN],
        BROKEN,
        httpx.Response(503),
        [sse(7, STATUS, report())],
        [sse(9, STATUS, report())],
    ]
    told: list[Retry] = []
    found = numbers(iter(stream(api, delays, on_retry=told.append)), 4)
    assert found == [4, 6, 7, 9]
    sent = [request.headers["Last-Event-ID"] for request in api.requests]
    assert sent == ["3", "6", "6", "6", "7"]
    # growing while nothing comes, short again after an event
    assert delays == [0.1, 0.2, 0.4, 0.1]
    assert [notice.delay for notice in told] == delays


def test_the_first_connection_must_succeed() -> None:
    """A server that is not there, or refuses, is told at once."""
    api, delays = FakeApi(), list[float]()
    api.streams.append(BROKEN)
    with pytest.raises(Unreachable):
        next(iter(stream(api, delays)))
    api.logins = set()
    with pytest.raises(Unauthenticated):
        next(iter(stream(api, delays)))
    assert delays == []


def test_patience_ends() -> None:
    """After a while without a connection, the stream gives up."""
    api, delays = FakeApi(), list[float]()
    api.streams += [[sse(4, STATUS, report())], *[BROKEN] * 50]
    with pytest.raises(Unreachable):
        list(stream(api, delays, patience=20.0))
    assert 20 <= sum(delays) <= 25


def test_a_gap_is_told_and_passed() -> None:
    """Events past retention are told; reading goes on from what is left."""
    api, delays = FakeApi(), list[float]()
    gap = {"since": 3, "oldest": 40, "head": 50, "snapshot": "/pulp/api/v2/tasks/"}
    api.streams += [
        [sse(None, "stale", gap)],
        [sse(None, "stale", gap | {"since": 39, "oldest": 2, "head": 30})],
        [sse(31, STATUS, report())],
    ]
    items = list(itertools.islice(iter(stream(api, delays)), 3))
    assert [item.resume for item in items if isinstance(item, Stale)] == [39, 30]
    assert [request.headers["Last-Event-ID"] for request in api.requests] == ["3", "39", "30"]


@pytest.mark.parametrize(
    "chunk",
    [
        b"id: 1\ndata: {\n\n",
        b"id: 1\ndata: []\n\n",
        b"data: {}\n\n",
        b"id: one\ndata: {}\n\n",
        b"event: stale\ndata: {}\n\n",
        b"event: stale\ndata: 5\n\n",
    ],
)
def test_strange_streams_are_told(chunk: bytes) -> None:
    """A stream that is not as it must be ends with one clear error."""
    api = FakeApi()
    api.streams.append([chunk])
    with pytest.raises(Unintelligible):
        next(iter(stream(api, [])))


def test_other_answers_are_no_stream() -> None:
    """A page where a stream was asked for is recognised."""
    api = FakeApi()
    api.streams.append(httpx.Response(200, json={}))
    with pytest.raises(Unintelligible, match="no Pulpit server"):
        next(iter(stream(api, [])))


def test_head_is_where_following_starts() -> None:
    """The number comes from the JSON page."""
    api = FakeApi()
    client = Client("http://server:1", auth=("admin", "secret"), transport=api.transport)
    assert client.head() == 7
    api.at("GET", "/pulpit/v1/events/", {"events": []})
    with pytest.raises(Unintelligible):
        client.head()
