"""What one of each thing costs on this machine: what ``bench.scale`` reckons with.

Each is measured alone. Wall time is what counts for the turn, which one writer holds at a time, and
processor time for all that can be spread over machines.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from bench import door, stream
from bench._amqp import attached
from bench._empty_task import empty_task
from bench._engine_sides import DURABLE, plain_children
from bench._processor import processor_seconds
from bench._tasks import quiet
from pulpit.domain.clock import utc_now
from pulpit.domain.outcomes import Finished, Progress, Update
from pulpit.domain.tasks import Task
from pulpit.domain.workers import new_worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks
from pulpit.services.workers import Workers
from pulpit.storage.postgresql import PostgresStorage
from tests.services.postgresql import PostgresServer, lent_postgresql
from tests.services.rabbitmq import RabbitMQ

__all__ = ["GROUPS", "Plane", "measure_costs", "measure_turn"]

_Result = TypeVar("_Result")

#: Updates in one transaction.
GROUPS = (1, 2, 5, 10, 20, 50, 100, 200)
_FILL = 860
_PATIENCE = 120.0


class Plane:
    """Tasks that run, and what their worker writes of them; on a database of its own.

    Args:
        storage: of the database.
        count: of tasks that run.
        name: of the worker.
    """

    def __init__(self, storage: PostgresStorage, *, count: int, name: str = "bench") -> None:
        offer = DistributedEngine().offer
        self._tasks = Tasks(storage, clock=utc_now, engine=DistributedEngine())
        self._lifecycle = Lifecycle(storage, clock=utc_now, completions={}, offer=offer)
        self._worker = new_worker(name, slots=count, timeout=3_600, now=utc_now())
        self.count = count
        Workers(storage, clock=utc_now, offer=offer).register(self._worker)
        self._number = 0
        self._running = self.begin([self.submit() for _ in range(count)])

    def submit(self) -> Task:
        """Hand in a task of a repository of its own."""
        self._number += 1
        return self._tasks.submit(empty_task(f"{self._worker.name}-{self._number}"))

    def begin(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Let tasks run."""
        return self._lifecycle.begin(self._worker, [task.id for task in tasks])

    def end(self, tasks: Sequence[Task]) -> None:
        """Let tasks end."""
        news = Finished(result=None, report=None, effects={})
        self._lifecycle.record([_update(task, news) for task in tasks])

    def progress(self, count: int) -> None:
        """Write progress of *count* tasks in one transaction, bodies of about 1.5 KB."""
        report = {"bench": {"now": time.monotonic(), "fill": "x" * _FILL}}
        self._lifecycle.record(
            [_update(task, Progress(report=report)) for task in self._running[:count]]
        )


def _update(task: Task, news: Progress | Finished) -> Update:
    return Update(task_id=task.id, attempt=task.attempt, news=news)


def measure_costs(*, quick: bool) -> dict[str, float]:
    """Return all unit costs: milliseconds, or bytes, as the end of each name says."""
    with TemporaryDirectory(prefix="bench-scale-") as name:
        folder = Path(name)
        costs: dict[str, float] = {}
        with lent_postgresql(settings=DURABLE) as server:
            costs |= measure_turn(server, rounds=60 if quick else 200)
            costs |= _of_publisher(server, folder, count=2_000 if quick else 20_000)
        _, one = plain_children(folder, count=100 if quick else 500, slots=1)
        costs["child_start_ms"] = one * 1000
    of_stream, of_door = stream.measure(quick).figures, door.measure(quick).figures
    # 20 events a second to 900 readers
    costs["sse_ms"] = of_stream["alone_cpu_share"] * 1000 / (20 * 900)
    costs["door_ms"] = 1000 / of_door["door_50_per_s"]
    return costs


