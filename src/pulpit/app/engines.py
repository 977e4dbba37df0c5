"""The engine that the settings name, as the server has it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pulpit.app.entry import bodies
from pulpit.config import EngineKind, Settings
from pulpit.domain.clock import render_time, utc_now
from pulpit.domain.workers import Worker, worker_document
from pulpit.engine.distributed import DistributedEngine
from pulpit.engine.embedded import EmbeddedEngine
from pulpit.errors import EngineInUse
from pulpit.ports import Transaction
from pulpit.services.changes import Observe
from pulpit.services.lifecycle import Lifecycle
from pulpit.services.operations import COMPLETIONS
from pulpit.services.workers import Reaper, Workers
from pulpit.storage.database import SqlStorage
from pulpit.storage.files import FolderFileStore

__all__ = ["Distributed", "Embedded", "Working", "engine_lock", "make_working"]


class Working(Protocol):
    """Who runs tasks, as the server sees it; also a ``pulpit.ports.Engine``."""

    @property
    def alive(self) -> bool:
        """Whether this process looks after what it has to."""

    @property
    def reaper(self) -> Reaper | None:
        """Puts right what workers leave that are gone; for the leader to run."""

    def offer(self, transaction: Transaction) -> None: ...
    def cancel(self, transaction: Transaction, task_id: str) -> None: ...
    def admitted(self) -> contextlib.AbstractContextManager[None]:
        """Take part in running tasks, or in handing them in, while the block runs.

        Raises:
            EngineInUse: another engine runs the tasks of the database.
        """

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Run tasks while the block runs, if that is for this process; then cancel those here."""

    def figures(self) -> Mapping[str, int]:
        """Return counts of what is in this process; empty where nothing of it is."""

    def known(self) -> Sequence[Mapping[str, Any]]:
        """Return ``known_workers`` of the status document; may block."""

    def living(self) -> Sequence[Worker] | None:
        """Return the workers that were heard of in time; None where this process is the worker.

        May block.
        """


def engine_lock(
    url: str, *, alone: bool, failed: Callable[[], None], log: Any
) -> contextlib.AbstractContextManager[Any]:
    """Return what holds the right to take part in running the tasks of a PostgreSQL database.

    Args:
        url: of the database.
        alone: whether this process has the embedded engine.
        failed: called in some thread when the other engine has taken over.
        log: of this process.
    """
    from pulpit.storage.engine_lock import EngineLock  # noqa: PLC0415 - not with SQLite

    def lost() -> None:
        log.error("another engine has taken over the tasks of the database; this process stops")
        failed()

    return EngineLock(url, alone=alone, lost=lost)


def make_working(
    settings: Settings,
    storage: SqlStorage,
    files: FolderFileStore,
    *,
    observe: Observe,
    failed: Callable[[], None],
    log: Any,
) -> Working:
    """Return the engine that the settings name.

    Args:
        settings: of the server.
        storage: where tasks are.
        files: where the files of tasks are kept.
        observe: is given tasks that changed their state, after the commit.
        failed: called in some thread when the engine can't go on.
        log: of the server.
    """
    if settings.tasks.engine is EngineKind.DISTRIBUTED:
        return Distributed(settings, storage, observe=observe, failed=failed, log=log)
    return Embedded(settings, storage, files, observe=observe, failed=failed, log=log)


class Embedded:
    """This process runs tasks; implements ``Working``."""

    reaper = None

    def __init__(
        self,
        settings: Settings,
        storage: SqlStorage,
        files: FolderFileStore,
        *,
        observe: Observe,
        failed: Callable[[], None],
        log: Any,
    ) -> None:
        self._url, self._failed, self._log = settings.database.url, failed, log
        self._files = files
        self._workers = Workers(storage, clock=utc_now, offer=self.offer)
        self._name = f"embedded@{settings.server.server_name}"
        lifecycle = Lifecycle(
            storage, clock=utc_now, completions=COMPLETIONS, offer=self.offer, observe=observe
        )
        self._engine = EmbeddedEngine(
            lifecycle,
            worker_name=self._name,
            slots=settings.tasks.workers,
            bodies=bodies(settings, files),
            failed=failed,
            log=log,
        )

    @property
    def alive(self) -> bool:
        return self._engine.alive

    def offer(self, transaction: Transaction) -> None:
        self._engine.offer(transaction)

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        self._engine.cancel(transaction, task_id)

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        if self._url is None:
            # whoever has the data folder is alone
            yield
            return
        with engine_lock(self._url, alone=True, failed=self._failed, log=self._log):
            # one that was cut off has no session, and still has processes
            if workers := self._workers.living():
                names = ", ".join(worker.name for worker in workers)
                raise EngineInUse(
                    f"Workers run on the database ({names}): stop them, or set `engine: "
                    "distributed` in [tasks].",
                )
            yield

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        # nobody writes now: they are what was killed has left
        self._files.remove_temporary()
        self._engine.start()
        try:
            yield
        finally:
            self._engine.stop()

    def figures(self) -> Mapping[str, int]:
        return self._engine.figures()

    def living(self) -> None:
        return None

    def known(self) -> Sequence[Mapping[str, Any]]:
        if not self.alive:
            return []
        # this process is the one worker: while its engine lives, its heart beats now
        return [{"_id": self._name, "_ns": "workers", "last_heartbeat": render_time(utc_now())}]


class Distributed:
    """``pulpit worker`` runs tasks, on any machine; implements ``Working``."""

    alive = True

    def __init__(
        self,
        settings: Settings,
        storage: SqlStorage,
        *,
        observe: Observe,
        failed: Callable[[], None],
        log: Any,
    ) -> None:
        self._engine, self._failed, self._log = DistributedEngine(), failed, log
        self._url = settings.database.url
        self._workers = Workers(storage, clock=utc_now, offer=self._engine.offer, observe=observe)
        self.reaper = Reaper(storage, self._workers, timeout=settings.tasks.worker_timeout)

    def offer(self, transaction: Transaction) -> None:
        self._engine.offer(transaction)

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        self._engine.cancel(transaction, task_id)

    def admitted(self) -> contextlib.AbstractContextManager[None]:
        assert self._url is not None, "the settings want a database for this engine"
        return engine_lock(self._url, alone=False, failed=self._failed, log=self._log)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        if not self._workers.living():
            self._log.warning("no worker is known: tasks wait until `pulpit worker` is started")
        yield

    def figures(self) -> Mapping[str, int]:
        return {}

    def living(self) -> Sequence[Worker]:
        return self._workers.living()

    def known(self) -> Sequence[Mapping[str, Any]]:
        return [worker_document(worker) for worker in self._workers.known()]
