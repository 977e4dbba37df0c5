"""Engines on a database, with the bodies of ``tests.integration.bodies``."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog

from pulpit.domain.clock import utc_now
from pulpit.domain.events import Event
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.workers import CANCEL_CHANNEL, new_worker
from pulpit.engine.child import ChildLimits
from pulpit.engine.distributed import DistributedEngine
from pulpit.engine.embedded import EmbeddedEngine
from pulpit.engine.supervisor import Bodies
from pulpit.engine.worker import WorkerEngine
from pulpit.ports import Engine, Transaction
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, new_task
from pulpit.services.workers import Reaper, Workers
from pulpit.storage.database import SqlStorage
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.postgresql_connections import connection_values
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from tests.integration.bodies import run_body
from tests.services import PATIENCE

__all__ = ["Bench", "EmbeddedBench", "Kind", "Runner", "WorkerBench", "bodies", "make_worker"]

#: Seconds between looks for jobs that nobody announced: so long that a test can't pass by them.
NEVER = 3600.0


class Kind(StrEnum):
    """Which engine on which database."""

    EMBEDDED_SQLITE = "embedded-sqlite"
    EMBEDDED_POSTGRESQL = "embedded-postgresql"
    DISTRIBUTED = "distributed"


class Runner(Protocol):
    """Who runs tasks here."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def figures(self) -> dict[str, int]: ...


def bodies(cleaned: list[str] | None = None) -> Bodies:
    """Return how the bodies of the tests are run."""
    gone = [] if cleaned is None else cleaned
    return Bodies(
        entry=run_body,
        surroundings=None,
        limits=ChildLimits(
            memory=2 << 30, cpu_seconds=60, progress_burst=1_000, progress_per_second=0
        ),
        preload=["tests.integration.bodies"],
        clean_up=lambda task: gone.append(task.id),
    )


class Bench:
    """A database with users of it, and what one does with it.

    Args:
        storage: of the current schema; closed in the end.
        engine: who is told of tasks.
    """

    #: Who runs the tasks here.
    engine: Runner

    def __init__(self, storage: SqlStorage, engine: Engine) -> None:
        self.storage = storage
        self.cleaned: list[str] = []
        self.tasks = Tasks(storage, clock=utc_now, engine=engine)

    def submit(self, operation: str, *resources: str, **arguments: Any) -> Task:
        """Hand in a task."""
        return self.tasks.submit(
            new_task(
                now=utc_now(),
                task_type=f"tests.{operation}",
                operation=operation,
                arguments=arguments,
                tags=[f"pulp:action:{operation}"],
                resources=resources,
            ),
        )

    def wait(self, task: Task, *states: TaskState) -> Task:
        """Return the task once the journal tells that it is in one of the states."""
        wanted = set(states)
        deadline = time.monotonic() + PATIENCE
        position = 0
        while time.monotonic() < deadline:
            for event in self.storage.events.read(position, 1_000):
                position = event.sequence
                if event.task_id == task.id and event.state in wanted:
                    return self.tasks.get(task.id)
            self.storage.events.wait(position, deadline - time.monotonic())
        pytest.fail(f"{task.operation} is {self.tasks.get(task.id).state}, not {wanted}")

    def events(self, task: Task) -> list[Event]:
        """Return the journal of one task."""
        return [e for e in self.storage.events.read(0, 100_000) if e.task_id == task.id]

    def close(self) -> None:
        """Let go of the database."""
        self.storage.close()


class EmbeddedBench(Bench):
    """Tasks run in the process that hands them in."""

    def __init__(self, storage: SqlStorage, *, slots: int) -> None:
        super().__init__(storage, self)
        self.embedded = EmbeddedEngine(
            Lifecycle(storage, clock=utc_now, completions={}, offer=self.offer),
            worker_name="worker@test",
            slots=slots,
            bodies=bodies(self.cleaned),
            failed=lambda: pytest.fail("the engine failed"),
            log=structlog.get_logger(),
        )
        self.engine = self.embedded

    def offer(self, transaction: Transaction) -> None:
        """Tell the engine."""
        self.embedded.offer(transaction)

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        """Tell the engine."""
        self.embedded.cancel(transaction, task_id)


class WorkerBench(Bench):
    """Tasks are run by a worker that fetches them from the database.

    Args:
        url: of the database.
        slots: of the worker.
        timeout: seconds after which it counts as lost.
        storage: opens the database.
    """

    def __init__(
        self,
        url: str,
        *,
        slots: int,
        timeout: float = 30.0,
        storage: Callable[[str], PostgresStorage] = PostgresStorage,
    ) -> None:
        super().__init__(storage(url), DistributedEngine())
        self.worker = make_worker(
            self.storage,
            url,
            name="worker@test",
            slots=slots,
            timeout=timeout,
            cleaned=self.cleaned,
        )
        self.engine = self.worker
        self.workers = workers_of(self.storage)
        self.reaper = Reaper(self.storage, self.workers, timeout=timeout)


def workers_of(storage: SqlStorage) -> Workers:
    """Return the service of workers."""
    return Workers(storage, clock=utc_now, offer=DistributedEngine().offer)


def make_worker(
    storage: SqlStorage,
    url: str,
    *,
    name: str,
    slots: int,
    timeout: float = 30.0,
    polling: float = NEVER,
    cleaned: list[str] | None = None,
    failed: Callable[[], None] = lambda: pytest.fail("the worker failed"),
) -> WorkerEngine:
    """Return a worker, wired as ``pulpit worker`` wires it."""
    assert isinstance(storage, PostgresStorage)
    worker = WorkerEngine(
        Lifecycle(storage, clock=utc_now, completions={}, offer=DistributedEngine().offer),
        workers_of(storage),
        worker=new_worker(name, slots=slots, timeout=timeout, now=utc_now()),
        polling=polling,
        database=connection_values(url, idle_seconds=10.0),
        bodies=bodies(cleaned),
        failed=failed,
        log=structlog.get_logger(),
    )
    storage.notifications.subscribe(CANCEL_CHANNEL, worker.cancel)
    return worker


#: Makes a bench on the test's database; each call is another process, as it were.
MakeBench = Callable[..., Bench]


def make_bench(kind: Kind, folder: Path, url: Callable[[], str]) -> MakeBench:
    """Return what makes benches of one kind on one database.

    Args:
        kind: of the engine.
        folder: for a database that is a file.
        url: returns that of a PostgreSQL.
    """

    def make(*, slots: int = 2) -> Bench:
        match kind:
            case Kind.EMBEDDED_SQLITE:
                return EmbeddedBench(SqliteStorage(upgrade(folder)), slots=slots)
            case Kind.EMBEDDED_POSTGRESQL:
                return EmbeddedBench(PostgresStorage(url()), slots=slots)
            case Kind.DISTRIBUTED:
                return WorkerBench(url(), slots=slots)

    return make
