"""What limits the plane: measured unit costs, a simulation of the turn, and arithmetic.

    python -m bench.scale            reckon with the costs of bench/scale.json
    python -m bench.scale --measure  measure them here, compare the simulation with a measurement,
                                     and write that file (--quick: with fewer rounds)

All who change tasks and journal take turns, on all machines: that is the one thing that more
machines do not widen, so it is simulated event by event (``bench._turn``). Everything else is work
that is spread: its need is the rate times the unit cost. ``docs/explanation/scale.md`` says what
follows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench._engine_sides import DURABLE, started
from bench._turn import Load, Turn, TurnCost, simulate
from bench._unit_costs import GROUPS, measure_costs, measure_turn
from tests.services.postgresql import PostgresServer, lent_postgresql

__all__ = ["Site", "main", "needs", "turn_cost"]

_COSTS = Path(__file__).with_name("scale.json")
#: Of the comparison with a measurement: processes, and the shares of the turn they ask for.
_PROCESSES, _SHARES = 4, (0.3, 0.6)
_DAY, _HOUR, _GIB = 86_400.0, 3_600.0, 1 << 30
#: Seconds for which a worker process must be able to do all it is given, at the most busy.
_ROOM = 0.7


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a plane has to do."""

    repositories: int
    #: Syncs and publishes.
    tasks_per_hour: float
    #: Seconds that a task takes, and the progress events it tells.
    duration: float = 60.0
    progress: float = 100.0
    #: Who reads all events over HTTP.
    readers: int = 20


#: The rows of the table of sizes.
_SITES = (
    Site(repositories=100, tasks_per_hour=200),
    Site(repositories=1_000, tasks_per_hour=2_000),
    Site(repositories=10_000, tasks_per_hour=10_000),
    Site(repositories=10_000, tasks_per_hour=50_000),
)


def turn_cost(costs: Mapping[str, float], *, kind: str = "ms") -> TurnCost:
    """Return what transactions take of the turn, by a straight line through what was measured.

    Args:
        costs: as ``measure_turn`` returns them.
        kind: ``ms`` for those of an undisturbed machine, ``mean_ms`` for this one as it was.
    """
    line = statistics.linear_regression(GROUPS, [costs[f"turn_{group}_{kind}"] for group in GROUPS])
    single = statistics.mean(costs[f"{name}_{kind}"] for name in ("submit", "begin", "end"))
    return TurnCost(
        fixed=max(line.intercept, 0) / 1000, each=line.slope / 1000, single=single / 1000
    )


def needs(site: Site, costs: Mapping[str, float]) -> dict[str, float]:
    """Return what a site takes: shares of the turn, processors, slots, GiB."""
    tasks = site.tasks_per_hour / _HOUR
    events = tasks * (site.progress + 3)
    cost = turn_cost(costs)
    kept_progress = site.tasks_per_hour * min(site.progress, 200) * costs["progress_bytes"]
    return {
        "events_per_minute": events * 60,
        # in groups that are as large as need be
        "turn": tasks * (site.progress * cost.each + 3 * cost.single),
        "slots": max(tasks * site.duration / _ROOM, 2),
        "publisher_processors": events * costs["publish_cpu_ms"] / 1000,
        "reader_processors": events * site.readers * costs["sse_ms"] / 1000,
        "database_gib": (kept_progress + tasks * 7 * _DAY * costs["task_bytes"]) / _GIB,
        "wal_gib_per_day": _DAY
        * tasks
        * (site.progress * costs["progress_wal_bytes"] + costs["task_wal_bytes"])
        / _GIB,
    }


def _measure(*, quick: bool) -> dict[str, object]:
    """Measure all costs, and compare the simulation with a measurement on the same server."""
    load = os.getloadavg()[0]
    costs = measure_costs(quick=quick)
    with lent_postgresql(settings=DURABLE) as server:
        compared = [_compared(server, share, 5.0 if quick else 20.0) for share in _SHARES]
    return {
        "machine": {"processors": os.cpu_count(), "load_before": load, "load": os.getloadavg()[0]},
        "costs": {name: round(value, 6) for name, value in costs.items()},
        "compared": compared,
    }


def _compared(server: PostgresServer, share: float, seconds: float) -> dict[str, float]:
    """Return what several processes measured, and what the simulation says of the same."""
    # costs of this minute: others use the machine as well
    cost = turn_cost(measure_turn(server, rounds=20), kind="mean_ms")
    # about two updates in a transaction
    load = Load(processes=_PROCESSES, updates=share / (cost.fixed / 2 + cost.each), singles=0)
    told = _measured(server.create_pulpit(), load, seconds)
    simulated = simulate(cost, load)
    return {
        "offered_per_s": load.updates,
        "measured_per_s": len(told) / seconds,
        "simulated_per_s": simulated.rate,
        "measured_p50_ms": statistics.median(told),
        "simulated_p50_ms": simulated.p50 * 1000,
        "measured_p99_ms": statistics.quantiles(told, n=100)[98],
        "simulated_p99_ms": simulated.p99 * 1000,
    }


def _measured(url: str, load: Load, seconds: float) -> list[float]:
    """Return the milliseconds from update to commit, of real processes."""
    with ExitStack() as stack:
        each = load.updates / load.processes
        processes = [
            stack.enter_context(started("_turn_load", number, url, each, seconds))
            for number in range(load.processes)
        ]
        for process in processes:
            process.line()
        for process in processes:
            process.tell("go")
        return [value for process in processes for value in json.loads(process.line())]


def _show(costs: Mapping[str, float]) -> None:
    """Print what follows from the costs."""
    cost = turn_cost(costs)
    print(f"turn: {cost.fixed * 1000:.2f} ms a transaction and {cost.each * 1000:.3f} ms an update")
    print(f"      at most {60 / cost.each:,.0f} updates a minute, however they are grouped\n")
    print("workers  updates/min    done/min   group    p50 ms    p99 ms   busy")
    for processes, per_minute in ((4, 6_000), (4, 60_000), (40, 60_000), (40, 1_000_000)):
        load = Load(processes=processes, updates=per_minute / 60, singles=per_minute / 60 / 100)
        _show_turn(load, simulate(cost, load, seconds=10))
    print()
    for site in _SITES:
        print(f"{site.repositories:,} repositories, {site.tasks_per_hour:,.0f} tasks an hour")
        for name, value in needs(site, costs).items():
            print(f"  {name:24} {value:>14,.2f}")


def _show_turn(load: Load, turn: Turn) -> None:
    print(
        f"{load.processes:7} {load.updates * 60:12,.0f} {turn.rate * 60:11,.0f} {turn.group:7.1f}"
        f" {turn.p50 * 1000:9.1f} {turn.p99 * 1000:9.1f} {turn.busy:6.2f}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Reckon, or measure first."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description="What limits the plane"
    )
    parser.add_argument(
        "--measure", action="store_true", help="measure the costs here, and keep them"
    )
    parser.add_argument("--quick", action="store_true", help="measure with fewer rounds")
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        began = time.monotonic()
        found = _measure(quick=chosen.quick)
        _COSTS.write_text(json.dumps(found, indent=1) + "\n")
        print(f"measured in {time.monotonic() - began:.0f} s\n")
    kept = json.loads(_COSTS.read_text())
    _show(kept["costs"])
    for compared in kept["compared"]:
        print("\n" + "\n".join(f"{name:20} {value:10.1f}" for name, value in compared.items()))


if __name__ == "__main__":
    main()
