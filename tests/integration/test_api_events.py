"""The event stream over HTTP: as server-sent events from a real server, and as JSON pages."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import Message

from pulpit.api.events import EVENTS, EventStream, routes
from pulpit.api.protocol import BoundedHttp
from pulpit.api.server import web_application
from pulpit.api.snapshot import SNAPSHOT
from pulpit.domain.events import Event, EventKind, NewEvent
from pulpit.domain.tasks import TaskState
from pulpit.events.fanout import Fanout
from pulpit.ports import EventHistory, ToldBefore
from tests.api_site import AUTH, EVENT_SOURCE_URI, Site, assert_error

_SSE = {"Accept": "text/event-stream"}
#: Seconds in which what must come comes, on a busy machine.
_PATIENCE = 30.0


class _Source:
    """A journal that keeps how it is read."""

    def __init__(self, source: EventHistory) -> None:
        self._source = source
        self.reads = 0
        self.subscribers = 0
        self.nobody = asyncio.Event()

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        self.reads += 1
        return self._source.read(after, limit, most_bytes=most_bytes)

    def read_tasks(
        self, after: int, limit: int, task_ids: Collection[str], *, most_bytes: int | None = None
    ) -> Sequence[Event]:
        self.reads += 1
        return self._source.read_tasks(after, limit, task_ids, most_bytes=most_bytes)

    def progress_before(self, after: int) -> Mapping[str, ToldBefore]:
        return self._source.progress_before(after)

    def head(self) -> int:
        return self._source.head()

    def oldest(self) -> int:
        return self._source.oldest()

    def wait(self, after: int, timeout: float | None) -> bool:
        return self._source.wait(after, timeout)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        unsubscribe = self._source.subscribe(wake)
        self.subscribers += 1

        def end() -> None:
            unsubscribe()
            self.subscribers -= 1
            if not self.subscribers:
                self.nobody.set()

        return end


@dataclass
class _Server:
    """The stream behind a real server."""

    client: httpx.AsyncClient
    source: _Source
    fanout: Fanout
    address: tuple[str, int]
    server: uvicorn.Server
    running: asyncio.Task[None]


@contextlib.asynccontextmanager
async def _serving(site: Site, *, heartbeat: float = 15.0) -> AsyncIterator[_Server]:
    """Serve the event stream of the site's journal."""
    source = _Source(site.storage.events)
    fanout = Fanout(source)
    app = web_application(
        routes(site.gate, source, fanout, event_source_uri=EVENT_SOURCE_URI, heartbeat=heartbeat)
    )
    config = uvicorn.Config(app, log_config=None, lifespan="off", http=BoundedHttp)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # small, so that who does not read is noticed soon; inherited by its connections
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        address = listener.getsockname()
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{address[1]}"
        client = httpx.AsyncClient(base_url=url, auth=AUTH, timeout=_PATIENCE, trust_env=False)
        async with client:
            yield _Server(client, source, fanout, address, server, running)
        fanout.close()
        server.should_exit = True
        await asyncio.wait_for(running, _PATIENCE)


@dataclass(frozen=True)
class _Frame:
    """One server-sent event; a comment has nothing but its text."""

    id: int | None = None
    event: str | None = None
    data: Any = None
    comment: str | None = None


