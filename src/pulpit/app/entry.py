"""Where the process of a task begins; light, since the server imports it too."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from typing import Any

from pulpit.app import CHILD
from pulpit.config import Settings
from pulpit.domain.tasks import Task
from pulpit.engine.child import ChildLimits, Reporter
from pulpit.engine.supervisor import Bodies
from pulpit.storage.files import FolderFileStore

__all__ = ["bodies", "run_task"]


def run_task(task: Task, reporter: Reporter, settings: Settings) -> tuple[Any, Mapping[str, Any]]:
    """Run the body of *task* in this process; return its result and effects."""
    # the fork server has it, the server does not
    from pulpit.app.child import run  # noqa: PLC0415

    return run(task, reporter, settings)


def bodies(settings: Settings, files: FolderFileStore) -> Bodies:
    """Return how the bodies of tasks are run."""
    return Bodies(
        entry=run_task,
        # where each value comes from is of no use there, and can't be pickled
        surroundings=dataclasses.replace(settings, origins={}),
        limits=ChildLimits(
            memory=settings.tasks.max_memory,
            cpu_seconds=settings.tasks.max_cpu,
            progress_burst=settings.events.progress_burst,
            progress_per_second=settings.events.progress_rate,
        ),
        preload=[CHILD],
        clean_up=lambda task: _clean_up(task, settings, files),
    )


def _clean_up(task: Task, settings: Settings, files: FolderFileStore) -> None:
    """Delete what the process of a task that is gone has left half-written."""
    shutil.rmtree(settings.work_folder / task.id, ignore_errors=True)
    files.remove_temporary_of(task.id)
