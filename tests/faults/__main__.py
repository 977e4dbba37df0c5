"""``python -m tests.faults [N] [--seed SEED] [--site laptop|machines]``: play rounds, and judge.

Fails if one of the counters is not 0. The last line of the output is a JSON object.
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

from tests.faults.broker import Broker, of_cluster, of_node
from tests.faults.machines import CUTS, Machines, database_of
from tests.faults.rounds import Outcome, play
from tests.faults.schedule import Place, Schedule, draw, place_of
from tests.faults.site import Laptop, Site
from tests.faults.verdict import COUNTERS
from tests.faults.workload import feeds
from tests.services import namespaces, postgresql, rabbitmq
from tests.services.cluster import Cluster
from tests.services.http import FeedServer
from tests.services.namespaces import Network
from tests.services.postgresql import PostgresServer
from tests.services.rabbitmq import RabbitMQ


def main() -> int:
    """Play the rounds that the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="make faults", description="Play rounds of faults.")
    parser.add_argument("rounds", type=int, nargs="?", default=10)
    parser.add_argument("--seed", type=int, help="of the first round; each next one is 1 more")
    parser.add_argument(
        "--site", type=Place, choices=Place, help="play all there; without it, seeds take turns"
    )
    asked = parser.parse_args()
    first = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    schedules = [
        draw(seed, asked.site or place_of(seed)) for seed in range(first, first + asked.rounds)
    ]
    if missing := _missing(schedules):
        print(f"{missing} is needed: see scripts/system_packages.sh", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="pulpit-faults-"))
    # PostgreSQL is not run by root
    folder.chmod(0o755)
    outcomes = _play_all(schedules, folder)
    good = all(outcome.good for outcome in outcomes)
    if good:
        shutil.rmtree(folder)
    else:
        print(f"the evidence is in {folder}")
    print(json.dumps(_summary(outcomes)))
    return 0 if good else 1


def _missing(schedules: list[Schedule]) -> str | None:
    """Return the service that these rounds need and that is not installed here."""
    if not rabbitmq.installed():
        return "rabbitmq-server"
    if any(one.place is Place.MACHINES for one in schedules) and not postgresql.installed():
        return "postgresql"
    return None


def _play_all(schedules: list[Schedule], folder: Path) -> list[Outcome]:
    """Play these rounds; services stay from one to the next."""
    outcomes = []
    with ExitStack() as stack:
        services = _Services(folder, stack)
        for schedule in schedules:
            print(schedule, flush=True)
            site = services.site(schedule, folder / str(schedule.seed))
            outcome = play(schedule, site, services.feed)
            outcomes.append(outcome)
            print(f"  {_line(outcome)}", flush=True)
    return outcomes


class _Services:
    """What rounds share, each started when one needs it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._network = self._make_network()
        self._host = self._network.host if self._network else "127.0.0.1"
        self.feed: FeedServer = stack.enter_context(feeds(folder / "feeds", self._host))
        self._brokers: dict[bool, Broker] = {}
        self._database: PostgresServer | None = None

    def site(self, schedule: Schedule, folder: Path) -> Site:
        """Return what the round is played on."""
        broker = self._broker(cluster=schedule.cluster)
        if schedule.place is Place.LAPTOP:
            return Laptop(folder, broker)
        return Machines(folder, broker, self._postgresql(), self._network)

    def _make_network(self) -> Network | None:
        """Return a network of machines, or say why there is none."""
        if reason := namespaces.obstacle():
            print(f"left out: {', '.join(sorted(CUTS))}, since a network is {reason}")
            return None
        for name in namespaces.sweep():
            print(f"deleted {name}, which a run that was killed has left")
        return self._stack.enter_context(Network())

    def _broker(self, *, cluster: bool) -> Broker:
        """Return the cluster or the single node."""
        if cluster not in self._brokers:
            self._brokers[cluster] = self._make_cluster() if cluster else self._make_node()
        return self._brokers[cluster]

    def _make_cluster(self) -> Broker:
        made = Cluster(self._folder / "cluster")
        self._stack.callback(made.stop)
        return self._stack.enter_context(of_cluster(made, self._host))

    def _make_node(self) -> Broker:
        made = RabbitMQ(self._folder / "node")
        self._stack.callback(made.stop)
        return self._stack.enter_context(of_node(made, self._host))

    def _postgresql(self) -> PostgresServer:
        """Return a server that runs."""
        if self._database is None:
            folder = self._folder / "postgresql"
            folder.mkdir()
            self._database = database_of(folder, self._network)
            self._stack.callback(self._database.stop)
        self._database.start()
        return self._database


def _line(outcome: Outcome) -> str:
    """Return how a round went, in one line."""
    told = " ".join(f"{count} {name}" for name, count in outcome.size.items())
    if outcome.good:
        repeated = f"{outcome.verdict.repeated} repeated"
        return f"good: {told}, {repeated}, {_steps(outcome)}{outcome.seconds:.1f} s"
    found = [one for sentences in outcome.verdict.found.values() for one in sentences[:3]]
    return f"BAD: {outcome.verdict.counts}, {told}\n    " + "\n    ".join(outcome.late + found)


def _steps(outcome: Outcome) -> str:
    """Return how long it took until others stepped in."""
    return "".join(
        f"{delay.loss.kind} made good after {delay.seconds:.1f} s, "
        for delay in outcome.delays
        if delay.seconds is not None
    )


def _longest(outcomes: list[Outcome], kind: str) -> float:
    """Return the longest time, in seconds, until somebody stepped in for one of this kind."""
    took = [d.seconds for one in outcomes for d in one.delays if d.loss.kind == kind and d.seconds]
    return round(max(took, default=0.0), 1)


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
        "takeover_seconds_max": _longest(outcomes, "leader"),
        "reaping_seconds_max": _longest(outcomes, "worker"),
        "faults": dict(sorted(faults.items())),
        "tasks": sum(outcome.size["tasks"] for outcome in outcomes),
        "events": sum(o.size["status"] + o.size["progress"] for o in outcomes),
    }


if __name__ == "__main__":
    sys.exit(main())