@contextlib.asynccontextmanager
async def _reading(
    server: _Server, query: str = "", **headers: str
) -> AsyncIterator[AsyncIterator[_Frame]]:
    """Attach to the stream and yield its frames, the greeting read already."""
    sent = _SSE | {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.client.stream("GET", EVENTS + query, headers=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        frames = _frames(answer)
        assert (await anext(frames)).comment == "alive"
        yield frames


async def _frames(answer: httpx.Response) -> AsyncIterator[_Frame]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
            continue
        if "" in fields:
            yield _Frame(comment=fields[""])
        else:
            number = fields.get("id")
            yield _Frame(
                id=int(number) if number else None,
                event=fields["event"],
                data=json.loads(fields["data"]),
            )
        fields = {}


async def _next(frames: AsyncIterator[_Frame], count: int) -> list[_Frame]:
    """Return the next events, without the heartbeats between them."""
    found: list[_Frame] = []
    async with asyncio.timeout(_PATIENCE):
        while len(found) < count:
            frame = await anext(frames)
            if frame.comment is None:
                found.append(frame)
    return found


def _events(
    site: Site, *kinds: str, task: str, body: bytes, tag: str, revision: int
) -> list[NewEvent]:
    """Return events, of a state or ``progress``."""
    return [
        NewEvent(
            kind=EventKind.PROGRESS if kind == "progress" else EventKind.STATUS,
            type=f"pulpit.task.{'progress' if kind == 'progress' else 'status'}.v1",
            task_id=task,
            revision=number,
            state=TaskState.RUNNING if kind == "progress" else TaskState(kind),
            tags=(tag, "pulp:repository:zoo") if tag == "zoo" else (tag,),
            time=site.clock(),
            body=body,
        )
        for number, kind in enumerate(kinds, revision)
    ]


def _write(
    site: Site,
    *kinds: str,
    task: str = "t",
    body: bytes = b"{}",
    tag: str = "a",
    revision: int = 1,
    keep: int | None = None,
) -> int:
    """Write events in one transaction, which may leave few status rows; return the last number."""
    with site.storage.write() as transaction:
        events = _events(site, *kinds, task=task, body=body, tag=tag, revision=revision)
        numbers = transaction.journal.append(events)
        if keep is not None:
            transaction.journal.compact(
                now=site.clock(),
                status_days=1_000,
                status_rows=keep,
                progress_hours=1_000,
                progress_rows=1_000,
                keep_after=None,
                keep_bytes=0,
                limit=1_000,
            )
    return numbers[-1]


def test_events_come_in_order_and_whole(site: Site) -> None:
    """Each event is its number, its type and the very bytes that the journal holds."""

    async def run() -> None:
        async with _serving(site) as server, _reading(server, "?since=0") as frames:
            _write(site, "waiting", "running", "progress", body=b'{"a":"\xc3\xbc \\n"}')
            await asyncio.to_thread(_write, site, "finished", task="u")
            found = await _next(frames, 4)
            assert [frame.id for frame in found] == [1, 2, 3, 4]
            kinds = [(frame.event or "").split(".")[2] for frame in found]
            assert kinds == ["status", "status", "progress", "status"]
            assert [frame.data for frame in found] == [{"a": "ü \n"}] * 3 + [{}]

    asyncio.run(run())


def test_a_stream_begins_at_the_head(site: Site) -> None:
    """Who names no number hears what happens from now on."""
    _write(site, "waiting")

    async def run() -> None:
        async with _serving(site) as server, _reading(server) as frames:
            _write(site, "running")
            (found,) = await _next(frames, 1)
            assert found.id == 2

    asyncio.run(run())


def test_a_stream_goes_on_where_it_ended(site: Site) -> None:
    """By Last-Event-ID, which is stronger than since, or by since; nothing twice, nothing lost."""
    _write(site, *["progress"] * 9, "finished")

    async def run() -> None:
        async with _serving(site) as server:
            async with _reading(server, "?since=0") as frames:
                first = [frame.id for frame in await _next(frames, 4)]
            async with _reading(server, "?since=0", Last_Event_ID="4") as frames:
                second = [frame.id for frame in await _next(frames, 3)]
            async with _reading(server, "?since=7") as frames:
                third = [frame.id for frame in await _next(frames, 3)]
            assert first + second + third == list(range(1, 11))

    asyncio.run(run())


def _without_folding(frames: list[_Frame]) -> list[_Frame]:
    """Return the frames without what they stand for beside themselves."""
    folding = ("pulpitprevious", "pulpitfolded")
    return [
        replace(frame, data={key: frame.data[key] for key in frame.data if key not in folding})
        for frame in frames
    ]


def test_resuming_anywhere_is_as_one_long_read(site: Site) -> None:
    """From every number what follows is the same; events may stand for what came before it."""
    chance = random.Random(7)
    kinds = ("waiting", "running", "progress", "finished")
    for number in range(1, 13):
        chosen = [chance.choice(kinds) for _ in range(chance.randint(1, 5))]
        _write(site, *chosen, task=chance.choice("tuv"), revision=number)
    last = site.storage.events.head()

    async def run() -> None:
        async with _serving(site) as server:
            for query in ("", "&format=cloudevents"):
                async with _reading(server, f"?since=0{query}") as frames:
                    whole = await _next(frames, last)
                assert [frame.id for frame in whole] == list(range(1, last + 1))
                for since in range(last):
                    header = {"Last_Event_ID": str(since)}
                    async with _reading(server, f"?since=0{query}", **header) as frames:
                        found = await _next(frames, last - since)
                    assert _without_folding(found) == _without_folding(whole[since:])

    asyncio.run(run())


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    "query",
    [
        "task=%00",
        "tag=%F0%9F%92%A9&tag=%ED%A0%80",
        "type=%0A%0Ddata%3A%20x",
        "repository=..%2F..%2Fetc",
        "&".join(f"task={number}" for number in range(5_000)),
        "&".join(f"tag={number}" for number in range(5_000)),
        "unknown=1&=2&&",
    ],
)
def test_strange_queries_do_no_harm(site: Site, query: str, accept: str) -> None:
    """What nothing passes brings nothing; what is unknown is passed over."""
    _write(site, "waiting")
    for path in (EVENTS, SNAPSHOT):
        answer = site.ask("GET", f"{path}?{query}&limit=5")
        assert answer.status_code == 200, answer.text
    answer = site.ask("HEAD", f"{EVENTS}?since=0&{query}", headers={"Accept": accept})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith(accept)


_FILTERS = {
    "task=t": [1, 2, 3, 6],
    "task=u": [4, 5],
    "task=none": [],
    "tag=zoo": [4, 5],
    "tag=zoo&tag=pulp%3Arepository%3Azoo": [4, 5],
    "tag=zoo&tag=a": [],
    "repository=zoo": [4, 5],
    "repository=none": [],
    "kind=status": [1, 2, 4, 5, 6],
    "kind=progress": [3],
    "kind=listener": [],
    "state=finished": [5, 6],
    "state=running&kind=status": [2],
    "type=pulpit.task.progress.v1": [3],
    "task=t&task=u&state=finished&state=waiting": [1, 4, 5, 6],
    "task=t&task=none": [1, 2, 3, 6],
    "kind=status&kind=progress": [1, 2, 3, 4, 5, 6],
    "type=pulpit.task.progress.v1&type=pulpit.task.status.v1&task=t": [1, 2, 3, 6],
    "task=t&state=finished": [6],
    "": [1, 2, 3, 4, 5, 6],
}


def _write_mixture(site: Site) -> None:
    _write(site, "waiting", "running", "progress")
    _write(site, "waiting", "finished", task="u", tag="zoo")
    _write(site, "finished")


def test_streams_are_filtered(site: Site) -> None:
    """A reader gets what it wants and nothing else, by each filter and by several."""
    _write_mixture(site)

    async def run() -> None:
        async with _serving(site) as server:
            for query, wanted in _FILTERS.items():
                async with _reading(server, f"?since=0&{query}") as frames:
                    found = await _next(frames, len(wanted))
                    assert [frame.id for frame in found] == wanted, query
            async with _reading(server, "?task=w") as frames:
                _write(site, "waiting", task="v")
                last = _write(site, "waiting", task="w")
                assert [frame.id for frame in await _next(frames, 1)] == [last]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?kind=none", ["kind"]),
        ("?state=none", ["state"]),
        ("?state=", ["state"]),
        ("?state=running&state=none", ["state"]),
        ("?kind=status&kind=", ["kind"]),
        ("?since=1&since=2", ["since"]),
        ("?repository=a&repository=b", ["repository"]),
        ("?format=xml", ["format"]),
        ("?format=", ["format"]),
        ("?format=cloudevents&format=cloudevents", ["format"]),
        ("?since=x", ["since"]),
        ("?since=-1", ["since"]),
        ("?since=", ["since"]),
        ("?since=1.0", ["since"]),
        ("?since=%C2%B2", ["since"]),
        ("?since=" + "9" * 10_000, ["since"]),
    ],
)
def test_bad_queries_are_400(site: Site, query: str, names: list[str]) -> None:
    """A stream and a page refuse alike what they do not understand."""
    for headers in ({}, _SSE):
        answer = site.ask("GET", EVENTS + query, headers=headers)
        assert assert_error(answer, 400, "PLP0015")["property_names"] == names


