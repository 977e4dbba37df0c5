"""A publisher in a process that can be killed: ``python -m tests.services.publishing DATA URL``.

Says ``done`` when the whole journal is confirmed, and stays until its input ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import structlog
from structlog.testing import LogCapture

from pulpit.events.amqp import Publisher, PublisherSettings
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["main"]


def main(database: Path, url: str) -> None:
    """Publish the journal of the database to the broker."""
    with SqliteStorage(database) as storage:
        publisher = Publisher(
            PublisherSettings(urls=url, fold_above=None, cursor_interval=0.01),
            source=storage.events,
            cursors=storage.cursors,
            event_source_uri="urn:x",
            log=structlog.wrap_logger(None, processors=[LogCapture()]),
        )
        publisher.start()
        while publisher.status().lag:
            time.sleep(0.01)
        sys.stdout.write("done\n")
        sys.stdout.flush()
        sys.stdin.read()
        publisher.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
