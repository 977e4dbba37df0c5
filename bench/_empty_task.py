"""A task that does nothing but note that it ran: what is measured is all around it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from pulpit.app import CHILD
from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import Task
from pulpit.engine.child import ChildLimits, Reporter, run_child
from pulpit.engine.supervisor import Bodies
from pulpit.services.tasks import repository_task

__all__ = ["LIMITS", "Ran", "bodies", "empty_task", "note", "start_child"]

#: As a server without configuration has them.
LIMITS = ChildLimits(
    memory=2 << 30, cpu_seconds=14_400, progress_burst=1_000, progress_per_second=50.0
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run of a body; times are those of the machine's monotonic clock, in seconds."""

    task_id: str
    repository: str
    began: float
    ended: float

    @classmethod
    def of(cls, line: str) -> Ran:
        """Return what a line of the notes tells."""
        task_id, repository, began, ended = line.split()
        return cls(task_id=task_id, repository=repository, began=float(began), ended=float(ended))


def bodies(notes: str) -> Bodies:
    """Return how an engine of ours runs such tasks."""
    return Bodies(
        entry=note,
        surroundings=notes,
        limits=LIMITS,
        preload=[CHILD, __name__],
        clean_up=lambda _task: None,
    )


def start_child(context: Any, task: Task, notes: str) -> tuple[BaseProcess, Connection]:
    """Start the process of a task without an engine.

    Args:
        context: the fork server's.
        task: which.
        notes: the file.

    Returns the process and the reading end of its pipe.
    """
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(
        target=run_child,
        args=(note, notes, task, LIMITS, writing),
        kwargs={"lease": None},
        daemon=True,
    )
    process.start()
    writing.close()
    return process, reading


def note(task: Task, _reporter: Reporter, notes: str) -> tuple[Any, Mapping[str, Any]]:
    """Be the body of the task: add a line to the file *notes*."""
    began = time.monotonic()
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND)
    line = f"{task.id} {task.arguments['repo_id']} {began!r} {time.monotonic()!r}\n"
    # appended in one piece, whoever else does
    os.write(descriptor, line.encode())
    os.close(descriptor)
    return None, {}


def empty_task(repo_id: str, *, task_id: str | None = None) -> Task:
    """Return a task that waits for its repository, with an id of its own if none is given."""
    task = repository_task(
        repo_id, now=utc_now(), task_type="bench", operation="bench", tags=["pulp:action:sync"]
    )
    return task if task_id is None else replace(task, id=task_id)
