"""Fixtures that every kind of test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.services import missing
from tests.services import rabbitmq as rabbitmq_service
from tests.services.cluster import Cluster
from tests.services.rabbitmq import RabbitMQ

# where it decides over a change, a run must not fail by what it happened to draw
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def rabbitmq_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Yield the one broker of the test run."""
    if not rabbitmq_service.installed():
        missing("rabbitmq-server")
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def rabbitmq(rabbitmq_session: RabbitMQ) -> RabbitMQ:
    """Return the broker of the test run, started again if a test before ended it."""
    rabbitmq_session.start()
    return rabbitmq_session


@pytest.fixture(scope="session")
def cluster_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the one cluster of the test run, which is still to be started."""
    if not rabbitmq_service.installed():
        missing("rabbitmq-server")
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def rabbitmq_cluster(cluster_session: Cluster) -> Cluster:
    """Return the cluster of the test run, whole again if a test before ended a node."""
    cluster_session.start()
    return cluster_session
