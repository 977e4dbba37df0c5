"""A worker of the distributed engine, wired as ``pulpit worker`` is; its tasks do nothing.

Run by ``bench._engine_sides``. It says ``ready`` and runs until its input ends.
"""

from __future__ import annotations

import os
import sys

from bench._empty_task import bodies
from bench._tasks import quiet
from pulpit.domain.clock import utc_now
from pulpit.domain.workers import CANCEL_CHANNEL, new_worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.engine.worker import WorkerEngine
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.workers import Workers
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.postgresql_connections import connection_values

__all__ = ["main"]

_TIMEOUT = 30.0
_POLLING = 5.0
_IDLE = 10.0


def main() -> None:
    """Work until the input ends; the command line has a number, the URL, slots and notes."""
    number, url, slots, notes = sys.argv[1:]
    with PostgresStorage(url) as storage:
        offer = DistributedEngine().offer
        engine = WorkerEngine(
            Lifecycle(storage, clock=utc_now, completions={}, offer=offer),
            Workers(storage, clock=utc_now, offer=offer),
            worker=new_worker(
                f"worker-{number}@bench", slots=int(slots), timeout=_TIMEOUT, now=utc_now()
            ),
            polling=_POLLING,
            database=connection_values(url, idle_seconds=_IDLE),
            bodies=bodies(notes),
            failed=lambda: os._exit(1),
            log=quiet(),
        )
        storage.notifications.subscribe(CANCEL_CHANNEL, engine.cancel)
        engine.start()
        print("ready", flush=True)
        sys.stdin.read()
        engine.stop()
