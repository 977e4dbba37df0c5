"""PostgreSQL that is restarted or crashes under load: nothing is lost, and all goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pulpit.domain.tasks import TaskState
from pulpit.errors import DatabaseUnavailable
from pulpit.storage.postgresql import PostgresStorage
from tests.api_site import Site
from tests.contract.databases import append, new_event
from tests.integration.engines import Kind, make_bench
from tests.services import PATIENCE, until
from tests.services.postgresql import PostgresServer

#: Events that are committed before the end, and after it, at the least.
_EVENTS = 60

End = Callable[[PostgresServer], None]


@pytest.fixture(params=["stop", "kill"])
def end(request: pytest.FixtureRequest) -> End:
    """Return what ends the server: in good order, or as a crash would."""
    return PostgresServer.stop if request.param == "stop" else PostgresServer.kill


@pytest.fixture
def server(postgresql: PostgresServer) -> Iterator[PostgresServer]:
    """Yield the server, which runs again in the end."""
    yield postgresql
    postgresql.start()


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """Yield a database whose server may be ended."""
    made = server.create_pulpit()
    yield made
    server.start()
    server.drop_database(made)


def _write(storage: PostgresStorage, task_id: str, enough: threading.Event) -> list[int]:
    """Commit events, each again until that is known to have worked; return their numbers."""
    numbers: list[int] = []
    while not enough.is_set():
        event = new_event(task_id=task_id, revision=len(numbers) + 1)
        with contextlib.suppress(DatabaseUnavailable):
            numbers += append(storage, event)
    return numbers


def _follow(storage: PostgresStorage, ended: threading.Event) -> list[int]:
    """Return the numbers that a reader sees, up to the head once all is written."""
    seen: list[int] = []
    while True:
        over, position = ended.is_set(), seen[-1] if seen else 0
        storage.events.wait(position, 0.1)
        with contextlib.suppress(DatabaseUnavailable):
            found = storage.events.read(position, 7)
            seen += [event.sequence for event in found]
            if over and not found:
                return seen


def test_no_commit_is_lost_and_no_number_skipped(
    server: PostgresServer, url: str, end: End
) -> None:
    """Writers go on where they were, and a reader of another process sees all, in order."""
    enough, ended = threading.Event(), threading.Event()
    with (
        PostgresStorage(url) as one,
        PostgresStorage(url) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        writers = [pool.submit(_write, at, name, enough) for at, name in ((one, "a"), (other, "b"))]
        following = pool.submit(_follow, other, ended)
        until(lambda: one.events.head() > _EVENTS, "some are written before")
        end(server)
        assert not one.answers()
        with pytest.raises(DatabaseUnavailable):
            append(one, new_event())
        before = one.events.head()
        server.start()
        until(lambda: one.events.head() > before + _EVENTS, "and as many afterwards")
        enough.set()
        confirmed = [number for done in writers for number in done.result(PATIENCE)]
        ended.set()
        seen = following.result(PATIENCE)
        assert seen == [event.sequence for event in one.events.read(0, 100_000)]
        assert set(confirmed) <= set(seen)
        assert len(set(confirmed)) == len(confirmed)
        # by a notification again: a look would come after five seconds
        number = append(one, new_event())[-1]
        assert other.events.wait(number - 1, 4.0)


@pytest.mark.parametrize("kind", [Kind.EMBEDDED_POSTGRESQL, Kind.DISTRIBUTED])
def test_the_engine_goes_on(
    server: PostgresServer, url: str, end: End, kind: Kind, tmp_path: Path
) -> None:
    """A task that runs ends in its own time, and those that wait run."""
    bench = make_bench(kind, tmp_path, lambda: url)(slots=1)
    bench.engine.start()
    gate = tmp_path / "gate"
    running = bench.submit("await_file", file=str(gate))
    bench.wait(running, TaskState.RUNNING)
    waiting = bench.submit("count", times=3)
    end(server)
    gate.touch()
    with pytest.raises(DatabaseUnavailable):
        bench.submit("count", times=1)
    server.start()
    until(bench.storage.answers, "the database is back")
    bench.wait(running, TaskState.FINISHED)
    bench.wait(waiting, TaskState.FINISHED)
    for task in (running, waiting):
        revisions = [event.revision for event in bench.events(task)]
        assert revisions == list(range(1, len(revisions) + 1))
    bench.engine.stop()
    bench.close()


def test_requests_are_told_to_come_again(
    server: PostgresServer, url: str, end: End, tmp_path: Path
) -> None:
    """While the database is away, all that needs it answers 503 in the one error format."""
    with Site(PostgresStorage(url), tmp_path) as site:
        assert site.ask("POST", "repositories/", json={"id": "zoo"}).status_code == 201
        end(server)
        for method, path in (
            ("GET", "repositories/zoo/"),
            ("POST", "repositories/zoo/actions/publish/"),
            ("GET", "/pulp/repos/zoo/"),
            ("GET", "/pulpit/v1/events/?since=0"),
            ("GET", "/pulpit/v1/snapshot/"),
        ):
            answer = site.ask(method, path, json={})
            document = answer.json()
            assert answer.status_code == document["http_status"] == 503, path
            assert answer.headers["retry-after"] == "5"
            assert document["error"]["code"] == "PLP0011"
            # it may name a host, and nobody has logged in
            assert str(server.port) not in answer.text
        assert site.ask("GET", "status/").status_code == 200
        server.start()
        assert site.ask("GET", "repositories/zoo/").json()["id"] == "zoo"
