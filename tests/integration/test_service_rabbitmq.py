"""The private RabbitMQ that other tests build on."""

from __future__ import annotations

from tests.services.rabbitmq import RabbitMQ


def test_broker_answers(rabbitmq: RabbitMQ) -> None:
    """The broker runs, with guest as its one user."""
    assert rabbitmq.running
    assert "guest" in rabbitmq.ctl("list_users")
