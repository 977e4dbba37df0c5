"""Celery's event dispatcher; the rest of the command line says how it sends.

``confirmed``: kombu waits for the broker's confirm of each message (``confirm_publish``, off by
default). ``buffered``: up to 24 events of tasks go in one message, as a worker sends them.
"""

from __future__ import annotations

import json

from celery import Celery

from bench.peers._given import Stopwatch, given

__all__ = ["main"]


def main() -> None:
    """Be the peer."""
    asked = given()
    reports = [
        (told["routing_key"].removeprefix("tasks."), json.loads(told["body"]))
        for told in asked.messages
    ]
    app = Celery("bench", broker=asked.url)
    app.conf.event_exchange = asked.exchange
    app.conf.broker_transport_options = {"confirm_publish": "confirmed" in asked.rest}
    with app.connection_for_write() as connection:
        connection.connect()
        dispatcher = app.events.Dispatcher(
            connection,
            buffer_while_offline=False,
            buffer_group=["task"] if "buffered" in asked.rest else None,
        )
        watch = Stopwatch()
        for task, report in reports:
            dispatcher.send("task-progress", uuid=task, report=report)
        dispatcher.flush()
        watch.tell()


if __name__ == "__main__":
    main()
