"""What the stores in memory hold, at one moment."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import uuid4

from pulpit.domain.deliveries import Delivery
from pulpit.domain.events import Event
from pulpit.domain.listeners import Listener
from pulpit.domain.messages import Message
from pulpit.domain.permissions import Grant
from pulpit.domain.repo_groups import RepoGroup
from pulpit.domain.repositories import Distributor, Importer, Publication, Repository
from pulpit.domain.roles import Role
from pulpit.domain.schedules import Schedule
from pulpit.domain.tasks import Task
from pulpit.domain.tokens import Token
from pulpit.domain.units import Unit, UnitFile
from pulpit.domain.uploads import Upload
from pulpit.domain.users import User
from pulpit.domain.workers import Worker

__all__ = ["Job", "State"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job of the distributed engine."""

    #: The task's number.
    task: int
    #: True once whoever took it is gone.
    is_lost: bool = False


@dataclass(slots=True, kw_only=True)
class State:
    """Tables, as it were: each a dict of values that never change."""

    #: Number to task, in order of submission.
    tasks: dict[int, Task] = field(default_factory=dict)
    last_task: int = 0
    #: (resource, number of the task).
    reservations: set[tuple[str, int]] = field(default_factory=set)

    #: Number to job.
    jobs: dict[int, Job] = field(default_factory=dict)
    last_job: int = 0
    #: Number of a task to that of its job.
    jobs_of_tasks: dict[int, int] = field(default_factory=dict)
    #: Tasks whose processes all workers were told to end.
    cancels: list[str] = field(default_factory=list)
    workers: dict[str, Worker] = field(default_factory=dict)

    #: The journal's own name, which makes event ids unique.
    journal_id: str = field(default_factory=lambda: str(uuid4()))
    journal: dict[int, Event] = field(default_factory=dict)
    last_event: int = 0
    #: The highest number of a status change that retention deleted.
    floor: int = 0
    cursors: dict[str, int] = field(default_factory=dict)
    #: Name of a lease to its holder and end.
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    repositories: dict[str, Repository] = field(default_factory=dict)
    importers: dict[str, Importer] = field(default_factory=dict)
    #: By (repository, distributor).
    distributors: dict[tuple[str, str], Distributor] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)

    units: dict[int, Unit] = field(default_factory=dict)
    last_unit: int = 0
    #: (type, digest of the key) to unit.
    unit_ids: dict[tuple[str, bytes], int] = field(default_factory=dict)
    #: (repository, unit).
    associations: set[tuple[str, int]] = field(default_factory=set)
    #: (repository, unit) to when it was associated.
    associated: dict[tuple[str, int], datetime] = field(default_factory=dict)
    #: (unit, repository) to URL.
    sources: dict[tuple[int, str], str] = field(default_factory=dict)
    #: SHA-256 to size.
    artifacts: dict[str, int] = field(default_factory=dict)
    #: (unit, path of one of its files) to that file.
    unit_files: dict[tuple[int, str], UnitFile] = field(default_factory=dict)
    #: Unit to how often its chunks were replaced.
    revisions: dict[int, int] = field(default_factory=dict)
    #: (unit, path of one of its files, or nothing) to (owner, end of the lease).
    downloads: dict[tuple[int, str], tuple[str, datetime]] = field(default_factory=dict)

    publications: dict[int, Publication] = field(default_factory=dict)
    last_publication: int = 0
    #: (publication, path) to unit, or None for a generated file.
    files: dict[tuple[int, str], int | None] = field(default_factory=dict)

    listeners: dict[str, Listener] = field(default_factory=dict)
    #: Number to message.
    messages: dict[int, Message] = field(default_factory=dict)
    last_message: int = 0
    #: Number to delivery.
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    last_delivery: int = 0

    uploads: dict[str, Upload] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    repo_groups: dict[str, RepoGroup] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    #: By (resource, login).
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    #: Names the present state of users, roles, grants and tokens.
    access_revision: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    def copied(self) -> Self:
        """Return a state that can be changed without changing this one."""
        return dataclasses.replace(
            self, **{item.name: copy.copy(getattr(self, item.name)) for item in _FIELDS}
        )

    def restore(self, earlier: Self) -> None:
        """Become what *earlier*, a copy, is."""
        for item in _FIELDS:
            setattr(self, item.name, getattr(earlier, item.name))


_FIELDS = dataclasses.fields(State)
