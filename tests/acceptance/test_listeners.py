"""Listeners of the real server, whose receiver misbehaves while the server is killed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pulpit.client import Client
from pulpit.domain.tasks import SYNC_TASK, TaskState
from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.acceptance.setups import Kind, Setup
from tests.services import PATIENCE, until
from tests.services.http import Answer, FeedServer
from tests.services.receiver import Arrival, Receiver

_SAMPLE = Path(__file__).parents[2] / "examples" / "feed" / "repo"
#: Attempts follow one another within seconds: 4 ms, 0.2 s, 1.3 s, 5 s, ...
_CONFIG = """\
[listeners]
allow_networks: 127.0.0.0/8
retry_hours: 0.02
timeout: 1
concurrency: 16
"""
_LISTENERS = ("all", "repositories", "tasks")
_EVENT_TYPES = {"all": ["*", "task.*"], "repositories": ["*"], "tasks": ["task.*"]}


def _listen(client: Client, receiver: Receiver) -> dict[str, str]:
    """Create the listeners; return name to id."""
    return {
        name: client.create_listener(
            {
                "notifier_type_id": "http",
                "notifier_config": {"url": f"{receiver.url}/{name}"},
                "event_types": _EVENT_TYPES[name],
            }
        ).id
        for name in _LISTENERS
    }


def _pending(server: PulpitServer) -> int:
    (row,) = server.rows("SELECT count(*) AS count FROM deliveries WHERE state = 'pending'")
    return int(row["count"])


def _is_told(server: PulpitServer) -> bool:
    """Tell whether all tasks have ended, all events are deliveries, and none is pending."""
    (left,) = server.rows(
        "SELECT count(*) AS tasks FROM tasks WHERE state IN ('waiting', 'running')"
    )
    if left["tasks"]:
        return False
    (head,) = server.rows("SELECT max(sequence) AS number FROM journal")
    (cursor,) = server.rows("SELECT sequence AS number FROM cursors WHERE name = 'listeners'")
    return bool(cursor["number"] >= head["number"]) and _pending(server) == 0


def _expected(server: PulpitServer, name: str) -> set[tuple[str, int]]:
    """Return (event type, number of the event) of all that a listener is to be told."""
    expected: set[tuple[str, int]] = set()
    begun: set[str] = set()
    rows = server.rows(
        "SELECT sequence, task_id, state, body FROM journal WHERE kind = 'status' ORDER BY sequence"
    )
    for row in rows:
        number, task_id, state = row["sequence"], row["task_id"], row["state"]
        body = json.loads(bytes(row["body"]))
        if name != "repositories":
            expected.add((f"task.{state}", number))
        if name == "tasks" or body["task_type"] != SYNC_TASK:
            continue
        if state == TaskState.RUNNING.value:
            begun.add(task_id)
            expected.add(("repo.sync.start", number))
        elif task_id in begun and TaskState(state).is_complete:
            expected.add(("repo.sync.finish", number))
    return expected


def _firsts(arrivals: Iterable[Arrival], name: str) -> list[str]:
    """Return the ids of what has arrived at a listener, by first arrival."""
    return list(dict.fromkeys(each.id for each in arrivals if each.path == f"/{name}"))


def _judge(server: PulpitServer, ids: dict[str, str], arrivals: Sequence[Arrival]) -> int:
    """Check that nothing is lost, made up, or out of order; return how many deliveries there are.

    Args:
        server: whose deliveries they are.
        ids: of the listeners, by name.
        arrivals: what its receiver has noted.
    """
    count = 0
    for name, listener_id in ids.items():
        rows: list[dict[str, Any]] = server.rows(
            "SELECT id, event_type, sequence, lane, state FROM deliveries "
            f"WHERE listener_id = '{listener_id}' ORDER BY number"
        )
        assert {row["state"] for row in rows} == {"delivered"}
        told = [(row["event_type"], row["sequence"]) for row in rows]
        assert len(told) == len(set(told))
        assert set(told) == _expected(server, name)
        firsts = _firsts(arrivals, name)
        assert set(firsts) == {row["id"] for row in rows}
        place = {id_: index for index, id_ in enumerate(firsts)}
        for lane in {row["lane"] for row in rows}:
            places = [place[row["id"]] for row in rows if row["lane"] == lane]
            assert places == sorted(places), lane
        count += len(rows)
    # a repeat is the same, byte for byte
    bodies: dict[str, bytes] = {}
    for each in arrivals:
        assert bodies.setdefault(each.id, each.body) == each.body
    return count


def _have_arrived(receiver: Receiver, count: int) -> bool:
    return len(receiver.arrivals) >= count


def _work(client: Client, repositories: int, rounds: int) -> None:
    """Have all repositories synced, again and again."""
    for _ in range(rounds):
        for number in range(repositories):
            client.sync(f"r{number}")


def _under_faults(
    setup: Setup, folder: Path, *, repositories: int, rounds: int, kills: int, seed: int
) -> int:
    """Kill the server while listeners are told; return how many deliveries arrived."""
    rng = random.Random(seed)
    with FeedServer(_SAMPLE) as feed, Receiver(seed=seed, ill=0.3) as receiver:
        # syncs that fail at once tell as much as others
        feed.answer("*", Answer(status=404))
        server = setup.server(folder / "data", _CONFIG, door=False)
        server.start()
        with server.client() as client:
            house = House(server=server, client=client, feed=feed)
            for number in range(repositories):
                house.create(f"r{number}")
            ids = _listen(client, receiver)
        for kill in range(kills):
            with server.client() as client:
                _work(client, repositories, rounds)
            wanted = len(receiver.arrivals) + 20
            until(partial(_have_arrived, receiver, wanted), "some arrive")
            if kill % 2:
                receiver.refuse()
            time.sleep(rng.uniform(0.1, 0.6))
            server.kill()
            if kill % 2:
                receiver.open()
            server.start()
        with server.client() as client:
            _work(client, repositories, rounds)
        receiver.behave()
        until(lambda: _is_told(server), "all is told", seconds=2 * PATIENCE)
        server.stop()
        return _judge(server, ids, receiver.arrivals)


@pytest.mark.parametrize("own_setup", [Kind.SQLITE], indirect=True)
def test_nothing_is_lost_or_out_of_order_whatever_receivers_do_and_however_often_it_is_killed(
    own_setup: Setup, tmp_path: Path
) -> None:
    count = _under_faults(own_setup, tmp_path, repositories=6, rounds=4, kills=4, seed=1)
    assert count >= 1_000


@pytest.mark.parametrize("own_setup", [Kind.POSTGRESQL], indirect=True)
def test_nothing_is_lost_or_out_of_order_over_postgresql(own_setup: Setup, tmp_path: Path) -> None:
    count = _under_faults(own_setup, tmp_path, repositories=4, rounds=2, kills=2, seed=2)
    assert count >= 200
