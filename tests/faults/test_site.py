"""Faults of the broker: each does happen, and is mended."""

from __future__ import annotations

import time

import pytest

from tests.faults.consumers import QueueConsumer
from tests.faults.records import Channel
from tests.faults.schedule import Fault, Kind
from tests.faults.site import of_cluster, of_node
from tests.services.cluster import Cluster
from tests.services.rabbitmq import RabbitMQ

_SECONDS = 30.0


def _fault(kind: Kind, node: int = 0) -> Fault:
    return Fault(kind=kind, at=0, seconds=0, node=node)


def _sees(node: RabbitMQ, count: int) -> bool:
    """Return whether the node comes to know so many to run, itself among them."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if node.evaluate("length(rabbit_mnesia:cluster_nodes(running))") == str(count):
            return True
        time.sleep(0.05)
    return False


def test_alarm_comes_and_goes(rabbitmq: RabbitMQ) -> None:
    """A broker without memory says so until that is mended."""
    with of_node(rabbitmq) as site:
        site.begin(_fault(Kind.BLOCK))
        assert "memory" in rabbitmq.evaluate("rabbit_alarm:get_alarms()")
        site.end(_fault(Kind.BLOCK))
        assert "memory" not in rabbitmq.evaluate("rabbit_alarm:get_alarms()")


def test_killed_node_is_healed(rabbitmq: RabbitMQ) -> None:
    """A node that is killed answers again."""
    with of_node(rabbitmq) as site:
        site.begin(_fault(Kind.KILL_NODE))
        assert not rabbitmq.answers()
        site.heal("no queue")
        assert rabbitmq.answers()


@pytest.mark.timeout(300)
def test_node_that_is_cut_off(rabbitmq_cluster: Cluster) -> None:
    """The others lose sight of it, and it takes no clients until it is let in again."""
    with of_cluster(rabbitmq_cluster) as site:
        first, second, _ = site.nodes
        queue = QueueConsumer(
            Channel(name="queue"), urls=[first.url], queue="parted", arguments=site.queue_arguments
        )
        queue.bind()
        assert _sees(first, 3)
        site.begin(_fault(Kind.PARTITION, node=1))
        assert _sees(first, 2)
        site.heal("parted")
        assert _sees(first, 3)
        assert second.answers()
        queue.delete()
