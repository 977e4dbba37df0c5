"""Tasks over REST: reading, searching, canceling and purging them."""

from __future__ import annotations

from typing import Any

import pytest

from pulpit.domain.outcomes import Failed, Finished, Lost, Progress
from pulpit.domain.tasks import Task
from pulpit.services.tasks import new_task
from tests.api_site import API, Site, assert_error


def _submit(site: Site, *tags: str, resources: tuple[str, ...] = ()) -> Task:
    return site.tasks.submit(
        new_task(
            now=site.clock(),
            task_type="pulp.test",
            operation="test",
            arguments={},
            tags=tags,
            resources=resources,
        ),
    )


def _in_each_state(site: Site) -> dict[str, str]:
    """Hand in tasks and bring them into every state; return state to id."""
    tasks = {name: _submit(site, f"is:{name}") for name in ("finished", "error", "canceled")}
    tasks["running"] = _submit(site, "is:running")
    claimed = {task.id: task for task in site.lifecycle.claim("here", 4)}
    site.record(claimed[tasks["finished"].id], Finished(result=[1]))
    site.record(claimed[tasks["error"].id], Failed(error={"code": "X", "description": "broke"}))
    site.tasks.cancel(tasks["canceled"].id)
    tasks["waiting"] = _submit(site, "is:waiting")
    return {state: task.id for state, task in tasks.items()}


def _ids(site: Site, path: str, **options: Any) -> list[str]:
    answer = site.ask("POST" if "json" in options else "GET", path, **options)
    assert answer.status_code == 200, answer.json()
    return [report["task_id"] for report in answer.json()]


def test_the_report_is_that_of_the_contract(site: Site) -> None:
    """Every key of a report, at each step of a task's life."""
    task = _submit(site, "pulp:repository:zoo", "pulp:action:sync")
    waiting = site.ask("GET", f"tasks/{task.id}/").json()
    oid = waiting["_id"]["$oid"]
    assert len(oid) == 24
    expected: dict[str, Any] = {
        "_href": f"{API}/tasks/{task.id}/",
        "_id": {"$oid": oid},
        "id": oid,
        "_ns": "task_status",
        "task_id": task.id,
        "task_type": "pulp.test",
        "state": "waiting",
        "tags": ["pulp:repository:zoo", "pulp:action:sync"],
        "worker_name": None,
        "queue": None,
        "group_id": None,
        "start_time": None,
        "finish_time": None,
        "progress_report": {},
        "result": None,
        "error": None,
        "exception": None,
        "traceback": None,
        "spawned_tasks": [],
    }
    assert waiting == expected
    (claimed,) = site.lifecycle.claim("here", 1)
    site.record(claimed, Progress(report={"step": {"state": "IN_PROGRESS"}}))
    running = site.ask("GET", f"tasks/{task.id}/").json()
    expected |= {
        "state": "running",
        "worker_name": "here",
        "queue": "here.dq",
        "start_time": "2026-01-01T00:00:00Z",
        "progress_report": {"step": {"state": "IN_PROGRESS"}},
    }
    assert running == expected
    site.clock.advance(seconds=1.9)
    site.record(claimed, Finished(result={"a": 1}, report={"step": {"state": "FINISHED"}}))
    expected |= {
        "state": "finished",
        "finish_time": "2026-01-01T00:00:01Z",
        "progress_report": {"step": {"state": "FINISHED"}},
        "result": {"a": 1},
    }
    assert site.ask("GET", f"tasks/{task.id}/").json() == expected


def test_a_failed_task_tells_why(site: Site) -> None:
    """Its error is the one of its body, or says how its process ended."""
    failed, lost = _submit(site), _submit(site)
    claimed = site.lifecycle.claim("here", 2)
    error = {"code": "RPM1005", "description": "no feed", "data": {}, "sub_errors": []}
    site.record(claimed[0], Failed(error=error, traceback="Traceback: …"))
    site.record(claimed[1], Lost(reason="killed by signal 9"))
    report = site.ask("GET", f"tasks/{failed.id}/").json()
    assert (report["state"], report["error"]) == ("error", error)
    assert (report["exception"], report["traceback"]) == (None, "Traceback: …")
    report = site.ask("GET", f"tasks/{lost.id}/").json()
    assert (report["state"], report["error"]["code"]) == ("error", "PLP0049")
    assert "killed by signal 9" in report["error"]["description"]


