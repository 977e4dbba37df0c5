"""The flat report of isos: told in stages by events, canceled as Pulp 2 had it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from pulpit.cli.stages import StageState, stages
from pulpit.content.iso.progress import IsoProgress
from pulpit.domain.events import EventKind, task_event
from pulpit.domain.file_progress import staged
from pulpit.domain.tasks import Task, TaskState
from tests.schemas import assert_told

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class _FailedError(Exception):
    """What the sync failed with."""


class _Tale:
    """Keeps the reports of a sync."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.progress = IsoProgress(self.tell, clock=lambda: NOW, importer_id="iso_importer")

    def tell(self, report: dict[str, Any], *, boundary: bool = False) -> None:
        del boundary
        self.told.append(json.loads(json.dumps(report)))

    def run(self, *, failing: str | None = None) -> None:
        """Go through a sync of two files, which may fail in one of its stages."""
        with suppress(_FailedError):
            self._run(failing)

    def _run(self, failing: str | None) -> None:
        with self.progress.manifest():
            if failing == "manifest":
                raise _FailedError("no manifest")
        with self.progress.isos():
            self.progress.expect(count=2, size=30)
            self.progress.received(10)
            self.progress.finished()
            if failing == "isos":
                self.progress.failed("b", "Not Found")
                raise _FailedError("no file")
            self.progress.received(20)
            self.progress.finished()


def _task(report: dict[str, Any]) -> Task:
    return Task(
        id="5d1f5a52-6a5c-4f0e-8f3a-2f1f6a2f9c11",
        oid="0" * 24,
        task_type="sync",
        operation="sync",
        created=NOW,
        state=TaskState.RUNNING,
        progress=report,
    )


def test_every_report_is_told_in_stages() -> None:
    """Whatever a sync tells, events tell as stages, as their schema promises."""
    for failing in (None, "manifest", "isos"):
        tale = _Tale()
        tale.run(failing=failing)
        assert tale.told
        for report in tale.told:
            body = json.loads(task_event(_task(report), EventKind.STATUS, now=NOW).body)
            assert_told("pulpit.task.status.v1", body)
            found = body["progress_report"]["iso_importer"]
            assert found.keys() == {"manifest", "isos"}


@pytest.mark.parametrize(
    ("failing", "manifest", "isos"),
    [
        (None, StageState.FINISHED, StageState.FINISHED),
        ("manifest", StageState.FAILED, StageState.NOT_STARTED),
        ("isos", StageState.FINISHED, StageState.FAILED),
    ],
)
def test_the_command_line_shows_the_stages(
    failing: str | None, manifest: StageState, isos: StageState
) -> None:
    """Both forms are shown alike, with what is done and what failed."""
    tale = _Tale()
    tale.run(failing=failing)
    flat = tale.told[-1]
    assert stages(flat) == stages(staged(flat))
    first, second = stages(flat)
    assert (first.state, second.state) == (manifest, isos)
    if failing is None:
        assert (second.done, second.total, second.bytes_done) == (2, 2, 30)
    if failing == "isos":
        assert (second.failures, second.problem) == (1, "no file")


def test_a_canceled_sync() -> None:
    """What was in progress is cancelled, in Pulp 2's word for it and in stages."""
    tale = _Tale()
    tale.run()
    reports = {report["iso_importer"]["state"]: report for report in tale.told}
    for state, expected in (
        ("manifest_in_progress", ("CANCELLED", "NOT_STARTED")),
        ("isos_in_progress", ("FINISHED", "CANCELLED")),
    ):
        canceled = _task(reports[state]).canceled(now=NOW).progress
        assert canceled["iso_importer"]["state"] == "cancelled"
        found = staged(canceled)["iso_importer"]
        assert (found["manifest"]["state"], found["isos"]["state"]) == expected


def test_reports_of_stages_stay_as_they_are() -> None:
    """Yum reports and steps of a publish are nothing that is changed."""
    report = {"yum_importer": {"content": {"state": "FINISHED"}}, "d": [{"state": "FINISHED"}]}
    assert staged(report) == report
