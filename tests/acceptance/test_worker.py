"""`pulpit worker` as an operator starts and stops it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulpit.app.content import content_types
from pulpit.cli.exits import ExitCode
from pulpit.domain.clock import utc_now
from pulpit.domain.tasks import Task, TaskState
from pulpit.engine.distributed import DistributedEngine
from pulpit.services.importers import Importers
from pulpit.services.repositories import Repositories
from pulpit.services.tasks import Tasks
from pulpit.services.workers import Workers
from pulpit.storage.postgresql import PostgresStorage
from tests.acceptance.worker import PulpitWorker
from tests.services import until
from tests.services.postgresql import PostgresServer

_FEED = Path(__file__).resolve().parents[2] / "examples" / "feed" / "repo"
_SOON = "worker_timeout: 3\n"


class Desk:
    """What a server does with the database that its workers share."""

    def __init__(self, url: str) -> None:
        self.storage = PostgresStorage(url, connections=2)
        self.tasks = Tasks(self.storage, clock=utc_now, engine=DistributedEngine())
        self.workers = Workers(self.storage, clock=utc_now, offer=DistributedEngine().offer)

    def sync(self, priority: int = 0, feed: str = f"{_FEED.as_uri()}/") -> Task:
        """Make a repository of a feed, the sample one unless told, and hand in its sync."""
        types = content_types()
        parts: dict[str, Any] = {"clock": utc_now, "tasks": self.tasks, "types": types}
        Repositories(self.storage, **parts).create(
            {
                "id": "zoo",
                "notes": {"pulpit_priority": priority},
                "importer_type_id": "yum_importer",
                "importer_config": {"feed": feed},
            }
        )
        return Importers(self.storage, **parts).sync("zoo", {})

    def close(self) -> None:
        """End its connections."""
        self.storage.close()

    def ended(self, task: Task) -> Task:
        """Return the task once it has ended."""
        until(lambda: self.tasks.get(task.id).state.is_complete, "the task ends")
        return self.tasks.get(task.id)


@pytest.fixture
def desk(postgresql_url: str) -> Iterator[Desk]:
    """Yield a server's side of an empty database."""
    desk = Desk(postgresql_url)
    yield desk
    desk.close()


def test_a_worker_runs_what_servers_hand_in(
    desk: Desk, postgresql_url: str, tmp_path: Path
) -> None:
    """A sync ends well and says where it ran; SIGTERM ends the worker, which is forgotten."""
    task = desk.sync(priority=7)
    with PulpitWorker(tmp_path, tmp_path / "data", postgresql_url) as worker:
        (known,) = desk.workers.known()
        assert (known.name, known.slots) == ("w1", 2)
        ended = desk.ended(task)
        assert (ended.state, ended.worker_name) == (TaskState.FINISHED, "w1"), ended.error
        assert ended.priority == 7
        assert worker.stop() == ExitCode.OK
        assert desk.workers.known() == []
        assert "Traceback" not in worker.log()


def test_a_hang_up_reads_the_level_of_the_log_again(postgresql_url: str, tmp_path: Path) -> None:
    """SIGHUP does not end a worker."""
    with PulpitWorker(tmp_path, tmp_path / "data", postgresql_url) as worker:
        worker.process.process.send_signal(signal.SIGHUP)
        until(lambda: "The configuration was read again" in worker.log())
        assert worker.stop() == ExitCode.OK


def test_a_worker_needs_the_distributed_engine(tmp_path: Path) -> None:
    """Without it, it says what to set."""
    worker = PulpitWorker(tmp_path, tmp_path / "data", None, engine="embedded")
    code, log = worker.refused()
    assert code == ExitCode.CANNOT_START
    assert "engine: distributed" in log


def test_a_worker_needs_the_schema(postgresql: PostgresServer, tmp_path: Path) -> None:
    """It upgrades nothing by itself, and says what does."""
    url = postgresql.url(postgresql.create_database())
    code, log = PulpitWorker(tmp_path, tmp_path / "data", url).refused()
    postgresql.drop_database(url)
    assert code == ExitCode.CANNOT_START
    assert "pulpit db upgrade" in log


def test_a_name_is_taken_over_from_the_dead_alone(postgresql_url: str, tmp_path: Path) -> None:
    """A second worker of a name is refused while the first lives, and waits for a lost one."""
    data, other = tmp_path / "data", tmp_path / "other"
    other.mkdir()
    first = PulpitWorker(tmp_path, data, postgresql_url, config=_SOON)
    second = PulpitWorker(other, data, postgresql_url, config=_SOON)
    with first:
        code, log = second.refused()
        assert code == ExitCode.CANNOT_START
        assert "--name" in log
        first.process.kill()
        second.start()
        assert second.stop() == ExitCode.OK