def test_a_bad_last_event_id_is_400(site: Site) -> None:
    """The header is checked as the query is."""
    headers = _SSE | {"Last-Event-ID": "x"}
    body = assert_error(site.ask("GET", EVENTS, headers=headers), 400, "PLP0015")
    assert body["property_names"] == ["Last-Event-ID"]


def test_a_stream_needs_credentials(site: Site) -> None:
    """Nobody reads events without them."""
    for auth, code in ((None, "PLP0025"), (("admin", "wrong"), "PLP0030")):
        assert_error(site.ask("GET", EVENTS, auth=auth, headers=_SSE), 401, code)


def test_head_of_a_stream_ends(site: Site) -> None:
    """HEAD answers like GET and sends nothing."""
    answer = site.ask("HEAD", EVENTS, headers=_SSE)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_events_that_are_gone_are_told(site: Site) -> None:
    """A stream tells the gap without an id, and goes on with the oldest event that is left."""
    _write(site, *["running"] * 5, keep=2)

    async def run() -> None:
        async with _serving(site) as server:
            async with _reading(server, "?since=1") as frames:
                stale, *rest = await _next(frames, 3)
                assert stale == _Frame(
                    event="stale",
                    data={
                        "since": 1,
                        "oldest": 4,
                        "head": 5,
                        "missed": 2,
                        "snapshot": "/pulpit/v1/snapshot/",
                    },
                )
                assert [frame.id for frame in rest] == [4, 5]
            async with _reading(server, "?since=3") as frames:
                assert [frame.id for frame in await _next(frames, 2)] == [4, 5]

    asyncio.run(run())


