"""Marks of bodies: what they say of when each ran."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import Task
from tests.faults.bodies import judge_bodies, marking, read_bodies
from tests.faults.verdict import Verdict
from tests.services import until


def _task(task_id: str) -> Task:
    return Task(
        id=task_id,
        oid="0" * 24,
        task_type="a.b.sync",
        operation="sync",
        resources=("repository:zoo",),
        created=utc_now(),
        attempt=1,
    )


def test_no_body_ran(tmp_path: Path) -> None:
    """Without a mark there is nothing to judge."""
    assert read_bodies(tmp_path / "marks") == []


def test_body_is_marked_from_its_begin_to_its_end(tmp_path: Path) -> None:
    """The first and the last mark are those of the block."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with marking(tmp_path / "marks", _task("a")):
        until(lambda: (tmp_path / "marks").read_bytes().count(b"\n") > 2)
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    (body,) = read_bodies(tmp_path / "marks")
    assert before <= body.begin < body.last <= after
    assert (body.task, body.attempt, body.pid) == ("a", 1, os.getpid())
    assert body.resources == {"repository:zoo"}


def test_one_body_within_another(tmp_path: Path) -> None:
    """Marks are enough to find what must not be."""
    verdict = Verdict()
    with marking(tmp_path / "marks", _task("a")), marking(tmp_path / "marks", _task("b")):
        pass
    judge_bodies(read_bodies(tmp_path / "marks"), verdict)
    assert len(verdict.found["overlapped"]) == 1
    assert "repository:zoo" in verdict.found["overlapped"][0]
    assert not verdict.found["ran_twice"]
