"""A worker: runs tasks of the distributed engine, and nothing else."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto
from queue import Empty, SimpleQueue
from typing import Any

from pulpit.app.engines import engine_lock
from pulpit.app.entry import bodies
from pulpit.app.files import raise_file_limit
from pulpit.app.last_resort import LastResort
from pulpit.app.logs import configure_logs, set_log_level
from pulpit.app.opening import open_storage
from pulpit.app.reloading import HangUp
from pulpit.config import EngineKind, Settings
from pulpit.domain.clock import utc_now
from pulpit.domain.workers import CANCEL_CHANNEL, new_worker
from pulpit.engine.distributed import DistributedEngine
from pulpit.engine.worker import WorkerEngine
from pulpit.errors import ConfigurationError, StartError, WorkerNameTaken
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.operations import COMPLETIONS
from pulpit.services.workers import Workers
from pulpit.storage.files import FolderFileStore
from pulpit.storage.postgresql import PostgresStorage
from pulpit.storage.postgresql_connections import connection_values

__all__ = ["run_worker"]

#: Seconds between two looks for jobs that nobody announced.
_POLLING = 5.0
#: Seconds between two attempts to take a name that a lost worker may have had.
_RETRY = 0.5
#: Connections for each of reading and writing: of supervisor, heartbeat and start.
_CONNECTIONS = 4
#: How long a transaction of Procrastinate's may do nothing, in seconds.
_IDLE = 10.0


class _Call(Enum):
    """What the main thread is called for."""

    STOP = auto()
    RELOAD = auto()
    FAILED = auto()


_Calls = SimpleQueue[_Call]


def run_worker(
    settings: Settings,
    *,
    name: str,
    read: Callable[[], Settings],
    ready: Callable[[str], None],
) -> None:
    """Run tasks until told to stop by SIGTERM or SIGINT; those that run then are canceled.

    SIGHUP has it read its configuration again, of which the log's level takes effect. Where
    something hangs, the process ends by itself some time after it was told to stop.

    Args:
        settings: of the worker.
        name: under which it is known.
        read: reads them again, from all their sources, or raises ConfigurationError.
        ready: called with the name once it takes tasks.

    Raises:
        StartError: the worker can't start; the message says what to do.
    """
    if settings.tasks.engine is not EngineKind.DISTRIBUTED:
        raise ConfigurationError(
            "a worker runs tasks of the distributed engine alone: set `engine: distributed`, and "
            "`url` of [database] to the PostgreSQL database of the servers",
            section="tasks",
            key="engine",
        )
    raise_file_limit()
    log = configure_logs(settings)
    calls, last_resort = _Calls(), LastResort(log)
    _heed_signals(calls, last_resort)

    def fail() -> None:
        last_resort.stop_asked()
        calls.put(_Call.FAILED)

    assert settings.database.url is not None
    with (
        open_storage(settings, log=log) as storage,
        engine_lock(settings.database.url, alone=False, failed=fail, log=log),
    ):
        assert isinstance(storage, PostgresStorage)
        workers = Workers(storage, clock=utc_now, offer=DistributedEngine().offer)
        engine = _engine(settings, name, storage, workers, failed=fail, log=log)
        if not _start(engine, workers, name, calls, log):
            return
        storage.notifications.subscribe(CANCEL_CHANNEL, engine.cancel)
        ready(name)
        failed = _heed(calls, read, log)
        log.info("stopping: tasks that run are canceled")
        engine.stop()
    if failed:
        raise StartError("The engine failed, so the worker has stopped: its log says why.")


def _heed_signals(calls: _Calls, last_resort: LastResort) -> None:
    """Have signals call the main thread."""

    def stop() -> None:
        last_resort.stop_asked()
        calls.put(_Call.STOP)

    hang_up = HangUp(stop=stop, reload=lambda: calls.put(_Call.RELOAD))
    signal.signal(signal.SIGHUP, lambda *_: hang_up())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


def _engine(
    settings: Settings,
    name: str,
    storage: PostgresStorage,
    workers: Workers,
    *,
    failed: Callable[[], None],
    log: Any,
) -> WorkerEngine:
    """Return the engine, wired."""
    assert settings.database.url is not None
    return WorkerEngine(
        Lifecycle(storage, clock=utc_now, completions=COMPLETIONS, offer=DistributedEngine().offer),
        workers,
        worker=new_worker(
            name,
            slots=settings.tasks.workers,
            timeout=settings.tasks.worker_timeout,
            now=utc_now(),
        ),
        polling=_POLLING,
        database=connection_values(settings.database.url, idle_seconds=_IDLE),
        bodies=bodies(settings, FolderFileStore(settings.storage.data, owner=name)),
        failed=failed,
        log=log,
    )


def _start(engine: WorkerEngine, workers: Workers, name: str, calls: _Calls, log: Any) -> bool:
    """Start the engine, once a lost worker of the name is given up; False if told to stop.

    Raises:
        WorkerNameTaken: another worker of the name is there, and its heart beats.
    """
    seen: datetime | None = None
    while True:
        try:
            engine.start()
        except WorkerNameTaken:
            beats = {worker.name: worker.heartbeat for worker in workers.known()}
            if seen is not None and beats.get(name, seen) != seen:
                raise
            if seen is None:
                log.info("waiting until the former worker of the name is given up", name=name)
            seen = beats.get(name)
        else:
            return True
        try:
            if calls.get(timeout=_RETRY) is _Call.STOP:
                return False
        except Empty:
            pass


def _heed(calls: _Calls, read: Callable[[], Settings], log: Any) -> bool:
    """Do as called until told to stop; return whether the engine failed."""
    while (call := calls.get()) is _Call.RELOAD:
        try:
            set_log_level(read())
        except ConfigurationError as error:
            problem = str(error)
            log.error("The configuration is refused and the old one goes on", problem=problem)  # noqa: TRY400 - no defect
        else:
            log.info("The configuration was read again", changed=["[server] log_level"])
    return call is _Call.FAILED
