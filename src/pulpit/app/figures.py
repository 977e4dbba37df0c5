"""The figures behind the metrics: counted where nobody can count later, else read when asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from pulpit.app.bounded import Bounded
from pulpit.app.listeners import listener_figures
from pulpit.app.metrics import Histogram, Page, Samples, Values
from pulpit.app.task_counts import TaskCounts
from pulpit.domain.clock import utc_now
from pulpit.domain.events import EventKind
from pulpit.events.amqp import CURSOR, PublisherStatus
from pulpit.events.listeners import DURATIONS, Tally
from pulpit.ports import Storage
from pulpit.services.dispatch import CURSOR as LISTENERS_CURSOR
from pulpit.storage.database import SqlStorage
from pulpit.storage.figures import DatabaseFigures, JournalSize, journal_size, read_figures
from pulpit.storage.migrations import HEAD

__all__ = ["Channels", "Figures", "Parts"]

#: Seconds that a scrape waits for the database.
_PATIENCE = 1.0
#: Names of cursors, and the sinks as metrics call them.
_SINKS = {CURSOR: "broker", "door": "door", LISTENERS_CURSOR: "listeners"}
#: Metric to what the engine calls it.
_ENGINE = {
    "pulpit_worker_slots": "slots",
    "pulpit_worker_slots_busy": "busy",
    "pulpit_task_updates_pending": "updates",
}
#: Metric to what the door calls it.
_DOOR = {
    "pulpit_door_consumers": "consumers",
    "pulpit_door_queues": "queues",
    "pulpit_door_dropped_total": "dropped",
    "pulpit_door_refused_total": "refused",
    "pulpit_door_closed_behind_total": "behind",
}


class Channels(Protocol):
    """The AMQP channels; see ``Notifications``."""

    def publisher_status(self) -> PublisherStatus | None: ...
    def door_figures(self) -> Mapping[str, int] | None: ...
    def positions(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of the server that are watched."""

    storage: SqlStorage
    folder: Path
    #: Returns counts of the engine; empty where it is not in this process.
    engine: Callable[[], Mapping[str, int]]
    #: Tells whether this server leads.
    leads: Callable[[], bool]
    notifications: Channels
    #: Counts of attempts to deliver to listeners.
    deliveries: Tally
    #: Returns counts of the HTTP stream.
    streams: Callable[[], Mapping[str, int]]
    #: Job to how often it has failed.
    housekeeping_failures: Mapping[str, int]


class Figures:
    """Gathers what the metrics tell; for use in the event loop.

    The database is asked at each scrape, in a thread of its own and not for long: what it would
    have told is left out of a page that it does not answer in time.

    Args:
        parts: what is watched.
        tasks: counts of tasks.
        patience: seconds that a scrape waits for the database.
    """

    def __init__(self, parts: Parts, *, tasks: TaskCounts, patience: float = _PATIENCE) -> None:
        self._parts, self._tasks = parts, tasks
        self._size: JournalSize | None = None
        self._counted: Mapping[EventKind, int] = {}
        self._counted_bytes = 0
        self._database: Bounded[Samples] = Bounded(
            self._ask, seconds=patience, name="metrics-database"
        )
        self._now: Samples = {}
        self._page = Page(lambda: self._now)

    def count_journal(self) -> None:
        """Count the journal's rows, which takes too long for a scrape; call it now and then."""
        signal = self._parts.storage.signal
        written, written_bytes = dict(signal.written), signal.written_bytes
        self._size = journal_size(self._parts.storage)
        self._counted, self._counted_bytes = written, written_bytes

    async def page(self, openmetrics: bool) -> bytes:  # noqa: FBT001 - as the route calls it
        """Return the metrics' page, as OpenMetrics or as Prometheus' text."""
        try:
            database = await self._database.answer()
        except Exception:  # noqa: BLE001 - whatever it is, all the rest is worth telling
            database = {"pulpit_database_up": _one(0), **self._tasks.samples(None)}
        # nothing is awaited from here on, so pages don't mix
        deliveries = _attempts(self._parts.deliveries)
        self._now = {
            **database,
            **self._own(),
            **self._events(),
            **self._channels(),
            **deliveries,
        }
        return self._page.render(openmetrics=openmetrics)

    def _own(self) -> Samples:
        """Return what this process knows of itself."""
        engine = self._parts.engine()
        return {
            "pulpit_build_info": {(version("pulpit"), HEAD): 1},
            "pulpit_leader": _one(self._parts.leads()),
            **{metric: _one(engine[key]) for metric, key in _ENGINE.items() if engine},
            "pulpit_housekeeping_failures_total": _by(self._parts.housekeeping_failures),
        }

    def _events(self) -> Samples:
        """Return what is known of the journal without asking the database."""
        signal = self._parts.storage.signal
        written = dict(signal.written)
        samples = {
            "pulpit_events_written_total": _by(written),
            "pulpit_events_written_bytes_total": _one(signal.written_bytes),
            "pulpit_journal_newest_sequence": _one(signal.head),
        }
        if size := self._size:
            rows = {
                kind: count + written[kind] - self._counted[kind]
                for kind, count in size.rows.items()
            }
            samples["pulpit_journal_rows"] = _by(rows)
            samples["pulpit_journal_bytes"] = _one(
                sum(size.rows.values()) * size.mean_bytes
                + (signal.written_bytes - self._counted_bytes)
            )
        return samples

    def _channels(self) -> Samples:
        """Return what the channels tell of themselves."""
        told, streams = self._parts.notifications, self._parts.streams()
        door, broker = told.door_figures() or {}, told.publisher_status()
        connections = {"http": streams["readers"]}
        published = {"http": streams["sent"]}
        folded = {"http": streams["folded"]}
        if door:
            connections["door"] = door["connections"]
            published["door"], folded["door"] = door["delivered"], door["folded"]
        if broker:
            connections["broker"] = int(broker.connected)
            published["broker"], folded["broker"] = broker.published, broker.folded
        return {
            "pulpit_connections": _by(connections),
            "pulpit_events_published_total": _by(published),
            "pulpit_events_folded_total": _by(folded),
            "pulpit_stream_stale_total": _one(streams["stale"]),
            "pulpit_stream_closed_dead_total": _one(streams["dead"]),
            **{metric: _one(door[key]) for metric, key in _DOOR.items() if door},
            **(_publishing(broker) if broker else {}),
        }

    def _ask(self) -> Samples:
        """Return what database and disk tell; may block, in a thread of its own."""
        parts = self._parts
        found = read_figures(parts.storage, parts.notifications.positions())
        disk = os.statvfs(parts.folder)
        held, waiting = found.reservations_held, found.reservations_waiting
        return {
            "pulpit_database_up": _one(1),
            "pulpit_database_bytes": _by(parts.storage.sizes()),
            "pulpit_disk_free_bytes": _one(disk.f_bavail * disk.f_frsize),
            "pulpit_disk_size_bytes": _one(disk.f_blocks * disk.f_frsize),
            "pulpit_reservations": _by({"held": held, "waiting": waiting}),
            **self._tasks.samples(found.tasks),
            **_ages(found, parts.storage.signal.head),
            **_processes(found),
            **_schedules(found),
            **_listeners(parts.storage),
        }


