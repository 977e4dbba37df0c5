"""The client's event streams, blocking and on an event loop: reading, resuming, gaps, snapshots."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.client import (
    AsyncClient,
    AsyncEventStream,
    Client,
    Event,
    EventFilter,
    EventStream,
    Resumed,
    Retry,
    Snapshot,
    Stale,
    Unauthenticated,
    Unintelligible,
    Unreachable,
)
from pulpit.client.connection import AsyncConnection, Connection
from pulpit.client.following import Backoff, Following
from pulpit.client.sse import Frame, Frames
from pulpit.domain.events import LISTENER_DISABLED, EventKind
from pulpit.domain.tasks import TaskState
from tests.unit.fake_api import STATUS, FakeApi, cloudevent, report, sse, task_event

URL = "http://server:1"
AUTH = ("admin", "secret")
BROKEN = httpx.ReadError("reset")
GAP = {"since": 3, "oldest": 40, "head": 50, "missed": 36, "snapshot": "/pulpit/v1/snapshot/"}

Item = Snapshot | Event | Stale


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def __call__(self) -> float:
        return sum(self.delays)

    def wait(self, seconds: float) -> None:
        """Wait no time at all."""
        self.delays.append(seconds)

    async def wait_async(self, seconds: float) -> None:
        """Wait no time at all."""
        self.delays.append(seconds)


class Stream:
    """Reads from either kind of stream."""

    def __init__(self, *, on_a_loop: bool) -> None:
        self.on_a_loop = on_a_loop
        self.api, self.time = FakeApi(), Time()
        self.retries: list[Retry] = []
        self.resumed: list[Resumed] = []

    def take(self, count: int, *, snapshots: bool = False, **options: Any) -> list[Item]:
        """Return the first items of a new stream."""
        backoff = Backoff(
            patience=options.pop("patience", 60.0),
            on_retry=self.retries.append,
            on_resume=self.resumed.append,
            clock=self.time,
            spread=options.pop("spread", lambda: 1.0),
        )
        following = Following(
            URL,
            since=options.pop("since", None if snapshots else 3),
            snapshots=snapshots,
            complete=options.pop("complete", False),
            wanted=EventFilter(**options),
            backoff=backoff,
        )
        read = self._read_async if self.on_a_loop else self._read
        return read(following, count)

    def _read(self, following: Following, count: int) -> list[Item]:
        connection = Connection(URL, auth=AUTH, transport=self.api.transport)
        stream = EventStream[Item](connection, following, wait=self.time.wait)
        items = list(itertools.islice(stream, count))
        assert stream.since == following.since
        return items

    def _read_async(self, following: Following, count: int) -> list[Item]:
        async def read() -> list[Item]:
            connection = AsyncConnection(URL, auth=AUTH, transport=self.api.transport)
            stream = AsyncEventStream[Item](connection, following, wait=self.time.wait_async)
            items: list[Item] = []
            async for item in stream:
                items.append(item)
                if len(items) == count:
                    break
            assert stream.since == following.since
            await connection.close()
            return items

        return asyncio.run(read())

    def asked(self) -> list[tuple[str, str | None]]:
        """Return the paths that were asked for, and where streams were to begin."""
        return [
            (request.url.path.strip("/").rpartition("/")[2], request.headers.get("Last-Event-ID"))
            for request in self.api.requests
        ]


@pytest.fixture(params=[False, True], ids=["blocking", "async"])
def stream(request: pytest.FixtureRequest) -> Stream:
    """Return a reader of each kind."""
    return Stream(on_a_loop=request.param)


def numbers(items: list[Item]) -> list[int]:
    """Return the numbers of events."""
    return [item.sequence for item in items if isinstance(item, Event)]


@given(st.data())
def test_frames_do_not_depend_on_where_the_stream_is_cut(data: st.DataObject) -> None:
    """Cut anywhere, with any line end, the same events come out."""
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = 'id: 1\nevent: a\ndata: {"x": "\u2028\x85"}\n\n: beat\n\ndata: p\ndata:q\n\nid: 9'
    raw = text.replace("\n", end).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    frames = Frames()
    pieces = (raw[a:b] for a, b in itertools.pairwise([0, *cuts, len(raw)]))
    assert [frame for piece in pieces for frame in frames.feed(piece)] == [
        Frame(id="1", event="a", data='{"x": "\u2028\x85"}'.encode()),
        None,
        Frame(id=None, event="message", data=b"p\nq"),
    ]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_survived(chunks: list[bytes]) -> None:
    """A stream of rubbish yields frames or nothing, and no error."""
    frames = Frames()
    for chunk in chunks:
        for frame in frames.feed(chunk):
            assert frame is None or frame.data is not None


def test_endless_lines_are_refused() -> None:
    """A line without an end does not fill the memory."""
    frames = Frames()
    endless = (frame for _ in range(100) for frame in frames.feed(b"x" * (1 << 20)))
    with pytest.raises(ValueError, match="more than"):
        list(endless)


def test_an_event_of_no_task(stream: Stream) -> None:
    """It is told as it is, with a body that is no report."""
    body = {"listener": {"id": "5e1f"}, "reason": "gone"}
    more = {"pulpitkind": "listener", "pulpitrevision": 1}
    told = cloudevent(4, body, type=LISTENER_DISABLED, **more)
    stream.api.streams.append([sse(4, LISTENER_DISABLED, told)])
    [event] = stream.take(1, kind=EventKind.LISTENER)
    assert isinstance(event, Event)
    assert (event.kind, event.task_id, event.report) == (EventKind.LISTENER, None, None)
    assert (event.state, event.tags, event.body) == (None, (), body)


def test_events_are_typed(stream: Stream) -> None:
    """An event has all that the server tells of it; filters are sent as the query."""
    told = report("running")
    more = {"pulpitkind": "progress", "type": "pulpit.task.progress.v1", "pulpitprevious": 1}
    stream.api.streams.append([b": beat\n\n", task_event(4, told, pulpitfolded=2, **more)])
    [event] = stream.take(
        1, task=("t", "u"), repository="zoo", state="error", tag=("a", "b"), type=STATUS
    )
    assert isinstance(event, Event)
    assert (event.sequence, event.id, event.type) == (4, "journal:4", "pulpit.task.progress.v1")
    assert (event.kind, event.state) == (EventKind.PROGRESS, TaskState.RUNNING)
    assert (event.task_id, event.tags) == (told["task_id"], tuple(told["tags"]))
    assert (event.revision, event.previous, event.folded) == (4, 1, 2)
    assert event.time == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert event.body == told
    assert event.report is not None
    assert event.report.repository == "zoo"
    assert event.document["datacontenttype"] == "application/json"
    assert str(stream.api.requests[0].url.query, "ascii") == (
        "task=t&task=u&repository=zoo&state=error&type=pulpit.task.status.v1&tag=a&tag=b"
        "&since=3&format=cloudevents"
    )


def test_what_a_newer_server_may_tell(stream: Stream) -> None:
    """An event of a kind that this client does not know, about no task, is passed on."""
    event = cloudevent(4, {"x": 1}, type="moon.v1", pulpitkind="moon", new=5) | {"time": None}
    stream.api.streams.append([sse(4, "moon.v1", event)])
    [item] = stream.take(1)
    assert isinstance(item, Event)
    assert (item.kind, item.report, item.state, item.task_id, item.time) == (None,) * 5
    assert item.body == {"x": 1}


def test_a_lost_connection_is_resumed_after_the_last_event(stream: Stream) -> None:
    """Whether it breaks or ends in good order, nothing is lost and nothing comes twice."""
    stream.api.streams += [
        [task_event(4, report()), task_event(6, report()), b"id: 7\ndata: {", BROKEN],
        BROKEN,
        httpx.Response(503),
        [task_event(7, report())],
        [task_event(9, report())],
    ]
    assert numbers(stream.take(4)) == [4, 6, 7, 9]
    assert [since for _, since in stream.asked()] == ["3", "6", "6", "6", "7"]
    # growing while nothing comes, short again after an event
    assert stream.time.delays == [0.1, 0.2, 0.4, 0.1]
    assert [notice.delay for notice in stream.retries] == stream.time.delays
    assert [round(notice.away, 3) for notice in stream.resumed] == [0.7, 0.1]


def test_delays_are_spread(stream: Stream) -> None:
    """Clients that lost the same server don't come back all at once."""
    stream.api.streams += [[b": beat\n\n"], BROKEN, BROKEN, [task_event(4, report())]]
    stream.take(1, spread=iter([0.0, 1.0, 0.5]).__next__)
    assert stream.time.delays == pytest.approx([0.05, 0.2, 0.3])