def measure_turn(server: PostgresServer, *, rounds: int) -> dict[str, float]:
    """Return what transactions take, by the clock and of processors, and what they leave."""
    costs: dict[str, float] = {}
    with PostgresStorage(server.create_pulpit()) as storage:
        plane = Plane(storage, count=max(GROUPS))
        for group in GROUPS:
            spent = _spent(server)
            times = [_timed(partial(plane.progress, group)) for _ in range(rounds)]
            costs |= _both(f"turn_{group}", times)
            costs[f"turn_{group}_cpu_ms"] = (_spent(server) - spent) * 1000 / rounds
        submitted = [_timed(plane.submit) for _ in range(rounds)]
        begun = [_timed(partial(plane.begin, [task])) for _, task in submitted]
        ended = [_timed(partial(plane.end, tasks)) for _, tasks in begun]
        for name, all_times in (("submit", submitted), ("begin", begun), ("end", ended)):
            costs |= _both(name, all_times)
        costs |= _bytes(storage, plane, rounds)
    return costs


def _both(name: str, times: Sequence[tuple[float, object]]) -> dict[str, float]:
    """Return what it takes undisturbed, and what it took on average."""
    values = [taken for taken, _ in times]
    return {
        # a tenth of the rounds was quicker: whoever else uses the machine has slowed down the rest
        f"{name}_ms": statistics.quantiles(values, n=10)[0],
        f"{name}_mean_ms": statistics.mean(values),
    }


def _bytes(storage: PostgresStorage, plane: Plane, rounds: int) -> dict[str, float]:
    """Return the bytes that a progress event and a task leave in tables and in the WAL."""
    before, wal = _sizes(storage)
    for _ in range(rounds):
        plane.progress(max(GROUPS))
    after, wal_after = _sizes(storage)
    events = rounds * max(GROUPS)
    costs = {
        "progress_bytes": (after - before) / events,
        "progress_wal_bytes": (wal_after - wal) / events,
    }
    count = rounds * 5
    before, wal = _sizes(storage)
    for _ in range(count):
        plane.end(plane.begin([plane.submit()]))
    after, wal_after = _sizes(storage)
    return costs | {
        "task_bytes": (after - before) / count,
        "task_wal_bytes": (wal_after - wal) / count,
    }


def _sizes(storage: PostgresStorage) -> tuple[float, float]:
    """Return the bytes of the database, and those ever written to the WAL."""
    with storage.read() as transaction:
        row = transaction.connection.exec_driver_sql(
            "SELECT pg_database_size(current_database()),"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
        ).one()
    return float(row[0]), float(row[1])


def _of_publisher(server: PostgresServer, folder: Path, *, count: int) -> dict[str, float]:
    """Return what reading, packing and publishing an event takes, here and in the broker."""
    broker = RabbitMQ(folder / "rabbitmq")
    broker.start()
    try:
        with PostgresStorage(server.create_pulpit()) as storage:
            plane = Plane(storage, count=max(GROUPS))
            head = storage.events.head()
            while storage.events.head() < head + count:
                plane.progress(max(GROUPS))
            storage.cursors.save(CURSOR, head)
            return _drained(storage, broker, server, storage.events.head() - head)
    finally:
        broker.stop()


def _drained(
    storage: PostgresStorage, broker: RabbitMQ, server: PostgresServer, count: int
) -> dict[str, float]:
    """Publish what the journal holds past the cursor."""
    publisher = Publisher(
        PublisherSettings(urls=broker.url, window=500, fold_above=None),
        source=storage.events,
        cursors=storage.cursors,
        event_source_uri="http://localhost/",
        log=quiet(),
    )
    with attached(broker.port, count) as consumer:
        own, theirs = time.process_time(), processor_seconds([server.pid])
        began = time.monotonic()
        publisher.start()
        while publisher.status().confirmed < count:
            if time.monotonic() > began + _PATIENCE:
                raise RuntimeError("the journal does not drain")
            time.sleep(0.005)
        taken = time.monotonic() - began
        own, theirs = time.process_time() - own, processor_seconds([server.pid]) - theirs
        consumer.arrivals()
        publisher.stop()
    return {
        "publish_ms": taken * 1000 / count,
        "publish_cpu_ms": own * 1000 / count,
        "publish_database_cpu_ms": theirs * 1000 / count,
    }


def _spent(server: PostgresServer) -> float:
    """Return the processor seconds of this process and of the database."""
    return processor_seconds([os.getpid(), server.pid])


def _timed(act: Callable[[], _Result]) -> tuple[float, _Result]:
    """Return the milliseconds that it takes, and what it returns."""
    began = time.perf_counter()
    result = act()
    return (time.perf_counter() - began) * 1000, result
