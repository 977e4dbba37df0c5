"""Watching, waiting and following while the server is killed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pulpit.cli.exits import ExitCode
from pulpit.client import AsyncClient, Event, Resumed, Retry, Snapshot
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer, ReadyProcess
from tests.acceptance.setups import Kind, Setup
from tests.services.http import Answer, FeedServer

FEED = Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo"
PULPIT = [sys.executable, "-c", "import sys, pulpit.cli; sys.exit(pulpit.cli.main())"]
_SECONDS = 60.0


#: The embedded engine over PostgreSQL differs from the others in nothing that who follows can see.
_FOLLOWED = pytest.mark.parametrize("own_setup", [Kind.SQLITE, Kind.DISTRIBUTED], indirect=True)


@pytest.fixture
def house(own_setup: Setup, tmp_path: Path) -> Iterator[House]:
    """Yield a server that runs two tasks at a time, with a client and a feed."""
    with (
        own_setup.server(tmp_path / "data", "[tasks]\nworkers: 2\n", door=False) as server,
        FeedServer(FEED) as feed,
        server.client() as client,
    ):
        yield House(server=server, client=client, feed=feed)


@contextlib.contextmanager
def command(house: House, *arguments: str, **environ: str) -> Iterator[ReadyProcess]:
    """Yield a command that runs; its standard error is among its lines."""
    known = {**house.server.environ(), **environ}
    process = ReadyProcess([*PULPIT, *arguments], environ=known)
    try:
        yield process
    finally:
        process.kill()


def awaited(process: ReadyProcess, *marks: str) -> None:
    """Block until each of the marks stands in a line."""

    def there(lines: Sequence[str]) -> bool:
        text = "".join(lines)
        return all(mark in text for mark in marks)

    assert process.wait_for(there, seconds=_SECONDS), (marks, process.lines())


def two_syncs(house: House, gate: threading.Event) -> tuple[str, str]:
    """Return one task that runs until the gate opens, and one that waits for it."""
    house.feed.answer("*-primary.xml.gz", Answer(gate=gate))
    house.create("held")
    (first,), (second,) = (house.client.sync("held").spawned for _ in range(2))
    return first, second


def restart(server: PulpitServer) -> None:
    """Kill the server, as a crash would, and start it again."""
    server.kill()
    server.start()


@_FOLLOWED
def test_waiting_survives_a_kill(house: House) -> None:
    """The lost task is canceled, the other finishes, and the exit code says so."""
    gate = threading.Event()
    first, second = two_syncs(house, gate)
    with command(house, "task", "wait", first, second) as waiting:
        awaited(waiting, f"running, task {first}", f"waiting, task {second}")
        restart(house.server)
        awaited(waiting, "Connection lost", "Connected again", "■ sync of held canceled")
        gate.set()
        assert waiting.process.wait(_SECONDS) == ExitCode.TASK_CANCELED
        awaited(waiting, "✓ sync of held finished")


@pytest.mark.parametrize("own_setup", [Kind.SQLITE], indirect=True)
def test_a_time_limit_ends_the_wait_and_not_the_task(house: House) -> None:
    """Also while the server is away, for which it waits no longer than it was told."""
    gate = threading.Event()
    first, second = two_syncs(house, gate)
    with command(house, "task", "wait", first, second, "--timeout", "4") as waiting:
        awaited(waiting, f"running, task {first}")
        house.server.kill()
        assert waiting.process.wait(_SECONDS) == ExitCode.TIMED_OUT
        awaited(waiting, "2 tasks have not ended after 4 s", f"task wait {first} {second}")
    house.server.start()
    gate.set()
    with command(house, "task", "wait", second) as again:
        assert again.process.wait(_SECONDS) == ExitCode.OK


class Terminal:
    """A command in a terminal of 80 columns, read as it writes."""

    def __init__(self, house: House, *arguments: str) -> None:
        self._text = ""
        self._changed = threading.Condition()
        environ = {**house.server.environ(), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.execvpe(PULPIT[0], [*PULPIT, *arguments], environ)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def awaited(self, *marks: str) -> None:
        """Block until each of the marks was written."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: all(mark in self._text for mark in marks), _SECONDS
            )
            assert there, (marks, self._text[-2000:])

    def close(self) -> None:
        """End the command and the terminal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        self._reader.join(10)
        os.close(self._file)

    def _read(self) -> None:
        # a terminal whose program has ended can't be read
        with contextlib.suppress(OSError):
            while received := os.read(self._file, 4096):
                with self._changed:
                    self._text += received.decode(errors="replace")
                    self._changed.notify_all()


@_FOLLOWED
def test_watching_survives_a_kill(house: House) -> None:
    """On a terminal and through a pipe: nothing is lost, nothing comes twice."""
    gate = threading.Event()
    first, second = two_syncs(house, gate)
    start = house.client.head()
    with (
        command(house, "watch", "--json", "--since", "0") as lines,
        contextlib.closing(Terminal(house, "watch")) as screen,
    ):
        # it was there before the watcher was
        screen.awaited("running", first, "1 running, 1 waiting")
        awaited(lines, f'"subject":"{second}"')
        restart(house.server)
        screen.awaited("Connection lost", "Connected again", "canceled")
        gate.set()
        screen.awaited("finished")
        awaited(lines, '"state":"finished"')
        told = [json.loads(line) for line in lines.lines() if line.startswith("{")]
    assert start > 0
    numbers = [int(event["sequence"]) for event in told]
    assert numbers == sorted(set(numbers))
    assert states(told) == {
        first: ["waiting", "running", "canceled"],
        second: ["waiting", "running", "finished"],
    }
    assert_nothing_missing([(e["subject"], e["pulpitprevious"], e["pulpitrevision"]) for e in told])


def states(told: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the states that each task went through."""
    found = defaultdict(list)
    for event in told:
        if event["pulpitkind"] == "status":
            found[event["subject"]].append(event["data"]["state"])
    return dict(found)


