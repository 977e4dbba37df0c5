"""The snapshot over HTTP: pages of tasks, and the number of the journal that they belong to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from pulpit.api.events import EVENTS
from pulpit.api.snapshot import SNAPSHOT
from pulpit.domain.outcomes import Finished, Progress
from pulpit.domain.tasks import Task
from pulpit.services.snapshot import Snapshots, TaskFilter
from pulpit.services.tasks import new_task
from tests.api_site import Site, assert_error


def _submit(site: Site, *tags: str, resource: str | None = None) -> Task:
    """Hand in a task."""
    task = new_task(
        now=site.clock(),
        task_type="pulp.test",
        operation="test",
        arguments={},
        tags=tags,
        resources=[resource] if resource else [],
    )
    return site.tasks.submit(task)


def _ask(site: Site, query: str = "") -> dict[str, Any]:
    answer = site.ask("GET", SNAPSHOT + query)
    assert answer.status_code == 200, answer.json()
    assert answer.headers["cache-control"] == "no-store"
    page: dict[str, Any] = answer.json()
    assert set(page) == {"sequence", "tasks", "next"}
    return page


def _pages(site: Site, query: str) -> Iterator[dict[str, Any]]:
    """Yield all pages."""
    page = _ask(site, f"?{query}")
    yield page
    while page["next"]:
        page = _ask(site, f"?{query}&page={page['next']}")
        yield page


def _ids(page: dict[str, Any]) -> list[str]:
    return [told["task"]["task_id"] for told in page["tasks"]]


def test_an_empty_server_has_an_empty_snapshot(site: Site) -> None:
    """Number 0, from which all events can be read."""
    assert _ask(site) == {"sequence": 0, "tasks": [], "next": None}


def test_a_task_is_as_get_tells_it(site: Site) -> None:
    """The whole Task Report, its revision, and the number of the newest event."""
    task = _submit(site, "pulp:repository:zoo")
    site.lifecycle.claim("here", 1)
    page = _ask(site)
    assert page == {
        "sequence": 2,
        "tasks": [{"revision": 2, "task": site.ask("GET", f"tasks/{task.id}/").json()}],
        "next": None,
    }


def test_complete_tasks_are_asked_for(site: Site) -> None:
    """Without a state those that wait or run; the filters are those of the events."""
    ended, running = _submit(site, "a"), _submit(site, "a", "b")
    (first, _) = site.lifecycle.claim("here", 2)
    waiting = _submit(site, "pulp:repository:zoo", "b")
    assert first.id == ended.id
    site.record(first, Finished(result=None, effects={}))
    cases = {
        "": [running, waiting],
        "?state=finished": [ended],
        "?state=waiting&state=finished": [ended, waiting],
        "?state=canceled": [],
        f"?task={waiting.id}&task={ended.id}": [waiting],
        "?task=none": [],
        "?task=": [],
        "?tag=b": [running, waiting],
        "?tag=b&tag=a": [running],
        "?repository=zoo": [waiting],
        "?repository=zoo&tag=a": [],
    }
    for query, expected in cases.items():
        assert _ids(_ask(site, query)) == [task.id for task in expected], query


def test_pages_repeat_the_first_number(site: Site) -> None:
    """In order of submission, each task once, whatever happens between two pages."""
    tasks = [_submit(site) for _ in range(7)]
    sequences, found = [], []
    for page in _pages(site, "limit=3"):
        sequences.append(page["sequence"])
        found.append(_ids(page))
        site.clock.advance(seconds=1)
        site.lifecycle.claim("here", 1)
    ids = [task.id for task in tasks]
    assert found == [ids[:3], ids[3:6], ids[6:]]
    assert sequences == [7, 7, 7]


def test_a_full_last_page_has_no_next(site: Site) -> None:
    """There is a next page only if there is a next task."""
    for _ in range(4):
        _submit(site)
    assert [len(page["tasks"]) for page in _pages(site, "limit=2")] == [2, 2]
    assert [len(page["tasks"]) for page in _pages(site, "limit=99999")] == [4]


def test_a_page_of_large_tasks_is_shorter(site: Site) -> None:
    """A page ends once it is large, and the next one goes on."""
    tasks = [_submit(site) for _ in range(4)]
    for task in site.lifecycle.claim("here", 4):
        site.record(task, Progress(report={"filling": "x" * (5 << 20)}))
    found = [_ids(page) for page in _pages(site, "state=running")]
    assert found == [[task.id for task in tasks[:2]], [task.id for task in tasks[2:]]]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("?limit=0", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?state=none", "state"),
        ("?state=", "state"),
        ("?repository=a&repository=b", "repository"),
        ("?page=", "page"),
        ("?page=x", "page"),
        ("?page=%00", "page"),
        ("?page=%C3%BC", "page"),
        ("?page=" + "A" * 43, "page"),
        ("?page=" + "A" * 60_000, "page"),
        ("?page=A&page=A", "page"),
    ],
)
def test_bad_queries_are_400(site: Site, query: str, name: str) -> None:
    """What is not understood is refused, by name."""
    answer = site.ask("GET", SNAPSHOT + query)
    assert assert_error(answer, 400, "PLP0015")["property_names"] == [name]


def test_a_snapshot_needs_credentials(site: Site) -> None:
    """Nobody reads tasks without them; HEAD answers as GET does."""
    assert_error(site.ask("GET", SNAPSHOT, auth=None), 401, "PLP0025")
    answer = site.ask("HEAD", SNAPSHOT)
    assert (answer.status_code, answer.content) == (200, b"")
    assert site.ask("POST", SNAPSHOT).status_code == 405


def test_a_token_of_other_filters_is_refused(site: Site) -> None:
    """The pages of a snapshot have one filter; a restart does not matter."""
    for _ in range(3):
        _submit(site, "a")
    token = _ask(site, "?limit=1&tag=a")["next"]
    for query in ("", "&tag=b", "&tag=a&tag=b", "&tag=a&state=running", "&tag=a&task=x"):
        answer = site.ask("GET", f"{SNAPSHOT}?page={token}{query}")
        assert assert_error(answer, 400, "PLP0015")["property_names"] == ["page"]
    again = Snapshots(site.storage).page(TaskFilter(tags=frozenset({"a"})), limit=1, token=token)
    assert (again.sequence, len(again.tasks)) == (3, 1)


def _work(site: Site, seed: int, started: Barrier) -> None:
    """Hand in tasks, run them, and end or leave them, in an order of the seed's own."""
    chance = random.Random(seed)
    started.wait()
    for _ in range(25):
        _submit(site, "a")
        for task in site.lifecycle.claim(f"worker {seed}", 1):
            for step in range(chance.randrange(4)):
                site.record(task, Progress(report={"step": {"number": step}}))
            if chance.random() < 0.8:
                site.record(task, Finished(result=None, effects={}))


