"""A task that does nothing but tell its progress, run by the real engine on a real journal."""

from __future__ import annotations

import gc
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Any

import msgspec
import structlog

from bench._amqp import pace
from pulpit.domain.clock import utc_now
from pulpit.domain.events import Event, EventKind
from pulpit.domain.tasks import Task
from pulpit.engine.child import ChildLimits, Reporter
from pulpit.engine.embedded import EmbeddedEngine
from pulpit.engine.supervisor import Bodies
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, new_task
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["Told", "World", "quiet", "world"]

_PATIENCE = 120.0
#: Processor speeds and caches settle during the first calls.
_WARM_UP = 50


@dataclass(frozen=True, kw_only=True)
class Told:
    """One run of the task."""

    #: Microseconds that each progress call took the task.
    call_us: list[float]
    #: Its progress events, in order.
    events: list[Event]
    #: Monotonic second of each progress call, in order.
    called: list[float]
    #: Monotonic second at which each of these events was committed.
    committed: list[float]

    @property
    def commit_ms(self) -> list[float]:
        """Milliseconds from the call to the commit, event by event."""
        return [
            (end - begin) * 1000 for begin, end in zip(self.called, self.committed, strict=True)
        ][_WARM_UP:]


def tell(task: Task, reporter: Reporter, _surroundings: Any) -> tuple[Any, Mapping[str, Any]]:
    """Be the body of the task: tell *count* progress reports, evenly or as fast as it goes."""
    arguments = task.arguments
    count, per_second = arguments["count"], arguments["per_second"]
    fill = "x" * arguments["fill"]
    calls = []
    for number in pace(count, per_second) if per_second else range(count):
        report = {"bench": {"number": number, "called": time.monotonic(), "fill": fill}}
        began = time.perf_counter_ns()
        reporter.progress(report)
        calls.append((time.perf_counter_ns() - began) / 1000)
    return {"call_us": calls}, {}


def quiet() -> Any:
    """Return a logger that logs nothing."""
    return structlog.wrap_logger(None, processors=[_drop])


def _drop(_logger: Any, _name: str, _event: Any) -> str:
    """Log nothing."""
    raise structlog.DropEvent


class World:
    """Storage, services and engine, as the server wires them; made by ``world``."""

    def __init__(self, storage: SqliteStorage) -> None:
        self.storage = storage
        # set when all is told, and when nothing more will be
        self._ended = Flag()
        lifecycle = Lifecycle(storage, clock=utc_now, completions={}, offer=lambda _: None)
        self.engine = EmbeddedEngine(
            lifecycle,
            worker_name="bench@localhost",
            slots=1,
            bodies=Bodies(
                entry=tell,
                surroundings=None,
                limits=ChildLimits(
                    memory=0, cpu_seconds=0, progress_burst=1, progress_per_second=0.0
                ),
                preload=[__name__],
                clean_up=lambda _task: None,
            ),
            failed=self._ended.set,
            log=quiet(),
        )
        self._tasks = Tasks(storage, clock=utc_now, engine=self.engine)

    def run(self, *, count: int, per_second: float, fill: int) -> Told:
        """Run the task once and return what it told.

        Args:
            count: of progress calls.
            per_second: how many a second; 0: as fast as it goes.
            fill: bytes that pad each report.
        """
        after = self.storage.events.head()
        commits: list[tuple[int, float]] = []
        # waiting, running, the progress, finished
        last = after + count + 3
        self._ended.clear()

        def committed() -> None:
            """Note the commit."""
            head = self.storage.events.head()
            commits.append((head, time.monotonic()))
            if head >= last:
                self._ended.set()

        unsubscribe = self.storage.events.subscribe(committed)
        task = new_task(
            now=utc_now(),
            task_type="bench",
            operation="bench",
            arguments={"count": count, "per_second": per_second, "fill": fill},
            tags=("pulp:repository:zoo", "pulp:action:sync"),
            resources=("repository:zoo",),
        )
        # as the server does at its start: else the collector stops all threads to look at what
        # the benchmark itself has kept of earlier measurements
        gc.collect()
        gc.freeze()
        self._tasks.submit(task)
        if not self._ended.wait(_PATIENCE) or self.storage.events.head() < last:
            raise RuntimeError("the task did not end")
        unsubscribe()
        return self._told(task.id, after, commits)

    def _told(self, task_id: str, after: int, commits: list[tuple[int, float]]) -> Told:
        """Put together what happened."""
        with self.storage.read() as transaction:
            result = transaction.tasks.get(task_id).result
        heads = [head for head, _ in commits]
        progress = [
            event
            for event in self.storage.events.read(after, len(result["call_us"]) + 3)
            if event.kind is EventKind.PROGRESS
        ]
        reports = [
            msgspec.json.decode(event.body)["progress_report"]["bench"] for event in progress
        ]
        if [report["number"] for report in reports] != list(range(len(result["call_us"]))):
            raise RuntimeError("progress was lost or came out of order")
        return Told(
            call_us=result["call_us"][_WARM_UP:],
            events=progress,
            called=[report["called"] for report in reports],
            committed=[commits[bisect_left(heads, event.sequence)][1] for event in progress],
        )


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make a data folder and start an engine on it; end both."""
    with ExitStack() as stack:
        folder.mkdir(parents=True)
        storage = stack.enter_context(SqliteStorage(upgrade(folder)))
        made = World(storage)
        made.engine.start()
        stack.callback(made.engine.stop)
        yield made