@pytest.mark.parametrize("since", [6, 2**63 - 1, 9 * 10**18 + 5 * 10**17])
def test_a_number_ahead_of_the_head_is_told(site: Site, since: int) -> None:
    """A stream tells that nobody has come that far, and goes on from the head."""
    _write(site, *["running"] * 5)

    async def run() -> None:
        async with _serving(site) as server, _reading(server, f"?since={since}") as frames:
            (stale,) = await _next(frames, 1)
            assert (stale.event, stale.id, stale.data["head"]) == ("stale", None, 5)
            assert _write(site, "finished") == 6
            (event,) = await _next(frames, 1)
            assert event.id == 6

    asyncio.run(run())


def test_a_gap_that_opens_while_reading_is_told(site: Site) -> None:
    """A reader that retention overtakes hears of it in the stream that it has."""
    _write(site, "running")

    async def run() -> None:
        async with _serving(site) as server, _reading(server) as frames:
            # gone before anybody could read them
            _write(site, *["running"] * 4, keep=1)
            stale, event = await _next(frames, 2)
            assert (stale.event, stale.data["since"], stale.data["oldest"]) == ("stale", 1, 5)
            assert event.id == 5

    asyncio.run(run())


def test_silence_is_filled_with_heartbeats(site: Site) -> None:
    """They are comments, without an id; what the reader's filter keeps out is silence too."""

    async def run() -> None:
        async with _serving(site, heartbeat=0.05) as server, _reading(server, "?task=t") as frames:
            for _ in range(3):
                assert await anext(frames) == _Frame(comment="alive")
            _write(site, "waiting", task="other")
            assert await anext(frames) == _Frame(comment="alive")
            _write(site, "waiting")
            (event,) = await _next(frames, 1)
            assert event.id == 2

    asyncio.run(run())


def test_what_others_want_makes_no_noise(site: Site) -> None:
    """Events that a filter keeps out do not wake the reader."""

    async def run() -> None:
        async with _serving(site) as server, _reading(server, "?task=t") as frames:
            for _ in range(20):
                _write(site, "progress", task="other")
            _write(site, "waiting")
            assert (await anext(frames)).id == 21

    asyncio.run(run())


