"""Empty tasks through the distributed engine, against bare Procrastinate.

    python -m bench.engine [--quick] [--json] [--slots N]

Four worker processes with N slots each (4), one PostgreSQL with its usual settings, fsync on. The
peer is Procrastinate alone, on a database of its own in the same server: its jobs, with the
repository as lock, start the same child process from the same kind of fork server; it keeps no
state of tasks and tells no events. Both are measured in turns, and ratios are those of medians.
Times are taken by the machine's monotonic clock, from just after the commit that hands a task in
to the first line of its body, which notes that in a file.

- backlog: all tasks over all repositories, handed in 500 a transaction to workers that are idle;
  from the first of it to the end of the last body.
- steady: one task after the other at a rate that leaves the machine mostly idle.
- queue: 100 tasks on one repository, handed in at once; the hand-over is from the end of one body
  to the beginning of the next.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._amqp import pace
from bench._empty_task import Ran
from bench._engine_sides import DURABLE, Side, embedded, peer, plain_children, pulpit
from bench._processor import processor_seconds
from bench._report import Aim, Measured, run
from tests.services.postgresql import lent_postgresql

__all__ = ["main", "measure", "violations"]

_WORKERS, _SLOTS = 4, 4
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class _Size:
    """How much is measured."""

    rounds: int
    tasks: int
    repositories: int
    #: Of the steady load: tasks, and how many a second.
    steady: int
    per_second: float
    #: Tasks on one repository.
    queue: int
    #: Children of the floor.
    children: int


_FULL = _Size(
    rounds=3, tasks=10_000, repositories=1_000, steady=400, per_second=10, queue=100, children=1_000
)
_QUICK = _Size(
    rounds=2, tasks=300, repositories=60, steady=40, per_second=10, queue=30, children=200
)

_AIMS = {
    "vs_procrastinate": Aim(least=0.8, text="empty tasks/s, ours / bare Procrastinate"),
    "vs_plain_children": Aim(text="the same against the same children without any database"),
    "vs_embedded": Aim(text="the same against the embedded engine on SQLite, as many slots"),
    "cpu_vs_procrastinate": Aim(text="processor time of a task, child and database included"),
    "steady_p50_vs_procrastinate": Aim(text="commit to body with idle workers"),
    "steady_p99_vs_procrastinate": Aim(text="the same, the slowest of a hundred"),
    "backlog_p50_vs_procrastinate": Aim(text="commit to body while all tasks wait"),
    "backlog_p99_vs_procrastinate": Aim(text="the same, the slowest of a hundred"),
    "handover_p50_vs_procrastinate": Aim(text="end of a body to the next one's beginning"),
    "order_violations": Aim(most=0, text="of ours: out of order, or two at once"),
}


@dataclass(kw_only=True)
class _Outcome:
    """What was measured of one side; times in seconds."""

    rates: list[float] = field(default_factory=list)
    #: Processor time of a task, of all processes of its side and of the database.
    processor: list[float] = field(default_factory=list)
    #: What handing in took of that.
    submitting: list[float] = field(default_factory=list)
    backlog: list[float] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)
    handover: list[float] = field(default_factory=list)
    queue: list[float] = field(default_factory=list)
    violations: int = 0


def measure(quick: bool, *, slots: int = _SLOTS) -> Measured:  # noqa: FBT001 - as all do
    """Return the ratios and figures; *quick* takes fewer tasks and rounds."""
    size = _QUICK if quick else _FULL
    outcomes: dict[str, _Outcome] = defaultdict(_Outcome)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-engine-")))
        many, one = plain_children(folder, count=size.children, slots=_WORKERS * slots)
        server = stack.enter_context(lent_postgresql(settings=DURABLE))
        sides = {
            "pulpit": stack.enter_context(pulpit(server, folder, workers=_WORKERS, slots=slots)),
            "procrastinate": stack.enter_context(
                peer(server, folder, workers=_WORKERS, slots=slots)
            ),
            "embedded": stack.enter_context(embedded(folder, slots=_WORKERS * slots)),
        }
        for _ in range(size.rounds):
            for name, side in sides.items():
                _measure(side, size, outcomes[name])
    figures = {"plain_children_per_s": many, "plain_child_ms": one * 1000}
    for name, outcome in outcomes.items():
        figures |= _figures(name, outcome)
    return Measured(
        ratios=_ratios(figures),
        figures=figures | {"order_violations": float(outcomes["pulpit"].violations)},
    )


def _measure(side: Side, size: _Size, outcome: _Outcome) -> None:
    """Measure one side once."""
    repositories = [f"repo-{number:04}" for number in range(size.repositories)]
    _backlog(side, size.tasks, repositories, outcome)
    _steady(side, size, repositories, outcome)
    _queue(side, size.queue, outcome)


def _backlog(side: Side, count: int, repositories: Sequence[str], outcome: _Outcome) -> None:
    """Hand in all tasks, and wait for their end."""
    committed: dict[str, float] = {}
    spent, began = processor_seconds(side.processes), time.monotonic()
    for first in range(0, count, _BATCH):
        wanted = range(first, min(first + _BATCH, count))
        ids = side.submit([repositories[number % len(repositories)] for number in wanted])
        committed |= dict.fromkeys(ids, time.monotonic())
    outcome.submitting.append(time.monotonic() - began)
    runs = side.notes.wait(count)
    outcome.processor.append((processor_seconds(side.processes) - spent) / count)
    outcome.rates.append(count / (max(run.ended for run in runs) - began))
    outcome.backlog += _latencies(committed, runs)
    outcome.violations += violations(list(committed), runs)


def _steady(side: Side, size: _Size, repositories: Sequence[str], outcome: _Outcome) -> None:
    """Hand in one task after the other."""
    committed: dict[str, float] = {}
    for number in pace(size.steady, size.per_second):
        (task_id,) = side.submit([repositories[number % len(repositories)]])
        committed[task_id] = time.monotonic()
    outcome.steady += _latencies(committed, side.notes.wait(size.steady))


def _queue(side: Side, count: int, outcome: _Outcome) -> None:
    """Hand in many tasks on one repository."""
    ids = side.submit(["repo-alone"] * count)
    runs = side.notes.wait(count)
    outcome.violations += violations(ids, runs)
    runs.sort(key=lambda run: run.began)
    outcome.handover += [later.began - earlier.ended for earlier, later in pairwise(runs)]
    outcome.queue.append(runs[-1].ended - runs[0].began)


def _latencies(committed: Mapping[str, float], runs: Sequence[Ran]) -> list[float]:
    """Return the seconds from commit to body."""
    return [run.began - committed[run.task_id] for run in runs]


def violations(submitted: Sequence[str], runs: Sequence[Ran]) -> int:
    """Return how many runs began out of order, or before the one ahead of them had ended.

    Raises:
        RuntimeError: a task did not run, or ran twice.
    """
    if sorted(submitted) != sorted(run.task_id for run in runs):
        raise RuntimeError("a task did not run, or ran twice")
    place = {task_id: number for number, task_id in enumerate(submitted)}
    last: dict[str, Ran] = {}
    found = 0
    for current in sorted(runs, key=lambda run: run.began):
        earlier = last.get(current.repository)
        if earlier is not None:
            is_late = place[earlier.task_id] > place[current.task_id]
            found += is_late or earlier.ended > current.began
        last[current.repository] = current
    return found


def _figures(name: str, outcome: _Outcome) -> dict[str, float]:
    """Return the medians and percentiles of one side."""
    figures = {
        f"{name}_tasks_per_s": statistics.median(outcome.rates),
        f"{name}_cpu_ms": statistics.median(outcome.processor) * 1000,
        f"{name}_submitting_s": statistics.median(outcome.submitting),
    }
    for kind in ("steady", "backlog", "handover"):
        values = getattr(outcome, kind)
        figures[f"{name}_{kind}_p50_ms"] = statistics.median(values) * 1000
        figures[f"{name}_{kind}_p99_ms"] = statistics.quantiles(values, n=100)[98] * 1000
    return figures | {f"{name}_queue_s": statistics.median(outcome.queue)}


def _ratios(figures: Mapping[str, float]) -> dict[str, float]:
    """Return ours against the others."""
    rate = figures["pulpit_tasks_per_s"]
    ratios = {
        "vs_procrastinate": rate / figures["procrastinate_tasks_per_s"],
        "vs_plain_children": rate / figures["plain_children_per_s"],
        "vs_embedded": rate / figures["embedded_tasks_per_s"],
    }
    for kind in ("steady_p50", "steady_p99", "backlog_p50", "backlog_p99", "handover_p50"):
        theirs = figures[f"procrastinate_{kind}_ms"]
        ratios[f"{kind}_vs_procrastinate"] = figures[f"pulpit_{kind}_ms"] / theirs
    theirs = figures["procrastinate_cpu_ms"]
    return ratios | {"cpu_vs_procrastinate": figures["pulpit_cpu_ms"] / theirs}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--slots", type=int, default=_SLOTS)
    own, rest = parser.parse_known_args(arguments)
    title = f"Empty tasks: {_WORKERS} workers with {own.slots} slots each on PostgreSQL"
    run("engine", title, partial(measure, slots=own.slots), _AIMS, rest)


if __name__ == "__main__":
    main()