def test_without_a_number_events_begin_at_the_head(stream: Stream) -> None:
    """What comes while a first connection is lost is not missed."""
    stream.api.streams += [[b": beat\n\n", BROKEN], [task_event(8, report())]]
    assert numbers(stream.take(1, since=None)) == [8]
    assert stream.asked() == [("events", None), ("events", "7"), ("events", "7")]


def test_the_first_connection_must_succeed(stream: Stream) -> None:
    """A server that is not there, or refuses, is told at once."""
    stream.api.streams.append(BROKEN)
    with pytest.raises(Unreachable):
        stream.take(1)
    stream.api.logins = set()
    with pytest.raises(Unauthenticated):
        stream.take(1)
    assert stream.time.delays == []


def test_a_refusal_ends_the_stream(stream: Stream) -> None:
    """A login that is no longer known is not tried again for ever."""
    stream.api.streams += [[task_event(4, report())], httpx.Response(401)]
    with pytest.raises(Unauthenticated):
        stream.take(2)


def test_patience_ends(stream: Stream) -> None:
    """After a while without a connection, the stream gives up."""
    stream.api.streams += [[task_event(4, report())], *[BROKEN] * 50]
    with pytest.raises(Unreachable):
        stream.take(2, patience=20.0)
    assert 20 <= sum(stream.time.delays) <= 25


