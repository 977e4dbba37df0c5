"""An hour without the broker at full rate: memory, the database, and what drains afterwards.

    python -m bench.outage [--quick] [--json]

Four tasks at a time, each for a minute of a clock that is moved by hand, tell progress at the
sustained rate of the token bucket, 50 a second each: 720,000 progress events in the hour, with
bodies of 1.5 KB, written by the real services as fast as they go, twenty to a transaction. The
real publisher tries a port where nobody listens, and the real retention runs with its default
settings after every minute. Then a real RabbitMQ answers on that port and the backlog drains.

The database is measured after a checkpoint of its write-ahead log, in pages that are in use.
``db_bytes_per_status`` is its growth for each status change once progress is past its hour: rows
of tasks and indexes included. ``db_bytes_progress`` is the part of that growth which the same hour
without progress does not have, for each progress event: status rows that stand alone on a page
whose progress is gone. Progress within its hour is kept for readers that resume over HTTP, whether
there is a broker or not (``progress_kept_mb``); the file keeps the pages that were its, and they
are used again (``file_after_mb``).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._hour import BODY, GROUP, Hour, Size
from bench._memory import resident
from bench._report import Aim, Measured, run
from bench._tasks import quiet
from pulpit.domain.events import EventKind
from pulpit.events.amqp import Publisher, PublisherSettings
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ

__all__ = ["main", "measure"]

_QUEUE = "outage"
_PATIENCE = 300.0
_MB = 1 << 20
#: Bare rows that tell how fast SQLite writes here.
_BARE_ROWS = 20_000

_AIMS = {
    "rss_growth_ratio": Aim(most=1.1, text="memory at the end against that after a tenth"),
    "db_vs_raw": Aim(text="growth against bare SQLite rows of the same bodies"),
    "write_vs_raw": Aim(text="events/s against bare SQLite rows of the same bodies"),
    "db_bytes_per_status": Aim(most=5_000, text="growth for each status change, all included"),
    "db_bytes_progress": Aim(most=1, text="growth for each progress event"),
    "status_lost": Aim(most=0, text="status changes that the queue lacks after the drain"),
}


def measure(quick: bool) -> Measured:  # noqa: FBT001 - the one choice there is
    """Return the ratios and figures; *quick* takes six minutes for the hour."""
    seconds = 360 if quick else 3_600
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-outage-")))
        broker = RabbitMQ(folder / "rabbitmq")
        stack.callback(broker.stop)
        _leave(broker)
        hour = stack.enter_context(Hour(folder / "told", seconds=seconds, telling=True))
        silent = stack.enter_context(Hour(folder / "silent", seconds=seconds, telling=False))
        silent.pass_by()
        publisher = _publisher(broker.url, hour)
        publisher.start()
        stack.callback(publisher.stop)
        ratios, figures = _outage(hour, publisher)
        figures |= _drain(broker, hour, publisher)
        more_ratios, more_figures = _growth(hour, silent)
        ratios |= more_ratios | {"write_vs_raw": figures["events_per_s"] / _bare_rate(folder)}
    return Measured(ratios=ratios, figures=figures | more_figures)


def _leave(broker: RabbitMQ) -> None:
    """Let a durable queue be bound at the broker, and the broker go."""
    broker.start()
    with Consumer(broker.host, broker.port, queue=_QUEUE):
        pass
    broker.stop()


def _publisher(url: str, hour: Hour) -> Publisher:
    """Return a publisher as a server has it by default."""
    return Publisher(
        PublisherSettings(urls=url),
        source=hour.storage.events,
        cursors=hour.storage.cursors,
        event_source_uri="http://localhost:8080/",
        log=quiet(),
    )


def _outage(hour: Hour, publisher: Publisher) -> tuple[dict[str, float], dict[str, float]]:
    """Let the hour pass without the broker."""
    pid = os.getpid()
    memory = [resident(pid)]
    began = time.perf_counter()
    hour.pass_by(lambda: memory.append(resident(pid)))
    taken = time.perf_counter() - began
    if publisher.status().connected or publisher.status().published:
        raise RuntimeError("the broker was there")
    head = hour.storage.events.head()
    status = sum(1 for _ in hour.events(EventKind.STATUS))
    kept = [len(event.body) for event in hour.events(EventKind.PROGRESS)]
    size = Size.of(hour.path)
    # one look before the first minute, and one after each
    tenth = memory[max(len(memory) // 10, 1)]
    figures = {
        "progress_events": head - status,
        "status_events": status,
        "taken_s": taken,
        "events_per_s": head / taken,
        "retention_s": hour.retention_s,
        "rss_start_mb": memory[0] / _MB,
        "rss_tenth_mb": tenth / _MB,
        "rss_end_mb": memory[-1] / _MB,
        "progress_kept_rows": len(kept),
        "progress_kept_mb": sum(kept) / _MB,
        "db_end_of_outage_mb": size.used / _MB,
        "file_end_of_outage_mb": size.file / _MB,
        "log_highest_mb": hour.log_bytes / _MB,
    }
    return {"rss_growth_ratio": memory[-1] / tenth}, figures


def _drain(broker: RabbitMQ, hour: Hour, publisher: Publisher) -> dict[str, float]:
    """Let the broker come back, and see what arrives."""
    behind = publisher.status().lag
    broker.start()
    _await(lambda: publisher.status().published > 0)
    began = time.perf_counter()
    _await(lambda: publisher.status().lag == 0)
    taken = time.perf_counter() - began
    status = publisher.status()
    expected = {event.id for event in hour.events(EventKind.STATUS)}
    with Consumer(broker.host, broker.port, queue=_QUEUE) as consumer:
        arrived = {message.message_id for message in consumer.count(status.confirmed)}
    return {
        "drain_behind_events": behind,
        "drain_sent_messages": status.published,
        "drain_folded_events": status.folded,
        "drain_s": taken,
        "drain_messages_per_s": status.published / taken,
        "status_lost": len(expected - arrived),
    }


def _await(condition: Callable[[], bool]) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come true in time")
        time.sleep(0.002)


def _growth(hour: Hour, silent: Hour) -> tuple[dict[str, float], dict[str, float]]:
    """Measure what is left of the outage once progress is past its hour."""
    progress = hour.storage.events.head() - silent.storage.events.head()
    for each in (hour, silent):
        each.outlive_progress()
    if any(hour.events(EventKind.PROGRESS)):
        raise RuntimeError("progress outlived its hour")
    bodies = [event.body for event in hour.events(EventKind.STATUS)]
    size = Size.of(hour.path)
    grown = size.used - hour.before.used
    without = Size.of(silent.path).used - silent.before.used
    raw = _bare_size(hour.path.with_name("bare.db"), bodies)
    figures = {
        "db_bytes_per_status": grown / len(bodies),
        "db_bytes_progress": (grown - without) / progress,
        "body_bytes_per_status": sum(map(len, bodies)) / len(bodies),
        "db_after_mb": size.used / _MB,
        "file_after_mb": size.file / _MB,
    }
    return {"db_vs_raw": grown / raw}, figures


def _bare_size(path: Path, bodies: Sequence[bytes]) -> int:
    """Return what rows that are nothing but the bodies take."""
    _write_bare(path, bodies)
    empty = path.with_name("empty.db")
    _write_bare(empty, [])
    return Size.of(path).used - Size.of(empty).used


def _bare_rate(folder: Path) -> float:
    """Return how many rows of a progress event's size are written in a second, grouped alike."""
    rows = [b"x" * BODY] * _BARE_ROWS
    began = time.perf_counter()
    _write_bare(folder / "bare.db", rows)
    return len(rows) / (time.perf_counter() - began)


def _write_bare(path: Path, bodies: Sequence[bytes]) -> None:
    """Write the bodies as rows of a table, as many to a transaction as progress has."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE bare (number INTEGER PRIMARY KEY, body BLOB)")
        for start in range(0, len(bodies), GROUP):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO bare (body) VALUES (?)",
                [(body,) for body in bodies[start : start + GROUP]],
            )
            connection.execute("COMMIT")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    run("outage", "An hour without the broker at full rate", measure, _AIMS, arguments)


if __name__ == "__main__":
    main()
