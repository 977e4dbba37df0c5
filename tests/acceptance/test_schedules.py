"""Schedules of a real server: it syncs and publishes by itself, and once, whatever ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulpit.client import Client, Event, Scheduled, ScheduleKind, TaskReport
from pulpit.domain.events import EventKind
from tests.acceptance.server import PulpitServer
from tests.acceptance.zoo import ALL, create
from tests.services import until

_SYNC = Scheduled(kind=ScheduleKind.SYNC, repo_id="zoo", plugin_id="yum_importer")
_PUBLISH = Scheduled(kind=ScheduleKind.PUBLISH, repo_id="zoo", plugin_id="web")


def _ended(client: Client, action: str, count: int) -> Sequence[TaskReport]:
    """Return so many tasks, once they have ended."""

    def look() -> Sequence[TaskReport] | None:
        found = client.tasks(tags=[f"pulp:action:{action}"])
        return found if sum(task.state.is_complete for task in found) >= count else None

    found: Sequence[TaskReport] = until(look, f"{count} of {action} have ended")
    return found


def _kept(client: Client, of: Scheduled, schedule: Mapping[str, Any]) -> Mapping[str, Any]:
    return client.schedule(of, schedule["_id"])


def test_a_schedule_outlives_its_server(tmp_path: Path) -> None:
    """It runs at once, not again after a kill before its time, and again when that has come."""
    with PulpitServer(tmp_path / "data", door=False) as server:
        create(server)
        with server.client() as client:
            hourly = client.create_schedule(_SYNC, {"schedule": "PT1H", "failure_threshold": 2})
            (synced,) = _ended(client, "sync", 1)
            assert synced.state == "finished"
            ran = until(
                lambda: (kept := _kept(client, _SYNC, hourly))["last_run_at"] and kept,
                "the schedule has run",
            )
        server.kill()
        server.start()
        with server.client() as client:
            twice = client.create_schedule(_PUBLISH, {"schedule": "R2/PT1S"})
            published = _ended(client, "publish", 2)
            assert [task.state for task in published] == ["finished", "finished"]
            # as those of requests do, its tasks tell events
            assert _told(client, published[0].task_id) == ALL
            over = _kept(client, _PUBLISH, twice)
            assert (over["enabled"], over["remaining_runs"], over["next_run"]) == (False, 0, None)
            assert over["total_run_count"] == 2
            assert _kept(client, _SYNC, hourly) == ran
            assert len(client.tasks(tags=["pulp:action:sync"])) == ran["total_run_count"] == 1


def _told(client: Client, task_id: str) -> Sequence[str]:
    """Return what was told of a task's states."""
    told = []
    for event in client.events(since=0, task=task_id, kind=EventKind.STATUS):
        assert isinstance(event, Event)
        told.append(str(event.state))
        if event.state is not None and event.state.is_complete:
            break
    return told
