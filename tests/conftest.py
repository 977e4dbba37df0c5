"""Fixtures that every kind of test may ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.parallel import Scheduling, longest_first
from tests.services.cluster import Cluster
from tests.services.postgresql import PostgresServer, lent_postgresql
from tests.services.rabbitmq import RabbitMQ, lent

# whatever the surroundings say: else each of the many servers that tests start compiles all it
# imports, for 40 percent of the processor time of its start
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# where it decides over a change, a run must not fail by what it happened to draw
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes ``-n auto`` stands for: most tests wait for others to act."""
    return min((os.cpu_count() or 1) + 2, 8)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Return how ``--dist loadfile`` shares out the tests."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the tests into the order in which they are shared out among processes."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=longest_first)


@pytest.fixture(scope="session")
def rabbitmq_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Yield the one broker of the test run, which is still to be started."""
    with lent(RabbitMQ, tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture
def rabbitmq(rabbitmq_session: RabbitMQ) -> RabbitMQ:
    """Return the broker of the test run, started again if a test before ended it."""
    rabbitmq_session.start()
    return rabbitmq_session


@pytest.fixture(scope="session")
def cluster_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the one cluster of the test run, which is still to be started."""
    with lent(Cluster, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def rabbitmq_cluster(cluster_session: Cluster) -> Cluster:
    """Return the cluster of the test run, whole again if a test before ended a node."""
    cluster_session.start()
    return cluster_session


@pytest.fixture(scope="session")
def postgresql_session() -> Iterator[PostgresServer]:
    """Yield the one PostgreSQL of the test run."""
    with lent_postgresql() as server:
        yield server


@pytest.fixture
def postgresql(postgresql_session: PostgresServer) -> PostgresServer:
    """Return the PostgreSQL of the test run, started again if a test before ended it."""
    postgresql_session.start()
    return postgresql_session


@pytest.fixture
def postgresql_url(postgresql: PostgresServer) -> Iterator[str]:
    """Yield the URL of an empty database with this version's schema."""
    url = postgresql.lend_pulpit()
    yield url
    postgresql.give_back(url)