def _attach(server: _Server, query: str, receive_bytes: int) -> socket.socket:
    """Return a connection that asks for the stream and has read nothing yet."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(_PATIENCE)
    connection.connect(server.address)
    credentials = httpx.BasicAuth(*AUTH)._auth_header
    connection.sendall(
        f"GET {EVENTS}{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Authorization: {credentials}\r\n\r\n".encode()
    )
    return connection


def _receive_events(connection: socket.socket, last: int) -> list[dict[str, Any]]:
    """Return the CloudEvents that a connection brings, up to the one of a number."""
    found: list[dict[str, Any]] = []
    with contextlib.closing(http.client.HTTPResponse(connection)) as answer:
        answer.begin()
        while not found or int(found[-1]["sequence"]) < last:
            line = answer.readline()
            if line.startswith(b"data: "):
                found.append(json.loads(line.removeprefix(b"data: ")))
    return found


def _assert_contiguous(found: list[dict[str, Any]]) -> None:
    """Check that the events of each task stand for all of its revisions, in order."""
    revisions: dict[str, int] = {}
    for event in found:
        assert event["pulpitprevious"] == revisions.get(event["subject"], 0), event
        assert event["pulpitfolded"] == event["pulpitrevision"] - event["pulpitprevious"] - 1
        revisions[event["subject"]] = event["pulpitrevision"]


def test_a_slow_reader_is_folded_and_never_cut_off(site: Site) -> None:
    """Who does not read costs the server a part at most, and later gets every status."""
    rounds, body = 60, b'"' + b"x" * 2_000 + b'"'

    async def run() -> None:
        async with _serving(site) as server:
            with _attach(server, "?since=0&format=cloudevents", 1 << 14) as slow:
                for number in range(rounds):
                    for task in "tu":
                        await asyncio.to_thread(
                            _write,
                            site,
                            *["progress"] * 49,
                            "running",
                            task=task,
                            body=body,
                            revision=1 + 50 * number,
                        )
                last = site.storage.events.head()
                async with _reading(server, f"?since={last - 1}") as frames:
                    assert (await _next(frames, 1))[0].id == last
                assert server.fanout.figures()["readers"] == 2
                found = await asyncio.to_thread(_receive_events, slow, last)
        numbers = [int(event["sequence"]) for event in found]
        assert numbers == sorted(set(numbers))
        _assert_contiguous(found)
        status = [event for event in found if event["pulpitkind"] == "status"]
        assert len(status) == 2 * rounds
        assert len(found) < last / 4
        assert sum(event["pulpitfolded"] for event in found) == last - len(found)

    asyncio.run(run())


def test_a_reader_that_goes_away_leaves_nothing(site: Site) -> None:
    """The journal wakes nobody who is gone, however the reader went."""

    async def run() -> None:
        async with _serving(site) as server:
            async with _reading(server) as frames:
                _write(site, "waiting")
                await _next(frames, 1)
                assert server.source.subscribers == server.fanout.figures()["readers"] == 1
            await asyncio.wait_for(server.source.nobody.wait(), _PATIENCE)
            assert server.fanout.figures()["readers"] == 0
            server.source.nobody.clear()
            async with _reading(server, "?since=0"):
                # it goes while there is more than the connection can take
                await asyncio.to_thread(
                    _write, site, *["progress"] * 500, body=b'"' + b"x" * 20_000 + b'"'
                )
            await asyncio.wait_for(server.source.nobody.wait(), _PATIENCE)
            assert server.fanout.figures()["readers"] == 0

    asyncio.run(run())


def test_streams_end_when_the_server_stops(site: Site) -> None:
    """Readers see the end of the stream, in good order, and the server need not wait for them."""

    async def run() -> None:
        async with _serving(site) as server:
            async with _reading(server) as one, _reading(server, "?task=none") as two:
                server.fanout.close()
                for frames in (one, two):
                    async with asyncio.timeout(_PATIENCE):
                        assert [frame async for frame in frames] == []
            # a reader that comes now is sent home at once
            answer = await server.client.get(EVENTS, headers=_SSE)
            assert answer.status_code == 200
            assert server.source.subscribers == server.fanout.figures()["readers"] == 0

    asyncio.run(run())


def test_what_was_written_last_is_still_told(site: Site) -> None:
    """A server that stops tells its readers how its tasks ended."""

    async def run() -> None:
        async with _serving(site) as server, _reading(server) as frames:
            _write(site, "canceled")
            _write(site, "canceled", task="u")
            server.fanout.close()
            async with asyncio.timeout(_PATIENCE):
                found = [frame.id async for frame in frames if frame.comment is None]
            assert found == [1, 2]

    asyncio.run(run())


def test_who_takes_nothing_does_not_hold_up_the_end(site: Site) -> None:
    """A server that stops tells its last words for a time, and ends the others' connections."""
    for _ in range(4):
        _write(site, *["running"] * 500, body=b'"' + b"x" * 2_000 + b'"')

    async def run() -> None:
        async with _serving(site) as server:
            with _attach(server, "?since=0", 1 << 12) as stuck:
                assert await asyncio.to_thread(stuck.recv, 16)
                server.fanout.close()
                await asyncio.wait_for(server.source.nobody.wait(), _PATIENCE)
                assert server.fanout.figures()["readers"] == 0

    asyncio.run(run())


def _page(site: Site, query: str) -> tuple[list[int], int]:
    """Return the numbers on a page and the one to go on after."""
    answer = site.ask("GET", f"{EVENTS}?{query}")
    assert answer.status_code == 200, answer.json()
    page = answer.json()
    assert set(page) == {"events", "next"}
    return [event["sequence"] for event in page["events"]], page["next"]