def test_a_gap_is_told_and_passed(stream: Stream) -> None:
    """Events past retention are told; reading goes on from what is left."""
    stream.api.streams += [
        [sse(None, "stale", GAP)],
        [sse(None, "stale", GAP | {"since": 39, "oldest": 2, "head": 30, "missed": None})],
        [task_event(31, report())],
    ]
    items = stream.take(3)
    gaps = [item for item in items if isinstance(item, Stale)]
    assert [(gap.resume, gap.missed) for gap in gaps] == [(39, 36), (30, None)]
    assert gaps[0].snapshot == "/pulpit/v1/snapshot/"
    assert [since for _, since in stream.asked()] == ["3", "39", "30"]


def test_following_begins_with_a_snapshot(stream: Stream) -> None:
    """All its pages are read; of the events, those that it tells already are left out."""
    stream.api.snapshot(report("running", task_id="a"), revision=5, next_="more")
    stream.api.snapshot(report("waiting", task_id="b"), revision=9)
    stream.api.streams.append(
        [
            task_event(8, report(task_id="a"), pulpitrevision=5),
            task_event(9, report(task_id="b"), pulpitrevision=10),
            task_event(10, report(task_id="c"), pulpitrevision=1),
            task_event(11, report(task_id="a"), pulpitrevision=6),
        ]
    )
    first, *rest = stream.take(4, snapshots=True, kind=EventKind.STATUS, tag="x")
    assert isinstance(first, Snapshot)
    assert [(task.report.task_id, task.revision) for task in first.tasks] == [("a", 5), ("b", 9)]
    assert numbers(rest) == [9, 10, 11]
    assert stream.asked() == [("snapshot", None), ("snapshot", None), ("events", "7")]
    queries = [str(request.url.query, "ascii") for request in stream.api.requests]
    assert queries[:2] == ["tag=x", "tag=x&page=more"]


def test_after_a_gap_comes_a_new_snapshot(stream: Stream) -> None:
    """Who follows has the whole picture again, and then goes on after it."""
    stream.api.streams += [
        [sse(None, "stale", GAP), task_event(40, report(task_id="never"))],
        [task_event(61, report(task_id="a"), pulpitrevision=3)],
    ]
    stream.api.snapshot(report("running", task_id="a"), sequence=60, revision=2)
    items = stream.take(3, snapshots=True, since=3, complete=True)
    assert [type(item) for item in items] == [Stale, Snapshot, Event]
    assert stream.asked() == [("events", "3"), ("snapshot", None), ("events", "60")]
    assert stream.api.requests[1].url.params.get_list("state") == list(TaskState)


def test_a_snapshot_is_tried_again(stream: Stream) -> None:
    """A server that goes away between the pages is waited for."""
    stream.api.streams += [[sse(None, "stale", GAP)], [task_event(61, report())]]
    stream.api.snapshots += [BROKEN, BROKEN]
    stream.api.snapshot(report("running"), sequence=60, revision=60)
    items = stream.take(3, snapshots=True, since=3)
    assert [type(item) for item in items] == [Stale, Snapshot, Event]
    assert len(stream.retries) == len(stream.resumed) == 1


