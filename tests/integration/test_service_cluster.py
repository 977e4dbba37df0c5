"""The private cluster of RabbitMQ nodes that other tests build on."""

from __future__ import annotations

import amqp

from tests.services.cluster import Cluster


def test_quorum_queue_outlives_a_node(rabbitmq_cluster: Cluster) -> None:
    """What two nodes hold is there while the third is dead, and that one comes back."""
    first, second, _ = rabbitmq_cluster.nodes
    with amqp.Connection(f"{second.host}:{second.port}") as connection:
        channel = connection.channel()
        quorum = {"x-queue-type": "quorum"}
        channel.queue_declare("kept", durable=True, auto_delete=False, arguments=quorum)
        rabbitmq_cluster.await_quorum("kept")
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message("one", delivery_mode=2), "", "kept")
        first.kill()
        channel.basic_publish_confirm(amqp.Message("two", delivery_mode=2), "", "kept")
        assert not first.running
        rabbitmq_cluster.start()
        rabbitmq_cluster.await_quorum("kept")
        bodies = [channel.basic_get("kept", no_ack=True).body for _ in range(2)]
        channel.queue_delete("kept")
    assert bodies == ["one", "two"]