def test_a_page_holds_whole_events(site: Site) -> None:
    """Each has its number, what it is about and the body as JSON."""
    _write(site, "waiting", body=b'{"state":"waiting"}', tag="zoo")
    (event,) = site.ask("GET", f"{EVENTS}?since=0").json()["events"]
    assert event.pop("id").endswith(":1")
    assert event == {
        "sequence": 1,
        "kind": "status",
        "type": "pulpit.task.status.v1",
        "task_id": "t",
        "revision": 1,
        "previous": 0,
        "state": "waiting",
        "tags": ["zoo", "pulp:repository:zoo"],
        "time": "2026-01-01T00:00:00Z",
        "body": {"state": "waiting"},
    }


def test_pages_follow_each_other(site: Site) -> None:
    """The number to go on after is there, on a page that is full as on one that is not."""
    _write(site, *["progress"] * 7)
    assert _page(site, "since=0&limit=3") == ([1, 2, 3], 3)
    assert _page(site, "since=3&limit=3") == ([4, 5, 6], 6)
    assert _page(site, "since=6&limit=3") == ([7], 7)
    assert _page(site, "since=7&limit=3") == ([], 7)
    assert _page(site, "limit=3") == ([], 7)
    assert _page(site, "since=0&limit=99999999") == ([1, 2, 3, 4, 5, 6, 7], 7)
    answer = site.ask("GET", f"{EVENTS}?since=0&limit=0")
    assert assert_error(answer, 400, "PLP0015")["property_names"] == ["limit"]


def test_pages_are_bounded(site: Site) -> None:
    """A page holds 100 events unless asked for more, and 1,000 at the most."""
    _write(site, *["progress"] * 1_200)
    assert len(_page(site, "since=0")[0]) == 100
    assert len(_page(site, "since=0&limit=5000")[0]) == 1_000


def test_pages_are_filtered(site: Site) -> None:
    """A page passes over what is not wanted, and says how far it looked."""
    _write_mixture(site)
    for query, wanted in _FILTERS.items():
        assert _page(site, f"since=0&{query}") == (wanted, 6), query
    assert _page(site, "since=0&task=u&limit=1") == ([4], 4)


def test_a_page_looks_at_so_many_events_only(site: Site) -> None:
    """A filter that nothing passes ends, and the next page goes on."""
    for _ in range(21):
        _write(site, *["progress"] * 500)
    last = _write(site, "waiting", task="wanted")
    found, following = _page(site, "since=0&state=waiting")
    assert (found, following) == ([], 10_000)
    assert _page(site, f"since={following}&state=waiting") == ([last], last)
    # of a task it looks at no other events
    assert _page(site, "since=0&task=wanted&limit=1") == ([last], last)
    assert _page(site, "since=0&task=none") == ([], last)


def test_a_page_of_large_bodies_holds_fewer(site: Site) -> None:
    """It is full after 8 MiB, and the next one goes on."""
    for number in range(4):
        _write(site, "running", body=b'"' + b"x" * (3 << 20) + b'"', revision=number + 1)
    assert _page(site, "since=0") == ([1, 2, 3], 3)
    assert _page(site, "since=3") == ([4], 4)


def test_who_wants_one_task_reads_over_no_others(site: Site) -> None:
    """However long the journal is, a stream of one task is at its end after few reads."""
    for _ in range(20):
        _write(site, *["progress"] * 500)
    first = _write(site, "waiting", task="wanted")
    for _ in range(20):
        _write(site, *["progress"] * 500)

    async def run() -> None:
        async with _serving(site) as server:
            async with _reading(server, "?since=0&task=wanted") as frames:
                assert [frame.id for frame in await _next(frames, 1)] == [first]
                last = await asyncio.to_thread(_write, site, "running", task="wanted", revision=2)
                assert [frame.id for frame in await _next(frames, 1)] == [last]
            assert server.source.reads < 10

    asyncio.run(run())


async def _always() -> bool:
    return True