@pytest.mark.parametrize(
    "task_id", ["none", "0", "00000000-0000-0000-0000-000000000000", "%F0%9F%A6%81"]
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_task_is_404(site: Site, method: str, task_id: str) -> None:
    """The body names it."""
    body = assert_error(site.ask(method, f"tasks/{task_id}/"), 404, "PLP0009")
    assert list(body["resources"]) == ["task_id"]  # type: ignore[call-overload]


def test_tasks_are_listed_by_all_of_their_tags(site: Site) -> None:
    """Each tag that is named must be there, in whatever number and order."""
    ab, a, none = _submit(site, "a", "b"), _submit(site, "a"), _submit(site)
    for query, found in {
        "": [ab, a, none],
        "?tag=a": [ab, a],
        "?tag=b&tag=a": [ab],
        "?tag=a&tag=a": [ab, a],
        "?tag=a&tag=c": [],
        "?tag=": [],
        "?tag=%FF&tag=%00": [],
        "?state=waiting&limit=1": [ab, a, none],
    }.items():
        assert _ids(site, f"tasks/{query}") == [task.id for task in found], query


def test_tasks_are_searched(site: Site) -> None:
    """Criteria select by anything that a report holds."""
    ids = _in_each_state(site)
    for filters, states in [
        ({"state": "running"}, ["running"]),
        ({"state": {"$in": ["waiting", "accepted"]}}, ["waiting"]),
        ({"tags": "is:error"}, ["error"]),
        ({"tags": {"$in": ["is:error", "is:waiting"]}}, ["error", "waiting"]),
        ({"task_id": ids["canceled"]}, ["canceled"]),
        ({"error.code": "X"}, ["error"]),
        ({"start_time": None}, ["waiting"]),
        ({"finish_time": {"$gte": {"$date": "2025-12-31T00:00:00Z"}}, "state": "error"}, ["error"]),
        ({"task_type": {"$regex": "^pulp"}, "worker_name": {"$exists": False}}, ["waiting"]),
        ({"state": "no such state"}, []),
    ]:
        found = _ids(site, "tasks/search/", json={"criteria": {"filters": filters}})
        assert found == [ids[state] for state in states], filters
    criteria = {"sort": [["state", "descending"]], "limit": 2, "fields": ["state", "task_id"]}
    assert site.ask("POST", "tasks/search/", json={"criteria": criteria}).json() == [
        {"state": state, "task_id": ids[state]} for state in ("waiting", "running")
    ]
    assert _ids(site, "tasks/search/?state=error&state=running") == [ids["error"], ids["running"]]


def test_cancel_ends_what_waits(site: Site) -> None:
    """A task that waits is canceled at once, and lets go of what it wanted."""
    first = _submit(site, resources=("repository:zoo",))
    second = _submit(site, resources=("repository:zoo",))
    answer = site.ask("DELETE", f"tasks/{first.id}/")
    assert (answer.status_code, answer.content) == (200, b"null")
    report = site.ask("GET", f"tasks/{first.id}/").json()
    assert (report["state"], report["finish_time"]) == ("canceled", "2026-01-01T00:00:00Z")
    assert report["start_time"] is None
    assert [task.id for task in site.lifecycle.claim("here", 9)] == [second.id]
    assert site.engine.canceled == []


def test_cancel_ends_what_runs(site: Site) -> None:
    """The engine is told; what the task says later changes nothing; its place is kept till then."""
    task = _submit(site, resources=("repository:zoo",))
    second = _submit(site, resources=("repository:zoo",))
    (claimed,) = site.lifecycle.claim("here", 9)
    site.record(claimed, Progress(report={"a": {"state": "IN_PROGRESS"}}))
    assert site.ask("DELETE", f"tasks/{task.id}/").content == b"null"
    assert site.engine.canceled == [task.id]
    canceled = site.ask("GET", f"tasks/{task.id}/").json()
    assert canceled["state"] == "canceled"
    assert canceled["progress_report"] == {"a": {"state": "CANCELLED"}}
    assert site.lifecycle.claim("here", 9) == []
    site.record(claimed, Progress(report={"late": 1}))
    site.record(claimed, Finished(result="late"))
    assert site.ask("GET", f"tasks/{task.id}/").json() == canceled
    assert [one.id for one in site.lifecycle.claim("here", 9)] == [second.id]


def test_cancel_leaves_what_is_complete(site: Site) -> None:
    """A second cancel, or one that comes too late, is no error and changes nothing."""
    ids = _in_each_state(site)
    for state in ("finished", "error", "canceled"):
        before = site.ask("GET", f"tasks/{ids[state]}/").json()
        answer = site.ask("DELETE", f"tasks/{ids[state]}/")
        assert (answer.status_code, answer.content) == (200, b"null")
        assert site.ask("GET", f"tasks/{ids[state]}/").json() == before
    assert site.engine.canceled == [ids["canceled"]]


@pytest.mark.parametrize(
    ("query", "gone"),
    [
        ("state=finished", {"finished"}),
        ("state=error", {"error"}),
        ("state=skipped", set()),
        ("state=finished&state=error", {"finished", "error"}),
        ("state=finished&state=finished", {"finished"}),
    ],
)
def test_purge_deletes_complete_tasks(site: Site, query: str, gone: set[str]) -> None:
    """The answer is an empty 204; tasks in other states stay."""
    ids = _in_each_state(site)
    answer = site.ask("DELETE", f"tasks/?{query}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(_ids(site, "tasks/")) == {ids[state] for state in ids.keys() - gone}
    assert site.ask("DELETE", f"tasks/?{query}").status_code == 204


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 403, "PLP1012"),
        ("?tag=a", 403, "PLP1012"),
        ("?state=canceled", 400, "PLP1011"),
        ("?state=running", 400, "PLP1011"),
        ("?state=waiting", 400, "PLP1011"),
        ("?state=finished&state=running", 400, "PLP1011"),
        ("?state=nonsense", 400, "PLP0015"),
        ("?state=", 400, "PLP0015"),
        ("?state=FINISHED", 400, "PLP0015"),
        ("?state=%FF", 400, "PLP0015"),
    ],
)
def test_bad_purges_delete_nothing(site: Site, query: str, status: int, code: str) -> None:
    """Without states, or with one that can't be purged, no task goes."""
    ids = _in_each_state(site)
    assert_error(site.ask("DELETE", f"tasks/{query}"), status, code)
    assert len(_ids(site, "tasks/")) == len(ids)


def test_results_of_any_json_come_back(site: Site) -> None:
    """What a body returns is what its report shows."""
    result = {"a": [None, True, 1.5, "ü\n", {"b": 2**60}], "": {}}
    task = _submit(site)
    (claimed,) = site.lifecycle.claim("here", 1)
    site.record(claimed, Finished(result=result))
    assert site.ask("GET", f"tasks/{task.id}/").json()["result"] == result