def _picture(site: Site, limit: int) -> tuple[int, dict[str, tuple[int, Any]]]:
    """Return a snapshot's number, and its tasks with their revisions."""
    pages = list(_pages(site, f"limit={limit}"))
    told = [task for page in pages for task in page["tasks"]]
    (sequence,) = {page["sequence"] for page in pages}
    return sequence, {each["task"]["task_id"]: (each["revision"], each["task"]) for each in told}


def _catch_up(site: Site, since: int, tasks: dict[str, tuple[int, Any]]) -> None:
    """Bring a picture up to the journal's head by its events."""
    while True:
        page = site.ask("GET", f"{EVENTS}?since={since}&limit=1000").json()
        for event in page["events"]:
            known, _ = tasks.get(event["task_id"], (0, None))
            if event["revision"] > known:
                tasks[event["task_id"]] = event["revision"], event["body"]
        if page["next"] == since:
            return
        since = page["next"]


def test_a_snapshot_and_the_events_after_it_are_the_present(site: Site) -> None:
    """Taken while others write, at whatever pace, nothing is missing and nothing is newer."""
    started = Barrier(4)
    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(_work, site, seed, started) for seed in range(3)]
        started.wait()
        pictures: list[tuple[int, dict[str, tuple[int, Any]]]] = []
        while not all(job.done() for job in working):
            pictures.append(_picture(site, limit=1 + len(pictures) % 7))
        for job in working:
            job.result()
    assert len(pictures) > 2
    present = {task["task_id"]: task for task in site.ask("GET", "tasks/").json()}
    for sequence, tasks in pictures:
        _catch_up(site, sequence, tasks)
        for task_id, (_, report) in tasks.items():
            assert report == present[task_id]
        # those that had ended before are not asked for
        left = present.keys() - tasks.keys()
        assert all(present[task_id]["state"] == "finished" for task_id in left)
        assert len(left) <= sequence
