"""A broker that is away: what waits for it, and what does not."""

from __future__ import annotations

from pathlib import Path

import structlog
from structlog.testing import LogCapture

from bench._hour import Hour, Size
from pulpit.domain.events import EventKind
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings
from tests.services import free_ports

_PROGRESS_ROWS = 200
#: What the promise allows for a status change.
_BYTES = 5_000


def test_only_status_changes_wait_for_a_broker(tmp_path: Path) -> None:
    """At full rate the database grows by 5 KB for each of them at most; progress waits for nobody.

    Progress of the last hour is there for readers that resume over HTTP; then it is gone, though
    the broker has confirmed nothing.
    """
    (nowhere,) = free_ports(1)
    with Hour(tmp_path / "data", seconds=60, task_seconds=5, telling=True) as hour:
        publisher = Publisher(
            PublisherSettings(urls=f"amqp://127.0.0.1:{nowhere}/", retry_first=0.01),
            source=hour.storage.events,
            cursors=hour.storage.cursors,
            event_source_uri="urn:x",
            log=structlog.wrap_logger(None, processors=[LogCapture()]),
        )
        publisher.start()
        try:
            hour.pass_by()
            told = hour.storage.events.head()
            assert told > 60 * 4 * 50
            by_task = [event.task_id for event in hour.events(EventKind.PROGRESS)]
            assert max(map(by_task.count, set(by_task))) <= _PROGRESS_ROWS
            hour.outlive_progress()
            waiting = list(hour.events(EventKind.STATUS))
            assert not list(hour.events(EventKind.PROGRESS))
            assert publisher.status().published == 0
        finally:
            publisher.stop()
        assert hour.storage.cursors.load(CURSOR) == 0
        grown = Size.of(hour.path).used - hour.before.used
    assert len(waiting) > 100
    assert sum(len(event.body) for event in waiting) > len(waiting) * 1_400
    assert grown <= len(waiting) * _BYTES
