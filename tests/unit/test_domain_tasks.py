"""Tasks as values: their states, and what tells of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.clock import new_oid, parse_time, render_time
from pulpit.domain.tasks import (
    COMPLETE,
    INCOMPLETE,
    PURGEABLE,
    Task,
    TaskState,
    call_report,
    canceled_progress,
    task_report,
)

_NOW = datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC)


def _task() -> Task:
    return Task(id="t", oid="0" * 24, task_type="x", operation="x", created=_NOW)


def test_states_are_final_or_not() -> None:
    """The two sets part all states; canceled tasks are not purged by hand."""
    assert {str(state) for state in COMPLETE} == {"skipped", "finished", "error", "canceled"}
    assert {str(state) for state in INCOMPLETE} == {"waiting", "accepted", "running", "suspended"}
    assert {str(state) for state in PURGEABLE} == {"finished", "error", "skipped"}
    for state in TaskState:
        assert state.is_complete == (state in COMPLETE)


def test_a_task_goes_through_its_life() -> None:
    """Each step leaves the others as they were, and a new attempt counts."""
    waiting = _task()
    running = waiting.started(worker_name="w", now=_NOW)
    assert (running.state, running.attempt, running.start_time) == (TaskState.RUNNING, 1, _NOW)
    finished = running.progressed({"a": 1}).finished(result=2, spawned=["s"], now=_NOW)
    assert (finished.progress, finished.result, finished.spawned) == ({"a": 1}, 2, ("s",))
    assert task_report(finished)["error"] is None
    failed = running.failed(error={"code": "X"}, traceback="T", now=_NOW)
    assert (failed.state, failed.error, failed.finish_time) == (
        TaskState.ERROR,
        {"code": "X"},
        _NOW,
    )
    assert waiting == _task()


def test_cancel_marks_what_was_in_progress() -> None:
    """In importers' maps and distributors' lists; what was done or not begun stays."""
    report = {
        "yum_importer": {
            "metadata": {"state": "FINISHED"},
            "content": {"state": "IN_PROGRESS", "items_left": 3, "details": {"rpm_done": 1}},
            "errata": {"state": "NOT_STARTED"},
        },
        "yum": [
            {"step_type": "rpms", "state": "IN_PROGRESS", "sub_steps": [{"state": "IN_PROGRESS"}]},
        ],
        "text": "IN_PROGRESS",
    }
    assert canceled_progress(report) == {
        "yum_importer": {
            "metadata": {"state": "FINISHED"},
            "content": {"state": "CANCELLED", "items_left": 3, "details": {"rpm_done": 1}},
            "errata": {"state": "NOT_STARTED"},
        },
        "yum": [
            {"step_type": "rpms", "state": "CANCELLED", "sub_steps": [{"state": "CANCELLED"}]},
        ],
        "text": "IN_PROGRESS",
    }
    assert _task().canceled(now=_NOW).progress == {}


def test_a_call_report_names_its_tasks() -> None:
    """In order; without tasks it is empty."""
    assert call_report() == {"result": None, "error": None, "spawned_tasks": []}
    assert call_report("a", "b", result=1)["spawned_tasks"] == [
        {"_href": f"/pulp/api/v2/tasks/{task_id}/", "task_id": task_id} for task_id in ("a", "b")
    ]


def test_times_are_whole_seconds_in_utc() -> None:
    """Whatever their zone, they end in Z; what is left out is null."""
    assert render_time(_NOW) == "2026-01-02T03:04:05Z"
    assert render_time(_NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))) == (
        "2026-01-02T03:04:05Z"
    )
    assert render_time(None) is None


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001 - made aware below
def test_times_come_back(moment: datetime) -> None:
    """What is rendered is parsed again, apart from parts of a second."""
    aware = moment.replace(tzinfo=UTC)
    assert parse_time(render_time(aware) or "") == aware.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "x", "2026-13-01T00:00:00Z", "2026-01-01T25:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """A ValueError, nothing else."""
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)


def test_object_ids_sort_by_their_second() -> None:
    """24 hexadecimal digits, another one each time."""
    ids = [new_oid(_NOW + timedelta(seconds=seconds)) for seconds in range(5)]
    assert ids == sorted(ids)
    assert all(len(oid) == 24 and int(oid, 16) for oid in ids)
    assert new_oid(_NOW) != new_oid(_NOW)
