"""The embedded engine on SQLite, in a process of its own; run by ``bench._engine_sides``.

A line of repositories is answered by the ids of the tasks that were handed in for them, in one
transaction.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench._empty_task import bodies, empty_task
from bench._tasks import quiet
from pulpit.domain.clock import utc_now
from pulpit.engine.embedded import EmbeddedEngine
from pulpit.ports import Transaction
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.tasks import Tasks
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage

__all__ = ["main"]


def main() -> None:
    """Work until the input ends; the command line has the data folder, slots and notes."""
    data, slots, notes = sys.argv[1:]
    folder = Path(data)
    folder.mkdir()
    with SqliteStorage(upgrade(folder)) as storage:

        def offer(transaction: Transaction) -> None:
            engine.offer(transaction)

        engine = EmbeddedEngine(
            Lifecycle(
                storage,
                clock=utc_now,
                completions={},
                offer=offer,
            ),
            worker_name="bench@localhost",
            slots=int(slots),
            bodies=bodies(notes),
            failed=lambda: os._exit(1),
            log=quiet(),
        )
        tasks = Tasks(storage, clock=utc_now, engine=engine)
        engine.start()
        print("ready", flush=True)
        for line in sys.stdin:
            added = [empty_task(repository) for repository in line.split()]
            with storage.write() as transaction:
                tasks.submit_in(transaction, added)
            print(*(task.id for task in added), flush=True)
        engine.stop()
