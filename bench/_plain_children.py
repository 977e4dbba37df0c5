"""Starts children that do nothing, with no database at all: the floor of every engine.

Run by ``bench._engine_sides``. Answers ``COUNT SLOTS`` with the time of each start, once all of
the children are gone.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from bench._empty_task import empty_task, start_child
from pulpit.app import CHILD
from pulpit.engine.forking import start_fork_server

__all__ = ["main"]


def _run(context: Any, count: int, slots: int, notes: str) -> list[float]:
    """Run *count* children, *slots* at a time; return when each was started."""
    running: dict[int, tuple[Any, Connection]] = {}
    started: list[float] = []
    while len(started) < count or running:
        while len(started) < count and len(running) < slots:
            task = empty_task(f"r{len(started)}")
            started.append(time.monotonic())
            process, reading = start_child(context, task, notes)
            running[process.sentinel] = process, reading
        for sentinel in wait(list(running)):
            process, reading = running.pop(sentinel)  # type: ignore[arg-type]
            process.join()
            process.close()
            reading.close()
    return started


def main() -> None:
    """Answer orders until the input ends; the command line has slots and the file of notes."""
    slots, notes = sys.argv[1:]
    context = start_fork_server(CHILD, "bench._empty_task")
    _run(context, int(slots), int(slots), notes)
    print("ready", flush=True)
    with suppress(KeyboardInterrupt):
        for line in sys.stdin:
            count, at_once = map(int, line.split())
            print(*_run(context, count, at_once, notes), flush=True)