def test_very_many_tasks_are_picked_out_here(stream: Stream) -> None:
    """An address can't name them all: snapshots come in parts, events are sorted out."""
    ids = [f"t{number}" for number in range(250)]
    stream.api.snapshot(report(task_id="t0"), sequence=7)
    stream.api.snapshot(report(task_id="t100"), sequence=8)
    stream.api.snapshot(report(task_id="t249"), sequence=9)
    stream.api.streams.append(
        [
            task_event(8, report(task_id="other")),
            task_event(9, report(task_id="t200")),
            task_event(10, report(task_id="t249")),
        ]
    )
    first, *rest = stream.take(3, snapshots=True, task=ids)
    assert isinstance(first, Snapshot)
    assert first.sequence == 7
    assert [task.report.task_id for task in first.tasks] == ["t0", "t100", "t249"]
    assert numbers(rest) == [9, 10]
    asked = [request.url.params.get_list("task") for request in stream.api.requests]
    assert [len(tasks) for tasks in asked] == [100, 100, 50, 0]


@pytest.mark.parametrize(
    "chunk",
    [
        b"id: 1\ndata: {\n\n",
        b"id: 1\ndata: []\n\n",
        b"data: {}\n\n",
        sse(None, STATUS, cloudevent(1, {})),
        b"id: one\n" + sse(None, STATUS, cloudevent(1, {})),
        task_event(1, []),
        task_event(1, {}, pulpitrevision="1"),
        task_event(1, {}, time="yesterday"),
        b"event: stale\ndata: {}\n\n",
        b"event: stale\ndata: 5\n\n",
    ],
)
def test_strange_streams_are_told(stream: Stream, chunk: bytes) -> None:
    """A stream that is not as it must be ends with one clear error."""
    stream.api.streams.append([chunk])
    with pytest.raises(Unintelligible):
        stream.take(1)


def test_a_server_without_cloudevents_is_told(stream: Stream) -> None:
    """It is older than the client, which the error says."""
    stream.api.streams.append([sse(4, STATUS, report())])
    with pytest.raises(Unintelligible, match="older than this client"):
        stream.take(1)


@pytest.mark.parametrize(
    "page", [{}, {"sequence": 1, "tasks": [{"revision": 1, "task": {}}]}, {"tasks": 5}]
)
def test_strange_snapshots_are_told(stream: Stream, page: Any) -> None:
    """A page that is none is not passed on."""
    stream.api.snapshots.append(page)
    with pytest.raises(Unintelligible):
        stream.take(1, snapshots=True)


def test_other_answers_are_no_stream(stream: Stream) -> None:
    """A page where a stream was asked for is recognised."""
    stream.api.streams.append(httpx.Response(200, json={}))
    with pytest.raises(Unintelligible, match="no Pulpit server"):
        stream.take(1)


def client(api: FakeApi) -> Client:
    """Return a client that the server knows."""
    return Client(URL, auth=AUTH, transport=api.transport)


def test_head_is_where_following_starts() -> None:
    """The number comes from the JSON page."""
    api = FakeApi()
    assert client(api).head() == 7
    api.at("GET", "/pulpit/v1/events/", {"events": []})
    with pytest.raises(Unintelligible):
        client(api).head()


def test_filters_are_named_or_passed_as_a_value() -> None:
    """Either way; both at once, or a name that is none, is a mistake in the program."""
    api = FakeApi()
    for options in ({"task": "t"}, {"wanted": EventFilter(task="t")}):
        api.streams.append([task_event(4, report())])
        next(iter(client(api).events(since=3, **options)))
        assert api.requests[-1].url.params["task"] == "t"
    wrong: list[dict[str, Any]] = [{"wanted": EventFilter(), "task": "t"}, {"colour": "red"}]
    for options in wrong:
        with pytest.raises(TypeError):
            client(api).events(**options)


@pytest.mark.parametrize("call", ["events", "follow"])
def test_both_clients_take_the_same_options(call: str) -> None:
    """What one client asks the server, the other asks in the same words."""
    options: dict[str, Any] = {"since": 3, "task": "t", "tag": ["a"], "patience": 1.0}

    def blocking(api: FakeApi) -> None:
        next(iter(getattr(client(api), call)(**options)))

    def on_a_loop(api: FakeApi) -> None:
        async def ask() -> None:
            async with AsyncClient(URL, auth=AUTH, transport=api.transport) as other:
                async for _ in getattr(other, call)(**options):
                    break

        asyncio.run(ask())

    asked = []
    acts: list[Callable[[FakeApi], None]] = [blocking, on_a_loop]
    for act in acts:
        api = FakeApi()
        api.streams.append([task_event(4, report())])
        act(api)
        asked += [(request.url, request.headers["Last-Event-ID"]) for request in api.requests]
    assert asked[0] == asked[1]
