"""What the body of a task has around it, without an engine that runs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from pulpit.config import Settings
from pulpit.domain.tasks import Task, TaskState
from pulpit.ports import Transaction
from pulpit.storage.files import FolderFileStore
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["OID", "START", "LooseContext"]

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OID = "0" * 24


@dataclass(kw_only=True)
class LooseContext:
    """A ``TaskContext`` but for its progress; its clock stands still until it is moved."""

    storage: SqliteStorage
    files: FolderFileStore
    settings: Settings = field(default_factory=Settings)
    now: datetime = START
    #: Called before each writing transaction.
    before_write: Callable[[], None] | None = None

    @property
    def task(self) -> Task:
        """A task that runs."""
        return Task(
            id=str(uuid4()),
            oid=OID,
            task_type="test",
            operation="test",
            state=TaskState.RUNNING,
            created=self.now,
        )

    def clock(self) -> datetime:
        """Return the time."""
        return self.now

    def write(self) -> AbstractContextManager[Transaction]:
        if self.before_write:
            self.before_write()
        return self.storage.write_beside()
