"""Faults of the broker: each does happen, and is mended."""

from __future__ import annotations

import pytest

from tests.faults.broker import of_cluster, of_node
from tests.faults.consumers import QueueConsumer
from tests.faults.records import Channel
from tests.faults.schedule import Fault, Kind
from tests.services import until
from tests.services.cluster import Cluster
from tests.services.rabbitmq import RabbitMQ


def _fault(kind: Kind, node: int = 0) -> Fault:
    return Fault(kind=kind, at=0, seconds=0, node=node)


def _await_seen(node: RabbitMQ, count: int) -> None:
    """Wait until the node knows so many to run, itself among them."""
    running = "length(rabbit_mnesia:cluster_nodes(running))"
    until(lambda: node.evaluate(running) == str(count), f"{count} nodes run")


def test_alarm_comes_and_goes(rabbitmq: RabbitMQ) -> None:
    """A broker without memory says so until that is mended."""
    with of_node(rabbitmq) as broker:
        broker.begin(_fault(Kind.BLOCK))
        assert "memory" in rabbitmq.evaluate("rabbit_alarm:get_alarms()")
        broker.end(_fault(Kind.BLOCK))
        assert "memory" not in rabbitmq.evaluate("rabbit_alarm:get_alarms()")


def test_killed_node_is_healed(rabbitmq: RabbitMQ) -> None:
    """A node that is killed answers again."""
    with of_node(rabbitmq) as broker:
        broker.begin(_fault(Kind.KILL_NODE))
        assert not rabbitmq.answers()
        broker.heal("no queue")
        assert rabbitmq.answers()


@pytest.mark.timeout(300)
def test_node_that_is_cut_off(rabbitmq_cluster: Cluster) -> None:
    """The others lose sight of it, and it takes no clients until it is let in again."""
    with of_cluster(rabbitmq_cluster) as broker:
        first, second, _ = broker.nodes
        queue = QueueConsumer(
            Channel(name="queue"),
            urls=[first.url],
            queue="parted",
            arguments=broker.queue_arguments,
        )
        queue.bind()
        _await_seen(first, 3)
        broker.begin(_fault(Kind.PARTITION, node=1))
        _await_seen(first, 2)
        broker.heal("parted")
        _await_seen(first, 3)
        assert second.answers()
        queue.delete()
