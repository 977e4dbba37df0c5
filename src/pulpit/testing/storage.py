"""A database in memory: every transaction works on a copy, which takes the place at the end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Self

from pulpit.domain.clock import utc_now
from pulpit.ports import Clock
from pulpit.testing.content import MemoryContentStore
from pulpit.testing.deliveries import MemoryDeliveryStore
from pulpit.testing.jobs import MemoryJobStore
from pulpit.testing.journal import MemoryCursorStore, MemoryJournal, MemoryJournalStore
from pulpit.testing.leases import MemoryLeaseStore
from pulpit.testing.listeners import MemoryListenerStore
from pulpit.testing.publications import MemoryPublicationStore
from pulpit.testing.repo_groups import MemoryRepoGroupStore
from pulpit.testing.repositories import MemoryRepositoryStore
from pulpit.testing.schedules import MemoryScheduleStore
from pulpit.testing.state import State
from pulpit.testing.tasks import MemoryTaskStore
from pulpit.testing.uploads import MemoryUploadStore
from pulpit.testing.users import (
    MemoryPermissionStore,
    MemoryRoleStore,
    MemoryTokenStore,
    MemoryUserStore,
)
from pulpit.testing.workers import MemoryWorkerStore

__all__ = ["MemoryStorage", "MemoryTransaction"]


class MemoryTransaction:
    """Implements ``pulpit.ports.Transaction``."""

    def __init__(self, state: State, clock: Clock) -> None:
        #: What the transaction sees and changes.
        self.state = state
        self.tasks = MemoryTaskStore(state)
        self.journal = MemoryJournalStore(state)
        self.repositories = MemoryRepositoryStore(state)
        self.content = MemoryContentStore(state)
        self.publications = MemoryPublicationStore(state)
        self.users = MemoryUserStore(state)
        self.uploads = MemoryUploadStore(state)
        self.repo_groups = MemoryRepoGroupStore(state)
        self.roles = MemoryRoleStore(state)
        self.permissions = MemoryPermissionStore(state)
        self.tokens = MemoryTokenStore(state)
        self.jobs = MemoryJobStore(state, self.tasks)
        self.workers = MemoryWorkerStore(state, clock)
        self.listeners = MemoryListenerStore(state)
        self.deliveries = MemoryDeliveryStore(state)
        self.schedules = MemoryScheduleStore(state)
        self._acts: list[Callable[[], None]] = []

    def after_commit(self, act: Callable[[], None]) -> None:
        self._acts.append(act)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        before, acts = self.state.copied(), len(self._acts)
        try:
            yield
        except BaseException:
            self.state.restore(before)
            del self._acts[acts:]
            raise

    def committed(self) -> None:
        """Do what was to be done after the commit."""
        for act in self._acts:
            act()


class MemoryStorage:
    """Implements ``pulpit.ports.Storage``; its journal is ``events``, its cursors ``cursors``.

    Args:
        clock: of the database.
    """

    def __init__(self, clock: Clock = utc_now) -> None:
        self._state = State()
        self._clock = clock
        self._turn = threading.Lock()
        #: The journal for those who read it.
        self.events = MemoryJournal(lambda: self._state)
        #: Where channels keep how far they came.
        self.cursors = MemoryCursorStore(self, clock)
        #: What one process at a time may do.
        self.leases = MemoryLeaseStore(self, clock)

    @contextlib.contextmanager
    def write(self) -> Iterator[MemoryTransaction]:
        with self._turn:
            transaction = MemoryTransaction(self._state.copied(), self._clock)
            before = self._state.last_event
            yield transaction
            self._state = transaction.state
            if self._state.last_event > before:
                self.events.tell()
            transaction.committed()

    def write_beside(self) -> contextlib.AbstractContextManager[MemoryTransaction]:
        return self.write()

    @contextlib.contextmanager
    def read(self) -> Iterator[MemoryTransaction]:
        # a copy, so that even a reader that writes changes nothing
        yield MemoryTransaction(self._state.copied(), self._clock)

    def get_setting(self, name: str) -> str | None:
        return self._state.settings.get(name)

    def settle(self, name: str, value: str) -> str:
        with self.write() as transaction:
            return transaction.state.settings.setdefault(name, value)

    def close(self) -> None:
        """Wake everybody who waits for events."""
        self.events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
