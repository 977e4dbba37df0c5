"""The figures over a real database: what they count, and that nothing holds up a scrape."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from pulpit.app.figures import Figures, Parts
from pulpit.app.task_counts import TaskCounts
from pulpit.domain.clock import utc_now
from pulpit.domain.deliveries import Attempt, DeliveryState, Verdict
from pulpit.domain.events import EventKind
from pulpit.domain.listeners import Listener, NotifierType
from pulpit.domain.messages import Message
from pulpit.domain.repositories import Repository
from pulpit.domain.schedules import Schedule, Scheduled, ScheduleKind
from pulpit.domain.workers import new_worker
from pulpit.events.amqp import CURSOR, PublisherStatus
from pulpit.events.amqp.reasons import Reason
from pulpit.events.listeners import Tally
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, repository_task
from pulpit.storage.database import SqlStorage
from pulpit.storage.figures import journal_size
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import FrozenClock, RecordingEngine
from tests.api_site import copy_of

#: That a storage has for readers.
CONNECTIONS = 16
STREAMS = {"readers": 3, "sent": 40, "folded": 5, "stale": 1, "dead": 2}
DOOR = {
    "connections": 2,
    "consumers": 4,
    "queues": 5,
    "delivered": 60,
    "folded": 7,
    "dropped": 8,
    "refused": 9,
    "behind": 1,
}
PUBLISHER = PublisherStatus(
    connected=True,
    blocked=False,
    url="amqp://broker/",
    lag=1,
    published=10,
    confirmed=8,
    folded=3,
    resent=2,
    last_error=None,
    failures={Reason.NACKED: 4},
)


class _Channels:
    """AMQP channels that tell what the test says."""

    door: Mapping[str, int] | None = DOOR
    publisher: PublisherStatus | None = PUBLISHER
    told = 1

    def publisher_status(self) -> PublisherStatus | None:
        return self.publisher

    def door_figures(self) -> Mapping[str, int] | None:
        return self.door

    def positions(self) -> Mapping[str, int]:
        return {"door": self.told} if self.door else {}


class _House:
    """A database, tasks in it, and the figures over both."""

    def __init__(self, open_storage: Callable[[], SqlStorage], folder: Path) -> None:
        #: Opens the database once more, as another process does.
        self.open_storage = open_storage
        self.storage = open_storage()
        self.clock = FrozenClock()
        self.counts = TaskCounts()
        self.channels, self.tally = _Channels(), Tally()
        # the head is known once somebody reads
        self.head = self.storage.events.head
        observe = self.counts.observe
        self.tasks = Tasks(
            self.storage, clock=self.clock, engine=RecordingEngine(), observe=observe
        )
        self.lifecycle = Lifecycle(
            self.storage, clock=self.clock, completions={}, offer=lambda _: None, observe=observe
        )
        parts = Parts(
            storage=self.storage,
            folder=folder,
            engine=lambda: {"slots": 4, "busy": 1, "updates": 0},
            leads=lambda: True,
            notifications=self.channels,
            deliveries=self.tally,
            streams=lambda: STREAMS,
            housekeeping_failures={"purge_tasks": 2},
        )
        self.figures = Figures(parts, tasks=self.counts, patience=0.2)

    def submit(self, repo_id: str) -> None:
        """Hand in a task on a repository."""
        self.tasks.submit(
            repository_task(
                repo_id,
                now=self.clock(),
                task_type="sync",
                operation="sync",
                tags=[],
            )
        )

    def page(self) -> dict[Any, float]:
        """Return what a scrape reads: (name, values of the labels) to value."""
        page = asyncio.run(self.figures.page(openmetrics=False)).decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_House]:
    """Yield figures over an empty database."""
    if request.param == "sqlite":
        path = copy_of(request.getfixturevalue("new_database"), tmp_path)
        made = _House(lambda: SqliteStorage(path), tmp_path)
    else:
        url = request.getfixturevalue("postgresql_url")
        made = _House(lambda: PostgresStorage(url, connections=CONNECTIONS), tmp_path)
    with made.storage:
        yield made


def test_the_journal_has_a_size_as_soon_as_it_has_rows(house: _House) -> None:
    """Also where it was empty when it was counted."""
    house.figures.count_journal()
    house.submit("zoo")
    page = house.page()
    assert page["pulpit_journal_rows", "status"] == 1
    assert page["pulpit_journal_bytes",] == page["pulpit_events_written_bytes_total",] > 0


def test_events_and_tasks_are_counted(house: _House) -> None:
    """What was written since the start, and what is there now, by kind, state and type."""
    for repo_id in ("zoo", "zoo", "park"):
        house.submit(repo_id)
    house.lifecycle.claim("here", 1)
    house.figures.count_journal()
    house.submit("lake")
    page = house.page()
    assert page["pulpit_events_written_total", "status"] == 5
    assert page["pulpit_events_written_total", "progress"] == 0
    assert page["pulpit_events_written_bytes_total",] > 1000
    assert page["pulpit_journal_rows", "status"] == 5
    assert page["pulpit_journal_bytes",] == pytest.approx(
        page["pulpit_events_written_bytes_total",], rel=0.1
    )
    assert page["pulpit_journal_oldest_sequence",] == 1
    assert page["pulpit_journal_newest_sequence",] == 5
    assert page["pulpit_journal_oldest_age_seconds",] > 0
    assert page["pulpit_tasks", "waiting", "sync"] == 3
    assert page["pulpit_tasks", "running", "sync"] == 1
    assert page["pulpit_tasks_submitted_total", "sync"] == 4
    assert page["pulpit_reservations", "held"] == 3
    assert page["pulpit_reservations", "waiting"] == 1
    assert page["pulpit_worker_slots",] == 4
    assert page["pulpit_housekeeping_failures_total", "purge_tasks"] == 2
    assert page["pulpit_database_bytes", "main"] > 0
    assert page["pulpit_disk_free_bytes",] > 0


def test_channels_tell_figures_and_how_late_they_are(house: _House) -> None:
    """Each sink has its counts and its lag, in numbers and in seconds."""
    house.submit("zoo")
    house.submit("zoo")
    house.storage.cursors.save(CURSOR, 2)
    page = house.page()
    assert page["pulpit_connections", "http"] == 3
    assert page["pulpit_connections", "door"] == 2
    assert page["pulpit_connections", "broker"] == 1
    assert page["pulpit_events_published_total", "http"] == 40
    assert page["pulpit_events_published_total", "door"] == 60
    assert page["pulpit_events_published_total", "broker"] == 10
    assert page["pulpit_events_confirmed_total",] == 8
    assert page["pulpit_events_unconfirmed",] == 2
    assert page["pulpit_publish_failures_total", "nacked"] == 4
    assert page["pulpit_door_closed_behind_total",] == 1
    assert page["pulpit_sink_lag_events", "broker"] == 0
    assert page["pulpit_sink_lag_seconds", "broker"] == 0
    assert page["pulpit_sink_lag_events", "door"] == 1
    assert page["pulpit_sink_lag_seconds", "door"] > 0


def test_channels_that_are_closed_are_absent(house: _House) -> None:
    """After the settings were loaded again there may be no broker and no door."""
    house.channels.door = house.channels.publisher = None
    names = {key[0] for key in house.page()}
    assert not any(name.startswith(("pulpit_door", "pulpit_broker")) for name in names)
    assert "pulpit_connections" in names


def test_a_locked_database_does_not_hold_up_a_scrape(house: _House) -> None:
    """While another process writes, a scrape reads all the same."""
    house.submit("zoo")
    with house.open_storage() as other, other.write():
        page = house.page()
    assert page["pulpit_database_up",] == 1
    assert page["pulpit_tasks", "waiting", "sync"] == 1


def test_a_database_that_hangs_is_told_and_the_rest_as_well(house: _House) -> None:
    """What only the database knows is left out; what the process knows is there."""
    house.submit("zoo")
    with contextlib.ExitStack() as stack:
        # every connection there may be is taken
        for _ in range(CONNECTIONS):
            stack.enter_context(house.storage.read())
        page = house.page()
    assert page["pulpit_database_up",] == 0
    # who waited for a connection gets one, and is done before all are closed
    for thread in threading.enumerate():
        if thread.name == "metrics-database":
            thread.join()
    assert page["pulpit_events_written_total", "status"] == 1
    assert page["pulpit_tasks_submitted_total", "sync"] == 1
    assert not any(key[0] in {"pulpit_tasks", "pulpit_sink_lag_events"} for key in page)


def test_no_page_names_a_task_or_a_repository(house: _House) -> None:
    """Labels hold nothing that users choose."""
    house.submit("zoo-of-many-names")
    page = asyncio.run(house.figures.page(openmetrics=True)).decode()
    assert "zoo" not in page


def test_processes_of_the_database_are_told(house: _House) -> None:
    """How many there are, how long they have been silent, and how long leases last."""
    assert ("pulpit_workers_silence_seconds",) not in house.page()
    with house.storage.write() as transaction:
        for name in ("a", "b"):
            worker = new_worker(name, slots=4, timeout=30, now=house.clock())
            assert transaction.workers.add(worker)
    assert house.storage.leases.take("leader", "me", seconds=1_000)
    page = house.page()
    assert page["pulpit_workers",] == 2
    assert page["pulpit_workers_slots",] == 8
    assert 0 <= page["pulpit_workers_silence_seconds",] < 500
    assert 500 < page["pulpit_lease_seconds", "leader"] <= 1_000


def test_schedules_are_told(house: _House) -> None:
    """How many there are, and how late the latest is; one that is disabled is never late."""
    page = house.page()
    assert page["pulpit_schedules", "enabled"] == page["pulpit_schedule_overdue_seconds",] == 0
    now = utc_now()
    of = Scheduled(kind=ScheduleKind.SYNC, repo_id="zoo", plugin_id="yum_importer")
    with house.storage.write() as transaction:
        zoo = Repository(id="zoo", oid="0" * 24, display_name="zoo", created=now)
        transaction.repositories.add(zoo)
        for number, (late, enabled) in enumerate(((9_000, False), (1_000, True), (-9_000, True))):
            due = now - timedelta(seconds=late)
            transaction.schedules.add(
                Schedule(
                    id=f"{number:024}",
                    of=of,
                    text="P1D",
                    enabled=enabled,
                    first_run=due,
                    next_run=due,
                    last_updated=now,
                )
            )
    page = house.page()
    assert page["pulpit_schedules", "enabled"] == 2
    assert page["pulpit_schedules", "disabled"] == 1
    assert 1_000 <= page["pulpit_schedule_overdue_seconds",] < 2_000


def test_deliveries_to_listeners_are_told(house: _House) -> None:
    """What waits and was given up by the database, attempts as this process has counted them."""
    now = house.clock()
    with house.storage.write() as transaction:
        for name, reason in (("a", None), ("b", None), ("c", "by the operator")):
            transaction.listeners.add(
                Listener(
                    id=name * 24,
                    notifier_type=NotifierType.HTTP,
                    created=now,
                    last_updated=now,
                    disabled_reason=reason,
                )
            )
        message = Message(
            sequence=1,
            event_id="e",
            event_type="task.error",
            repo_id=None,
            task_id=None,
            tags=(),
            time=now,
            body=b"{}",
        )
        transaction.deliveries.add([(message, ["a" * 24, "b" * 24])], now=now)
        (first,) = transaction.deliveries.pending("a" * 24, after=0, limit=2)
        attempt = Attempt(time=now, duration=1.0, verdict=Verdict.FAILED)
        exhausted = first.tried(attempt, state=DeliveryState.EXHAUSTED, due=None)
        assert transaction.deliveries.settle([exhausted])
    for seconds in (0.001, 0.3, 100.0):
        house.tally.count(NotifierType.HTTP, Verdict.FAILED, seconds)
    page = house.page()
    assert page["pulpit_listeners", "enabled"] == 2
    assert page["pulpit_listeners", "disabled"] == 1
    assert page["pulpit_listener_deliveries", "pending"] == 1
    assert page["pulpit_listener_deliveries", "exhausted"] == 1
    assert page["pulpit_listener_oldest_pending_seconds",] > 0
    assert page["pulpit_listener_attempts_total", "http", "failed"] == 3
    assert page["pulpit_listener_attempt_seconds_bucket", "0.005", "http"] == 1
    assert page["pulpit_listener_attempt_seconds_bucket", "0.5", "http"] == 2
    assert page["pulpit_listener_attempt_seconds_count", "http"] == 3
    assert page["pulpit_listener_attempt_seconds_sum", "http"] == pytest.approx(100.301)


def test_a_long_journal_of_postgresql_is_estimated(postgresql_url: str) -> None:
    """Counting might have to read all bodies."""
    insert = text(
        "INSERT INTO journal (kind, type, revision, previous, tags, time, body) "
        "SELECT 'progress', 't', 1, 0, '[]', 0, 'x' FROM generate_series(1, 120000)"
    )
    with PostgresStorage(postgresql_url) as storage:
        with storage.write() as transaction:
            transaction.connection.execute(insert)
            transaction.connection.execute(text("ANALYZE journal"))
        with storage.write() as transaction:
            transaction.connection.execute(text("DELETE FROM journal WHERE sequence > 10"))
        size = journal_size(storage)
        assert size.rows[EventKind.PROGRESS] == pytest.approx(120_000, rel=0.1)
        assert size.rows[EventKind.STATUS] == 0
        with storage.write() as transaction:
            transaction.connection.execute(text("ANALYZE journal"))
        assert journal_size(storage).rows[EventKind.PROGRESS] == 10
