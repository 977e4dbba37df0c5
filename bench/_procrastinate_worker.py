"""A bare Procrastinate worker, run by ``bench._engine_sides``.

A job starts the same child process as a worker of ours, from the same kind of fork server, and
waits for its end; what the queue itself says of the job is all that is kept. It says ``ready`` and
runs until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from functools import partial
from typing import Any

import procrastinate

from bench._empty_task import empty_task, start_child
from pulpit.app import CHILD
from pulpit.domain.outcomes import Finished
from pulpit.engine.forking import start_fork_server
from pulpit.engine.frames import FrameReader

__all__ = ["main"]

#: More than a child that does nothing can tell.
_READ = 1 << 16
#: Seconds in which the worker lets go of its jobs.
_LAST_WORDS = 5.0


async def _run(context: Any, notes: str, *, task_id: str, repo_id: str) -> None:
    """Run one job."""
    task = empty_task(repo_id, task_id=task_id)
    process, reading = start_child(context, task, notes)
    await _readable(process.sentinel)
    with contextlib.closing(reading):
        told = list(FrameReader().feed(os.read(reading.fileno(), _READ)))
    process.join()
    process.close()
    if not (told and isinstance(told[-1], Finished)):
        raise RuntimeError(f"the child told {told}")


async def _readable(descriptor: int) -> None:
    """Return once there is something to read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, partial(_resolve, ready))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _work(url: str, slots: int, notes: str) -> None:
    context = start_fork_server(CHILD, "bench._empty_task")
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    app.task(name="bench")(partial(_run, context, notes))
    async with app.open_async():
        worker = asyncio.create_task(app.run_worker_async(concurrency=slots, listen_notify=True))
        print("ready", flush=True)
        await _readable(sys.stdin.fileno())
        worker.cancel()
        await asyncio.wait([worker], timeout=_LAST_WORDS)
    # without its database it would go on trying
    os._exit(0)


def main() -> None:
    """Work until the input ends; the command line has a number, the URL, slots and notes."""
    _, url, slots, notes = sys.argv[1:]
    asyncio.run(_work(url, int(slots), notes))