def _one(value: float) -> Values:
    """Return the value of a metric without labels."""
    return {(): value}


def _by(values: Mapping[Any, float]) -> Values:
    """Return the values of a metric with one label."""
    return {(str(label),): value for label, value in values.items()}


def _publishing(broker: PublisherStatus) -> Samples:
    """Return how the publisher is doing."""
    return {
        "pulpit_broker_connected": _one(broker.connected),
        "pulpit_broker_blocked": _one(broker.blocked),
        "pulpit_events_confirmed_total": _one(broker.confirmed),
        "pulpit_events_resent_total": _one(broker.resent),
        "pulpit_events_unconfirmed": _one(broker.published - broker.confirmed),
        "pulpit_publish_failures_total": _by(broker.failures),
    }


def _attempts(tally: Tally) -> Samples:
    """Return how deliveries to listeners go."""
    durations: dict[tuple[str, ...], Histogram] = {}
    for kind, counts in tally.durations.items():
        bounds = [*map(str, DURATIONS), "+Inf"]
        durations[kind.value,] = Histogram(
            buckets=list(zip(bounds, accumulate(counts), strict=True)), total=tally.seconds[kind]
        )
    return {
        "pulpit_listener_attempts_total": {
            (kind.value, verdict.value): count for (kind, verdict), count in tally.attempts.items()
        },
        "pulpit_listener_attempt_seconds": durations,
    }


def _listeners(storage: Storage) -> Samples:
    """Return what the database knows of listeners and deliveries."""
    found = listener_figures(storage)
    return {
        "pulpit_listeners": _by({"enabled": found.enabled, "disabled": found.disabled}),
        "pulpit_listener_deliveries": _by({"pending": found.pending, "exhausted": found.exhausted}),
        "pulpit_listener_oldest_pending_seconds": _one(_age(found.oldest, utc_now())),
    }


def _ages(found: DatabaseFigures, head: int) -> Samples:
    """Return how old the journal is, and how far behind it the channels are."""
    now = utc_now()
    sinks = {name: _SINKS[name] for name in found.cursors if name in _SINKS}
    lags = {sink: max(head - found.cursors[name], 0) for name, sink in sinks.items()}
    samples = {
        "pulpit_sink_lag_events": _by(lags),
        "pulpit_sink_lag_seconds": _by(
            {sink: _age(found.next_times[name], now) for name, sink in sinks.items()}
        ),
    }
    if found.oldest is not None:
        samples["pulpit_journal_oldest_sequence"] = _one(found.oldest)
        samples["pulpit_journal_oldest_age_seconds"] = _one(_age(found.oldest_time, now))
    return samples


def _schedules(found: DatabaseFigures) -> Samples:
    """Return how schedules are doing."""
    states = {"enabled": found.schedules_enabled, "disabled": found.schedules_disabled}
    return {
        "pulpit_schedules": _by(states),
        "pulpit_schedule_overdue_seconds": _one(_age(found.next_schedule, utc_now())),
    }


def _processes(found: DatabaseFigures) -> Samples:
    """Return who else works on the database."""
    samples = {
        "pulpit_workers": _one(found.workers),
        "pulpit_workers_slots": _one(found.worker_slots),
        "pulpit_lease_seconds": _by(found.leases),
    }
    if found.worker_silence is not None:
        samples["pulpit_workers_silence_seconds"] = _one(found.worker_silence)
    return samples


def _age(time: datetime | None, now: datetime) -> float:
    """Return how long ago that was in seconds; 0 for what is not there."""
    return max((now - time).total_seconds(), 0.0) if time else 0.0
