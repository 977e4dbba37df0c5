"""The senders of the listeners' benchmark: ``python -m bench._webhook_senders WHO FOLDER PORT …``.

``pulpit FOLDER PORT LISTENERS EVENTS EACH CONCURRENCY`` writes EVENTS changes of status to a new
journal in FOLDER, each of which EACH of the LISTENERS want; then it dispatches and delivers as the
server that leads does. ``aiohttp FOLDER PORT COUNT CONCURRENCY`` posts the messages that are there,
COUNT altogether, with nothing but a session of aiohttp's. Both say as JSON what they measured.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import structlog
import uvloop

from bench._memory import resident
from pulpit.app.listeners import ListenerDuties
from pulpit.app.notifiers import in_use, make_notifiers
from pulpit.app.tenure import Term
from pulpit.config import Settings
from pulpit.config.settings import Listeners
from pulpit.config.values import NETWORKS
from pulpit.domain.clock import new_oid, utc_now
from pulpit.domain.events import EventKind, task_event
from pulpit.domain.listeners import Filters, Listener, NotifierType, Secrets, SigningSecret
from pulpit.domain.tasks import SYNC_TASK, TaskState
from pulpit.services.dispatch import CURSOR
from pulpit.services.tasks import repository_task
from pulpit.storage.schema import upgrade
from pulpit.storage.sqlite import SqliteStorage
from pulpit.storage.vault import FolderVault

__all__ = ["main"]

#: Repositories of each listener's part, and events that are written at once.
_REPOSITORIES, _BATCH = 20, 500
#: Seconds between two looks at the memory, and for which nothing may arrive.
_LOOK, _PATIENCE = 0.25, 60.0
_SECRET = SigningSecret(value="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
#: What a report of a sync weighs, roughly.
_FILLING = "x" * 1_000


def _cpu() -> float:
    """Return the seconds of processor time so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory() -> float:
    """Return the memory of this process in MiB."""
    return resident(os.getpid()) / (1 << 20)


def _prepare(
    storage: SqliteStorage, vault: FolderVault, *, port: int, counts: tuple[int, int, int]
) -> None:
    """Write listeners in groups, and events of repositories that the listeners of one ask for."""
    listeners, events, each = counts
    now, groups = utc_now(), listeners // each
    with storage.write() as transaction:
        for number in range(listeners):
            group = number % groups
            transaction.listeners.add(
                Listener(
                    id=new_oid(now),
                    notifier_type=NotifierType.HTTP,
                    config={"url": f"http://127.0.0.1:{port}/{number}"},
                    event_types=("task.finished",),
                    filters=Filters(
                        repositories=tuple(f"r{group}-{one}" for one in range(_REPOSITORIES))
                    ),
                    sealed=vault.seal(Secrets(signing=(_SECRET,))),
                    created=now,
                    last_updated=now,
                )
            )
    storage.cursors.save(CURSOR, storage.events.head())
    for numbers in _batches(events):
        with storage.write() as transaction:
            transaction.journal.append(
                [
                    task_event(
                        replace(
                            repository_task(
                                f"r{number % groups}-{number // groups % _REPOSITORIES}",
                                now=now,
                                task_type=SYNC_TASK,
                                operation="sync",
                                tags=["pulp:action:sync"],
                            ),
                            state=TaskState.FINISHED,
                            result={"summary": _FILLING},
                            revision=1,
                        ),
                        EventKind.STATUS,
                        now=now,
                    )
                    for number in numbers
                ]
            )


def _batches(count: int) -> Iterator[range]:
    """Yield the numbers below *count*, some at a time."""
    for start in range(0, count, _BATCH):
        yield range(start, min(start + _BATCH, count))


async def _deliver(folder: Path, port: int, counts: tuple[int, int, int], concurrency: int) -> None:
    """Dispatch and deliver; say what that took."""
    _, events, each = counts
    log = structlog.get_logger()
    with SqliteStorage(upgrade(folder)) as storage:
        vault = FolderVault(folder, log=log)
        await asyncio.to_thread(_prepare, storage, vault, port=port, counts=counts)
        settings = replace(
            Settings(),
            listeners=Listeners(
                concurrency=concurrency, allow_networks=NETWORKS.parse("127.0.0.0/8")
            ),
        )
        notifiers = make_notifiers(settings, log=log)
        duties = ListenerDuties(
            settings, storage=storage, notifiers=notifiers, vault=vault, log=log
        )
        gc.collect()
        wanted, looks = events * each, [_memory()]
        cpu, began = _cpu(), time.monotonic()
        term = Term()
        async with in_use(notifiers), duties.leading(term):
            while (done := sum(duties.tally.attempts.values())) < wanted:
                await asyncio.sleep(_LOOK)
                looks.append(_memory())
                if time.monotonic() - began > _PATIENCE and not done:
                    raise RuntimeError("nothing is delivered")
            seconds, used = time.monotonic() - began, _cpu() - cpu
        states = duties.tally.attempts
        with storage.read() as transaction:
            pending = transaction.deliveries.counts()
    if pending or len(states) != 1:
        raise RuntimeError(f"not all is delivered: {pending or states}")
    half = len(looks) // 2
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": used,
                "start": looks[0],
                "middle": max(looks[1 : half + 1], default=0.0),
                "end": max(looks[half:]),
            }
        )
    )


async def _post(folder: Path, port: int, count: int, concurrency: int) -> None:
    """Post the messages of a database; say what that took."""
    with SqliteStorage(folder / "pulpit.db") as storage, storage.read() as transaction:
        bodies = [each.body for each in transaction.deliveries.messages(range(1, 501)).values()]
    headers = {"Content-Type": "application/json"}
    numbers = iter(range(count))
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for number in numbers:
                url, body = f"http://127.0.0.1:{port}/{number % 200}", bodies[number % len(bodies)]
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()

        cpu, began = _cpu(), time.monotonic()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        print(json.dumps({"seconds": time.monotonic() - began, "cpu": _cpu() - cpu}))


def main(who: str, folder: Path, port: int, *numbers: int) -> None:
    """Send."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if who == "pulpit":
            listeners, events, each, concurrency = numbers
            runner.run(_deliver(folder, port, (listeners, events, each), concurrency))
        else:
            runner.run(_post(folder, port, *numbers))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
