"""Where the process of a task begins; light, since the server imports it too."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from pulpit.config import Settings
from pulpit.domain.tasks import Task
from pulpit.engine.child import Reporter
from pulpit.storage.files import FolderFileStore

__all__ = ["clean_up", "run_task"]


def run_task(task: Task, reporter: Reporter, settings: Settings) -> tuple[Any, Mapping[str, Any]]:
    """Run the body of *task* in this process; return its result and effects."""
    # the fork server has it, the server does not
    from pulpit.app.child import run  # noqa: PLC0415

    return run(task, reporter, settings)


def clean_up(task: Task, settings: Settings, files: FolderFileStore) -> None:
    """Delete what the process of a task that is gone has left half-written."""
    shutil.rmtree(settings.work_folder / task.id, ignore_errors=True)
    files.remove_temporary_of(task.id)
