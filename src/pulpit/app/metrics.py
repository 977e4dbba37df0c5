"""The metrics: what they are called and mean, and the page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

__all__ = ["METRICS", "Definition", "Histogram", "Kind", "Page", "Samples", "Values"]


class Kind(StrEnum):
    """What may be done with a metric's values."""

    #: Only grows, from 0 at the start of the server.
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many observations were at most each bound, and their sum."""

    #: (upper bound, how many were at most that), rising; the last bound is ``+Inf``.
    buckets: Sequence[tuple[str, float]]
    total: float


#: Values of the labels to the value there.
Values = Mapping[tuple[str, ...], float | Histogram]
#: Name of a metric to its values; a metric that is not known now is absent.
Samples = Mapping[str, Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric; no label ever has a value that users choose."""

    name: str
    kind: Kind
    #: One sentence, without a full stop at its end.
    help: str
    labels: tuple[str, ...] = field(default=())

    def family(self, values: Values) -> Metric:
        """Return the metric with these values."""
        kind: Any = {
            Kind.COUNTER: CounterMetricFamily,
            Kind.GAUGE: GaugeMetricFamily,
            Kind.HISTOGRAM: HistogramMetricFamily,
        }[self.kind]
        family = kind(self.name, self.help, labels=self.labels)
        for labels, value in values.items():
            if isinstance(value, Histogram):
                family.add_metric(labels, buckets=value.buckets, sum_value=value.total)
            else:
                family.add_metric(labels, value)
        return cast("Metric", family)


def _counter(name: str, text: str, *labels: str) -> Definition:
    return Definition(name=f"pulpit_{name}", kind=Kind.COUNTER, help=text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> Definition:
    return Definition(name=f"pulpit_{name}", kind=Kind.GAUGE, help=text, labels=labels)


def _histogram(name: str, text: str, *labels: str) -> Definition:
    return Definition(name=f"pulpit_{name}", kind=Kind.HISTOGRAM, help=text, labels=labels)


#: Every metric of our own, in the order of the page; groups by title.
METRICS: Mapping[str, tuple[Definition, ...]] = {
    "The journal": (
        _counter("events_written_total", "Events written to the journal", "kind"),
        _counter("events_written_bytes_total", "Bytes of the bodies of events written"),
        _gauge("journal_rows", "Events in the journal, as counted at most a minute ago", "kind"),
        _gauge("journal_bytes", "Bytes of their bodies, estimated from the newest"),
        _gauge("journal_oldest_sequence", "Number of the oldest event in the journal"),
        _gauge("journal_newest_sequence", "Number of the newest event in the journal"),
        _gauge("journal_oldest_age_seconds", "Age of the oldest event in the journal"),
    ),
    "The channels": (
        _gauge("connections", "Connections of each channel that are open now", "channel"),
        _counter("events_published_total", "Events sent, each counted once a receiver", "sink"),
        _counter("events_folded_total", "Progress events told by a later event", "sink"),
        _gauge("sink_lag_events", "Sequence numbers from a channel's cursor to the head", "sink"),
        _gauge("sink_lag_seconds", "Age of the first event after a channel's cursor", "sink"),
    ),
    "The broker": (
        _gauge("broker_connected", "1 while a broker is connected, else 0"),
        _gauge("broker_blocked", "1 while the broker takes no messages (alarm), else 0"),
        _counter("events_confirmed_total", "Events that the broker has confirmed"),
        _counter("events_resent_total", "Events sent again, after a lost connection or a nack"),
        _gauge("events_unconfirmed", "Events sent that the broker has not confirmed"),
        _counter("publish_failures_total", "Attempts to publish that failed", "reason"),
    ),
    "The AMQP door": (
        _gauge("door_consumers", "Consumers at the door now"),
        _gauge("door_queues", "Queues at the door now"),
        _counter("door_dropped_total", "Progress events dropped to keep a queue in bounds"),
        _counter("door_refused_total", "Connections refused: no room, or wrong credentials"),
        _counter("door_closed_behind_total", "Queues closed as their consumer was too far behind"),
    ),
    "The HTTP stream": (
        _counter("stream_stale_total", "Readers told that events are gone"),
        _counter("stream_closed_dead_total", "Readers cut off that took nothing for too long"),
    ),
    "Listeners": (
        _gauge("listeners", "Event listeners, by whether they are enabled or disabled", "state"),
        _gauge("listener_deliveries", "Deliveries to listeners: pending, exhausted", "state"),
        _gauge("listener_oldest_pending_seconds", "Age of the oldest delivery that is pending"),
        _counter(
            "listener_attempts_total", "Attempts of deliveries to listeners", "type", "verdict"
        ),
        _histogram("listener_attempt_seconds", "Time that these attempts took", "type"),
    ),
    "Tasks": (
        _gauge("tasks", "Tasks that have not ended", "state", "type"),
        _counter("tasks_submitted_total", "Tasks handed in", "type"),
        _counter("tasks_ended_total", "Tasks that ended", "state", "type"),
        _histogram("task_wait_seconds", "Time from the hand-in of a task to its start", "type"),
        _histogram("task_duration_seconds", "Time from the start of a task to its end", "type"),
        _gauge("reservations", "Reservations that tasks hold, or wait for", "state"),
        _gauge("worker_slots", "Tasks that this process may run at a time"),
        _gauge("worker_slots_busy", "Processes of tasks that it has now"),
        _gauge("task_updates_pending", "Updates of running tasks that wait for the database"),
    ),
    "Schedules": (
        _gauge("schedules", "Schedules, by whether they are enabled or disabled", "state"),
        _gauge("schedule_overdue_seconds", "Time since the most overdue schedule was to run"),
    ),
    "The database's processes": (
        _gauge("workers", "Processes of `pulpit worker` that the database knows"),
        _gauge("workers_slots", "Tasks that they may run at a time, all together"),
        _gauge("workers_silence_seconds", "Time since the most silent of them was heard of"),
        _gauge("lease_seconds", "Time until a lease ends unless it is renewed", "lease"),
    ),
    "The server": (
        _gauge("build_info", "1, with the versions as labels", "version", "schema"),
        _gauge("leader", "1 while this server publishes and cleans up for all, else 0"),
        _gauge("database_up", "1 if the database has answered this scrape, else 0"),
        _gauge("database_bytes", "Size of the database's files", "file"),
        _gauge("disk_free_bytes", "Room on the disk of the data folder"),
        _gauge("disk_size_bytes", "Size of the disk of the data folder"),
        _counter(
            "housekeeping_failures_total",
            "Runs of a housekeeping operation that failed",
            "operation",
        ),
    ),
}
_ALL = tuple(definition for group in METRICS.values() for definition in group)


class Page:
    """What Prometheus reads, from a registry of its own; for use in one thread.

    Args:
        samples: returns what is to be told now; called once for each page.
    """

    def __init__(self, samples: Callable[[], Samples]) -> None:
        self._samples = samples
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that is known now."""
        samples = self._samples()
        for definition in _ALL:
            if (values := samples.get(definition.name)) is not None:
                yield definition.family(values)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is, is known when it is read."""
        return iter(())

    def render(self, *, openmetrics: bool) -> bytes:
        """Return the page as OpenMetrics 1.0, or as Prometheus' text format 0.0.4."""
        generate: Callable[[Any], bytes] = generate_openmetrics if openmetrics else generate_latest
        return generate(self._registry)