def test_a_large_part_is_sent_in_pieces(site: Site) -> None:
    """The server has no copy of all that a client does not take."""
    _write(site, "running", body=b'"' + b"x" * (1 << 20) + b'"')
    sizes: list[int] = []

    async def run() -> None:
        fanout = Fanout(site.storage.events)
        gone = asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sizes.append(len(message.get("body", b"")))
            if sum(sizes) > 1 << 20:
                gone.set()

        stream = EventStream(
            lambda: fanout.attach(0, encode=lambda event: event.body, wanted=None, heartbeat=60.0),
            may_go_on=_always,
        )
        async with asyncio.timeout(_PATIENCE):
            await stream({"type": "http"}, receive, send)
        fanout.close()

    asyncio.run(run())
    assert sum(sizes) > 1 << 20
    assert max(sizes) <= 64 << 10


@pytest.mark.parametrize(
    ("query", "previous"),
    [("", 2), ("&task=t", 2), ("&kind=status", 5), ("&state=finished", 5), ("&tag=a", 2)],
)
def test_a_resumed_stream_claims_nothing_that_it_keeps_out(
    site: Site, query: str, previous: int
) -> None:
    """Where a filter keeps out progress, a change of status does not stand for it."""
    _write(site, "waiting", "running", "progress", "progress", "progress", "finished")

    async def run() -> None:
        async with (
            _serving(site) as server,
            _reading(server, f"?since=5&format=cloudevents{query}") as frames,
        ):
            (frame,) = await _next(frames, 1)
            assert frame.data["pulpitprevious"] == previous
            assert frame.data["pulpitfolded"] == 6 - previous - 1

    asyncio.run(run())


def test_a_page_that_is_gone_is_410(site: Site) -> None:
    """The body says what can be read and where the present state is."""
    _write(site, *["running"] * 5, keep=2)
    body = assert_error(site.ask("GET", f"{EVENTS}?since=0"), 410, "PLPIT10")
    assert body["error"]["data"] == {  # type: ignore[index]
        "since": 0,
        "oldest": 4,
        "head": 5,
        "missed": 3,
        "snapshot": "/pulpit/v1/snapshot/",
    }
    assert "/pulpit/v1/snapshot/" in str(body["error_message"])
    assert _page(site, "since=3") == ([4, 5], 5)
    for since in (6, 2**63 - 1, 9_999_999_999_999_999_999):
        body = assert_error(site.ask("GET", f"{EVENTS}?since={since}"), 410, "PLPIT10")
        assert body["error"]["data"]["missed"] is None  # type: ignore[index]


#: Ways to ask for CloudEvents: query and media type beside the usual one.
_CLOUDEVENTS = [
    ("&format=cloudevents", None),
    ("", "application/cloudevents+json"),
    ("", "Application/CloudEvents-Batch+JSON;q=0.5"),
]


def _expected_cloudevent(site: Site) -> dict[str, Any]:
    """Write two events, and return the second one as it is to be told."""
    _write(site, "waiting", "progress", body=b'{"state":"running"}', tag="zoo")
    (event,) = site.storage.events.read(1, 1)
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": EVENT_SOURCE_URI,
        "type": "pulpit.task.progress.v1",
        "subject": "t",
        "time": "2026-01-01T00:00:00Z",
        "dataschema": "http://site/pulpit/v1/schemas/pulpit.task.progress.v1.json",
        "sequence": "00000000000000000002",
        "datacontenttype": "application/json",
        "pulpitkind": "progress",
        "pulpitrevision": 2,
        "pulpitprevious": 1,
        "pulpitfolded": 0,
        "data": {"state": "running"},
    }


@pytest.mark.parametrize(("query", "accept"), _CLOUDEVENTS)
def test_pages_hold_cloudevents_when_asked(site: Site, query: str, accept: str | None) -> None:
    """Each element is an event in the structured JSON form."""
    expected = _expected_cloudevent(site)
    headers = {"Accept": f"application/json, {accept}" if accept else "*/*"}
    answer = site.ask("GET", f"{EVENTS}?since=1{query}", headers=headers)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"events": [expected], "next": 2}


@pytest.mark.parametrize(("query", "accept"), _CLOUDEVENTS)
def test_streams_hold_cloudevents_when_asked(site: Site, query: str, accept: str | None) -> None:
    """Each data line is one in the structured JSON form; id and event are as ever."""
    expected = _expected_cloudevent(site)

    async def run() -> None:
        sent = {"Accept": f"text/event-stream, {accept}"} if accept else {}
        async with (
            _serving(site) as server,
            _reading(server, f"?since=1{query}", **sent) as frames,
        ):
            assert await _next(frames, 1) == [
                _Frame(id=2, event="pulpit.task.progress.v1", data=expected)
            ]

    asyncio.run(run())