def assert_nothing_missing(revisions: list[tuple[str, int, int]]) -> None:
    """Check that each event goes on where the one before of its task ends, or earlier.

    After a resume, the server tells what may have been folded before.
    """
    last: dict[str, int] = defaultdict(int)
    for task_id, previous, revision in revisions:
        assert previous <= last[task_id] < revision, revisions
        last[task_id] = revision


@_FOLLOWED
def test_an_event_loop_follows_through_a_kill(house: House) -> None:
    """The async client begins with a snapshot, and misses nothing after it."""
    gate = threading.Event()
    first, second = two_syncs(house, gate)
    notices: list[Retry | Resumed] = []
    events: list[Event] = []

    async def follow() -> Snapshot:
        snapshot: Snapshot | None = None
        server = house.server
        async with AsyncClient(server.url, auth=(server.user, server.password)) as client:
            stream = client.follow(
                repository="held", on_retry=notices.append, on_resume=notices.append
            )
            async for item in stream:
                if isinstance(item, Snapshot):
                    snapshot = item
                    # its event tells that the stream is open
                    await asyncio.to_thread(house.client.sync, "held")
                elif isinstance(item, Event):
                    events.append(item)
                    if len(events) == 1:
                        # not in a thread that ends: the server would be killed with it
                        restart(server)
                        gate.set()
                    if item.task_id == second and item.state == "finished":
                        break
        assert snapshot is not None
        return snapshot

    snapshot = asyncio.run(asyncio.wait_for(follow(), _SECONDS))
    assert {task.report.task_id for task in snapshot.tasks} == {first, second}
    assert isinstance(notices[0], Retry)
    assert isinstance(notices[-1], Resumed)
    known = defaultdict(int, {told.report.task_id: told.revision for told in snapshot.tasks})
    for event in events:
        assert event.task_id is not None
        assert event.previous <= known[event.task_id] < event.revision
        known[event.task_id] = event.revision
    assert house.client.task(first).state == "canceled"
