"""``python -m tests.faults [N] [--seed SEED]``: play rounds, tell the counters.

Fails if one of them is not 0. The last line of the output is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.checker import COUNTERS
from tests.faults.rounds import Outcome, play
from tests.faults.schedule import draw
from tests.faults.site import Site, of_cluster, of_node
from tests.faults.workload import feeds
from tests.services.cluster import Cluster
from tests.services.rabbitmq import RabbitMQ, installed


def main() -> int:
    """Play the rounds that the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="make faults", description="Play rounds of faults.")
    parser.add_argument("rounds", type=int, nargs="?", default=10)
    parser.add_argument("--seed", type=int, help="of the first round; each next one is 1 more")
    asked = parser.parse_args()
    if not installed():
        print("rabbitmq-server is needed: see scripts/system_packages.sh", file=sys.stderr)
        return 2
    first = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="pulpit-faults-"))
    outcomes = _play_all(range(first, first + asked.rounds), folder)
    good = all(outcome.good for outcome in outcomes)
    if good:
        shutil.rmtree(folder)
    else:
        print(f"the evidence is in {folder}")
    print(json.dumps(_summary(outcomes)))
    return 0 if good else 1


def _play_all(seeds: range, folder: Path) -> list[Outcome]:
    """Play a round for each seed; brokers stay from one to the next."""
    outcomes = []
    with ExitStack() as stack:
        sites = _Sites(folder, stack)
        feed = stack.enter_context(feeds(folder / "feeds"))
        for seed in seeds:
            schedule = draw(seed)
            print(schedule, flush=True)
            outcome = play(schedule, sites.of(cluster=schedule.cluster), feed, folder / str(seed))
            outcomes.append(outcome)
            print(f"  {_line(outcome)}", flush=True)
    return outcomes


class _Sites:
    """The brokers, each started when a round needs it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._made: dict[bool, Site] = {}

    def of(self, *, cluster: bool) -> Site:
        """Return the cluster or the single node."""
        if cluster not in self._made:
            self._made[cluster] = self._make_cluster() if cluster else self._make_node()
        return self._made[cluster]

    def _make_cluster(self) -> Site:
        made = Cluster(self._folder / "cluster")
        self._stack.callback(made.stop)
        return self._stack.enter_context(of_cluster(made))

    def _make_node(self) -> Site:
        made = RabbitMQ(self._folder / "node")
        self._stack.callback(made.stop)
        return self._stack.enter_context(of_node(made))


def _line(outcome: Outcome) -> str:
    """Return how a round went, in one line."""
    told = " ".join(f"{count} {name}" for name, count in outcome.size.items())
    if outcome.good:
        return f"good: {told}, {outcome.verdict.repeated} repeated, {outcome.seconds:.1f} s"
    found = [one for sentences in outcome.verdict.found.values() for one in sentences[:3]]
    return f"BAD: {outcome.verdict.counts}, {told}\n    " + "\n    ".join(outcome.late + found)


def _summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the counters of all rounds."""
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.verdict.counts)
        faults.update(outcome.faults)
    return {
        **{name: total[name] for name in COUNTERS},
        "rounds": len(outcomes),
        "late": sum(bool(outcome.late) for outcome in outcomes),
        "failed_seeds": [one.schedule.seed for one in outcomes if not one.good],
        "repeated": sum(outcome.verdict.repeated for outcome in outcomes),
        "refolded": sum(outcome.verdict.refolded for outcome in outcomes),
        "faults": dict(sorted(faults.items())),
        "tasks": sum(outcome.size["tasks"] for outcome in outcomes),
        "events": sum(o.size["status"] + o.size["progress"] for o in outcomes),
    }


if __name__ == "__main__":
    sys.exit(main())
