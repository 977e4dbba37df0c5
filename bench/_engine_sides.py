"""The engines that are measured: each with its workers, and a way to hand tasks in."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol
from uuid import uuid4

import procrastinate
from procrastinate.jobs import Job

from bench._empty_task import Ran, empty_task
from pulpit.domain.clock import utc_now
from pulpit.engine.distributed import DistributedEngine
from pulpit.services.tasks import Tasks
from pulpit.storage.postgresql import PostgresStorage
from tests.services.postgresql import PostgresServer

__all__ = ["DURABLE", "Notes", "Side", "embedded", "peer", "plain_children", "pulpit", "started"]

#: As PostgreSQL is without a configuration; the tests' servers are careless for speed.
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}
#: Seconds in which a task of those that are due begins, however busy the machine is.
_PATIENCE = 60.0


class Notes:
    """The file to which the bodies of one side write.

    Args:
        path: of the file, which is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._read = 0

    def wait(self, count: int) -> list[Ran]:
        """Return the next *count* runs, once they are there.

        Raises:
            RuntimeError: they do not come.
        """
        heard = time.monotonic()
        found: list[Ran] = []
        with self.path.open() as file:
            file.seek(self._read)
            while len(found) < count:
                if more := [Ran.of(line) for line in file.readlines()]:
                    found += more
                    heard = time.monotonic()
                elif time.monotonic() > heard + _PATIENCE:
                    raise RuntimeError(f"{count - len(found)} of {count} tasks did not run")
                time.sleep(0.02)
            self._read = file.tell()
        return found


class Side(Protocol):
    """One engine, its workers running."""

    notes: Notes
    #: All of its processes come from these, those of its database included.
    processes: Sequence[int]

    def submit(self, repositories: Sequence[str]) -> Sequence[str]:
        """Hand in an empty task for each, in one transaction; return their ids once committed."""


class _Process:
    """A process of the benchmark that says a line when it is ready, and answers orders."""

    def __init__(self, pid: int, stdin: IO[str], stdout: IO[str]) -> None:
        self.pid, self._stdin, self._stdout = pid, stdin, stdout

    def line(self) -> str:
        """Return what it says next."""
        line = self._stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended: see its errors above")
        return line.strip()

    def ask(self, order: str) -> str:
        """Give an order and return the answer."""
        self.tell(order)
        return self.line()

    def tell(self, order: str) -> None:
        """Give an order."""
        self._stdin.write(f"{order}\n")
        self._stdin.flush()


@contextmanager
def started(module: str, *arguments: object) -> Iterator[_Process]:
    """Run ``main`` of a module of the benchmark; it ends when its input does."""
    # a module run by -m would be imported again by each child
    code = f"from bench.{module} import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Process(process.pid, process.stdin, process.stdout)
        finally:
            process.stdin.close()


@contextmanager
def _workers(module: str, count: int, *arguments: object) -> Iterator[list[int]]:
    """Run *count* workers, and wait until all of them are ready; yield their processes."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(module, number, *arguments)) for number in range(count)
        ]
        for process in processes:
            process.line()
        yield [process.pid for process in processes]


class _Pulpit:
    """Ours, on PostgreSQL."""

    def __init__(self, storage: PostgresStorage, notes: Notes, processes: Sequence[int]) -> None:
        self._storage, self.notes, self.processes = storage, notes, processes
        self._tasks = Tasks(storage, clock=utc_now, engine=DistributedEngine())

    def submit(self, repositories: Sequence[str]) -> Sequence[str]:
        tasks = [empty_task(repository) for repository in repositories]
        with self._storage.write() as transaction:
            self._tasks.submit_in(transaction, tasks)
        return [task.id for task in tasks]


@contextmanager
def pulpit(server: PostgresServer, folder: Path, *, workers: int, slots: int) -> Iterator[Side]:
    """Run *workers* processes of ours on a new database."""
    notes, url = Notes(folder / "pulpit"), server.create_pulpit()
    with (
        PostgresStorage(url) as storage,
        _workers("_pulpit_worker", workers, url, slots, notes.path) as pids,
    ):
        yield _Pulpit(storage, notes, [*pids, server.pid, os.getpid()])


class _Peer:
    """Bare Procrastinate."""

    def __init__(self, app: procrastinate.App, notes: Notes, processes: Sequence[int]) -> None:
        self._app, self.notes, self.processes = app, notes, processes

    def submit(self, repositories: Sequence[str]) -> Sequence[str]:
        ids = [str(uuid4()) for _ in repositories]
        jobs: list[Job] = [
            self._app.configure_task("bench", lock=repository).job.evolve(
                task_kwargs={"task_id": task_id, "repo_id": repository}
            )
            for task_id, repository in zip(ids, repositories, strict=True)
        ]
        self._app.job_manager.batch_defer_jobs(jobs)
        return ids


@contextmanager
def peer(server: PostgresServer, folder: Path, *, workers: int, slots: int) -> Iterator[Side]:
    """Run *workers* processes of bare Procrastinate on a new database."""
    notes, url = Notes(folder / "procrastinate"), server.url(server.create_database())
    connector = procrastinate.SyncPsycopgConnector(conninfo=url)
    with procrastinate.App(connector=connector).open() as app:
        app.schema_manager.apply_schema()
        with _workers("_procrastinate_worker", workers, url, slots, notes.path) as pids:
            yield _Peer(app, notes, [*pids, server.pid, os.getpid()])


class _Embedded:
    """The embedded engine, in a process of its own."""

    def __init__(self, process: _Process, notes: Notes) -> None:
        self._process, self.notes = process, notes
        self.processes: Sequence[int] = [process.pid]

    def submit(self, repositories: Sequence[str]) -> Sequence[str]:
        return self._process.ask(" ".join(repositories)).split()


@contextmanager
def embedded(folder: Path, *, slots: int) -> Iterator[Side]:
    """Run the embedded engine on SQLite, with *slots* in its one process."""
    notes = Notes(folder / "embedded")
    with started("_embedded_worker", folder / "data", slots, notes.path) as process:
        process.line()
        yield _Embedded(process, notes)


def plain_children(folder: Path, *, count: int, slots: int) -> tuple[float, float]:
    """Return children a second at *slots* at a time, and the seconds from start to body of one."""
    notes = Notes(folder / "children")
    with started("_plain_children", slots, notes.path) as process:
        process.line()
        notes.wait(slots)
        began = time.monotonic()
        process.ask(f"{count} {slots}")
        many = count / (time.monotonic() - began)
        notes.wait(count)
        alone = count // 10
        starts = map(float, process.ask(f"{alone} 1").split())
        runs = notes.wait(alone)
    one = statistics.median(run.began - start for run, start in zip(runs, starts, strict=True))
    return many, one
