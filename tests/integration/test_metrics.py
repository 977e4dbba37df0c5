"""The figures over a real database: what they count, and that nothing holds up a scrape."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pulpit.app.figures import Figures, Parts
from pulpit.app.task_counts import TaskCounts
from pulpit.events.amqp import CURSOR, PublisherStatus
from pulpit.events.amqp.reasons import Reason
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks, repository_task
from pulpit.storage.sqlite import SqliteStorage
from pulpit.testing import FrozenClock, RecordingEngine
from tests.api_site import copy_of

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

    def __init__(self, database: Path) -> None:
        self.storage = SqliteStorage(database)
        self.clock = FrozenClock()
        self.counts = TaskCounts()
        self.channels = _Channels()
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
            folder=database.parent,
            engine=lambda: {"slots": 4, "busy": 1, "updates": 0},
            notifications=self.channels,
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


@pytest.fixture
def house(new_database: Path, tmp_path: Path) -> Iterator[_House]:
    """Yield figures over an empty database."""
    made = _House(copy_of(new_database, tmp_path))
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
    with contextlib.closing(sqlite3.connect(house.storage.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        page = house.page()
    assert page["pulpit_database_up",] == 1
    assert page["pulpit_tasks", "waiting", "sync"] == 1


def test_a_database_that_hangs_is_told_and_the_rest_as_well(house: _House) -> None:
    """What only the database knows is left out; what the process knows is there."""
    house.submit("zoo")
    with contextlib.ExitStack() as stack:
        # every connection there may be is taken
        for _ in range(16):
            stack.enter_context(house.storage.read())
        page = house.page()
    assert page["pulpit_database_up",] == 0
    assert page["pulpit_events_written_total", "status"] == 1
    assert page["pulpit_tasks_submitted_total", "sync"] == 1
    assert not any(key[0] in {"pulpit_tasks", "pulpit_sink_lag_events"} for key in page)


def test_no_page_names_a_task_or_a_repository(house: _House) -> None:
    """Labels hold nothing that users choose."""
    house.submit("zoo-of-many-names")
    page = asyncio.run(house.figures.page(openmetrics=True)).decode()
    assert "zoo" not in page
