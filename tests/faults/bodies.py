"""When bodies of tasks ran: the marks that they write, and what follows from them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pulpit.domain.tasks import Task
from tests.faults.verdict import Verdict

__all__ = ["Body", "judge_bodies", "marking", "read_bodies"]

#: Seconds between two marks of a body that runs.
_BEAT = 0.02


@dataclass(frozen=True, kw_only=True)
class Body:
    """One run of a task's body."""

    task: str
    attempt: int
    pid: int
    #: What nobody else may touch meanwhile.
    resources: frozenset[str]
    #: First and last mark, in seconds since the machine was started.
    begin: float
    last: float

    def __str__(self) -> str:
        return f"attempt {self.attempt} of task {self.task} in process {self.pid}"


@contextmanager
def marking(path: Path, task: Task) -> Iterator[None]:
    """Write a mark to the file at once, from time to time, and in the end.

    A body that is killed writes none any longer, and one that is frozen none until it goes on:
    from its first mark to its last one it was there.
    """
    known = {"task": task.id, "attempt": task.attempt, "pid": os.getpid()}
    with path.open("ab", buffering=0) as file:
        over = threading.Event()

        def mark(**more: object) -> None:
            """Write one line, which is whole whoever else writes."""
            at = time.clock_gettime(time.CLOCK_BOOTTIME)
            file.write(json.dumps({**known, "at": at, **more}).encode() + b"\n")

        def beat() -> None:
            """Write marks until the body is over."""
            while not over.wait(_BEAT):
                mark()

        mark(resources=sorted(task.resources))
        os.fsync(file.fileno())
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            mark()
            os.fsync(file.fileno())


def read_bodies(path: Path) -> list[Body]:
    """Return every run of a body that the marks in the file tell of; none if there is no file."""
    if not path.exists():
        return []
    marks = defaultdict(list)
    for line in path.read_bytes().splitlines():
        mark = json.loads(line)
        marks[mark["task"], mark["attempt"], mark["pid"]].append(mark)
    return [
        Body(
            task=task,
            attempt=attempt,
            pid=pid,
            resources=frozenset(found[0]["resources"]),
            begin=found[0]["at"],
            last=max(mark["at"] for mark in found),
        )
        for (task, attempt, pid), found in marks.items()
    ]


def judge_bodies(bodies: Sequence[Body], verdict: Verdict) -> None:
    """Judge when bodies ran.

    overlapped: two that share a resource, one of which was still there when the other had begun.
    ran_twice: a task whose body began more than once.
    """
    runs = defaultdict(list)
    for body in bodies:
        runs[body.task].append(body)
    for task, found in runs.items():
        for body in found[1:]:
            verdict.add("ran_twice", f"task {task} ran as {found[0]}, and again as {body}")
    for one, other in combinations(sorted(bodies, key=lambda body: body.begin), 2):
        if one.resources & other.resources and other.begin <= one.last:
            shared = ", ".join(sorted(one.resources & other.resources))
            verdict.add(
                "overlapped",
                f"{one} was there for {one.last - other.begin:.3f} s after the begin of {other}, "
                f"which shares {shared}",
            )
