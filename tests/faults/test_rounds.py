"""Rounds of faults: whatever is killed, cut, frozen or blocked, every promise is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.broker import of_cluster, of_node
from tests.faults.rounds import play
from tests.faults.schedule import Kind, Schedule, draw
from tests.faults.site import Laptop
from tests.faults.workload import feeds
from tests.services.cluster import Cluster
from tests.services.http import FeedServer
from tests.services.rabbitmq import RabbitMQ

#: The first two are of one node, the last of a cluster.
_SEEDS = (8, 12, 1)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedServer]:
    """Yield a server of the feeds that rounds sync."""
    with feeds(tmp_path_factory.mktemp("faults") / "feeds") as feed:
        yield feed


def _play(schedule: Schedule, node: RabbitMQ, cluster: Cluster, feed: FeedServer, to: Path) -> None:
    """Play a round, which must be a good one."""
    with of_cluster(cluster) if schedule.cluster else of_node(node) as broker:
        outcome = play(schedule, Laptop(to, broker), feed)
    assert outcome.good, f"{schedule}: {outcome.late} {outcome.verdict.found}; see {to}"
    assert outcome.size["tasks"] > 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", _SEEDS)
def test_every_promise_is_kept(
    rabbitmq: RabbitMQ,
    cluster_session: Cluster,
    feed: FeedServer,
    tmp_path: Path,
    seed: int,
) -> None:
    """Nothing is lost, told twice, out of order, left out or without its end."""
    # its first node gets ready while rounds with a single one are played
    cluster_session.launch()
    _play(draw(seed), rabbitmq, cluster_session, feed, tmp_path / str(seed))


def test_fixed_seeds_hold_what_is_killed() -> None:
    """The rounds above kill the server, a node, a node of a cluster, and a task's process."""
    killed = {fault.kind for seed in _SEEDS for fault in draw(seed).faults}
    assert killed >= {Kind.KILL_SERVER, Kind.KILL_NODE, Kind.KILL_CHILD}
    assert any(draw(seed).cluster for seed in _SEEDS)
