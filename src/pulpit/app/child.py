"""What a task's process builds around the body that it runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

# what importers and distributors import when they work, so that the fork server has it
import pulpit.content.iso.sync
import pulpit.content.rpm.copy
import pulpit.content.rpm.publish
import pulpit.content.rpm.sync
import pulpit.content.rpm.uploads  # noqa: F401
from pulpit.app.content import content_types
from pulpit.app.opening import task_storage
from pulpit.config import Settings
from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import Task
from pulpit.engine.child import Reporter
from pulpit.errors import PulpitError
from pulpit.ports import Clock, Transaction
from pulpit.services.operations import BODIES
from pulpit.storage.files import FolderFileStore

__all__ = ["run"]


class _Context:
    """Implements ``pulpit.ports.TaskContext``."""

    def __init__(self, task: Task, reporter: Reporter, settings: Settings) -> None:
        self.task = task
        self.settings = settings
        self.clock: Clock = utc_now
        self.storage = task_storage(settings)
        self.files = FolderFileStore(settings.storage.data, owner=task.id)
        self._reporter = reporter

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        with self.storage.write_beside() as transaction:
            transaction.tasks.fence(self.task.id, self.task.attempt)
            yield transaction

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        self._reporter.progress(report, boundary=boundary)


def run(task: Task, reporter: Reporter, settings: Settings) -> tuple[Any, Mapping[str, Any]]:
    """Run the body of *task* in this process; return its result and effects.

    Raises:
        PulpitError: what the body raises, or that no body is known by the operation's name.
    """
    if task.operation not in BODIES:
        raise PulpitError(f"No body is known for tasks of operation {task.operation!r}.")
    folder = settings.work_folder / task.id
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)
    return BODIES[task.operation](_Context(task, reporter, settings), content_types())
