"""Schedules: when a repository is synced or published without anybody asking for it each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pulpit.domain.clock import render_time
from pulpit.domain.intervals import Interval
from pulpit.domain.repositories import REPOSITORIES_HREF, masked

__all__ = ["Schedule", "ScheduleKind", "Scheduled", "schedule_document"]


class ScheduleKind(StrEnum):
    """What a schedule has done."""

    SYNC = "sync"
    PUBLISH = "publish"


#: What Pulp 2 called the tasks of schedules, and what they are schedules of.
_TASKS = {
    ScheduleKind.SYNC: "pulp.server.tasks.repository.sync_with_auto_publish",
    ScheduleKind.PUBLISH: "pulp.server.tasks.repository.publish",
}
_PLUGINS = {ScheduleKind.SYNC: "importer", ScheduleKind.PUBLISH: "distributor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """What a schedule is for: an importer's sync, or a distributor's publish."""

    kind: ScheduleKind
    repo_id: str
    #: The importer's type, or the distributor's id.
    plugin_id: str

    @property
    def href(self) -> str:
        """The path of all its schedules."""
        plugin = f"{_PLUGINS[self.kind]}s/{self.plugin_id}"
        return f"{REPOSITORIES_HREF}{self.repo_id}/{plugin}/schedules/{self.kind}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule, at one moment."""

    #: 24 hexadecimal digits.
    id: str
    of: Scheduled
    #: The interval of ISO 8601 as the user sent it.
    text: str
    enabled: bool = True
    #: It is disabled after so many failures in a row; None for never.
    failure_threshold: int | None = None
    consecutive_failures: int = 0
    #: The plugin's configuration for these tasks, on top of its own.
    override: Mapping[str, Any] = field(default_factory=dict)
    first_run: datetime
    #: When it is due; None if it never is again.
    next_run: datetime | None
    last_run_at: datetime | None = None
    last_updated: datetime
    #: How many runs are left; None for no end.
    remaining_runs: int | None = None
    total_run_count: int = 0
    #: The task of its last run, which must have ended before there is another one.
    last_task_id: str | None = None

    @property
    def interval(self) -> Interval:
        """What the text says."""
        return Interval.parse(self.text)

    def timed(self, text: str, *, now: datetime) -> Self:
        """Return the schedule with other times; a first one that has passed is due now.

        Raises:
            ValueError: the text is no interval.
        """
        interval = Interval.parse(text)
        first = interval.start or now.replace(microsecond=0)
        due = interval.last_until(now, first=first) or first
        if self.last_run_at and self.last_run_at >= due:
            return dataclasses.replace(
                self,
                text=text,
                first_run=first,
                next_run=interval.next_after(now, first=first),
                remaining_runs=interval.repeats,
            )
        return dataclasses.replace(
            self, text=text, first_run=first, next_run=due, remaining_runs=interval.repeats
        )

    def run(self, task_id: str, *, now: datetime) -> Self:
        """Return the schedule after the run that was due; all that was missed is done by it."""
        left = None if self.remaining_runs is None else self.remaining_runs - 1
        return dataclasses.replace(
            self,
            last_task_id=task_id,
            last_run_at=now,
            last_updated=now,
            total_run_count=self.total_run_count + 1,
            remaining_runs=left,
            enabled=left != 0,
            next_run=None if left == 0 else self._next_after(now),
        )

    def realigned(self, *, now: datetime) -> Self:
        """Return the schedule with the next run that its times have after now."""
        return dataclasses.replace(self, next_run=self._next_after(now))

    def enable(self, *, now: datetime) -> Self:
        """Return the schedule enabled, as if it had never failed; what it missed stays undone."""
        if self.enabled:
            return dataclasses.replace(self, consecutive_failures=0)
        left = self.interval.repeats if self.remaining_runs == 0 else self.remaining_runs
        enabled = dataclasses.replace(
            self, enabled=True, consecutive_failures=0, remaining_runs=left
        )
        return enabled.realigned(now=now)

    def ended(self, *, failed: bool, now: datetime) -> Self:
        """Return the schedule after the end of one of its tasks."""
        failures = self.consecutive_failures + 1 if failed else 0
        threshold = self.failure_threshold
        return dataclasses.replace(
            self,
            consecutive_failures=failures,
            enabled=self.enabled and (threshold is None or failures < threshold),
            last_updated=now,
        )

    def _next_after(self, now: datetime) -> datetime | None:
        return self.interval.next_after(now, first=self.first_run)


def schedule_document(schedule: Schedule) -> dict[str, Any]:
    """Return the document of a schedule, as Pulp 2 had it."""
    of = schedule.of
    publish = of.kind is ScheduleKind.PUBLISH
    return {
        "_id": schedule.id,
        "_href": f"{of.href}{schedule.id}/",
        "schedule": schedule.text,
        "enabled": schedule.enabled,
        "failure_threshold": schedule.failure_threshold,
        "consecutive_failures": schedule.consecutive_failures,
        "first_run": render_time(schedule.first_run),
        "next_run": render_time(schedule.next_run),
        "last_run_at": render_time(schedule.last_run_at),
        # the one time that Pulp 2 told in seconds since 1970
        "last_updated": schedule.last_updated.timestamp(),
        "remaining_runs": schedule.remaining_runs,
        "total_run_count": schedule.total_run_count,
        "args": [of.repo_id, of.plugin_id] if publish else [of.repo_id],
        "kwargs": {"overrides": masked(schedule.override)},
        "resource": f"pulp:{_PLUGINS[of.kind]}:{of.repo_id}:{of.plugin_id}",
        "task": _TASKS[of.kind],
    }
