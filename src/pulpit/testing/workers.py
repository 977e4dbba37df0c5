"""Workers in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from datetime import timedelta

from pulpit.domain.workers import Worker
from pulpit.errors import Fenced
from pulpit.ports import Clock
from pulpit.testing.state import State

__all__ = ["MemoryWorkerStore"]


class MemoryWorkerStore:
    """Implements ``pulpit.ports.WorkerStore``."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state, self._clock = state, clock

    def add(self, worker: Worker) -> bool:
        if worker.name in self._state.workers:
            return False
        now = self._clock()
        self._state.workers[worker.name] = dataclasses.replace(worker, started=now, heartbeat=now)
        return True

    def beat(self, name: str, incarnation: str) -> bool:
        worker = self._find(name, incarnation)
        if worker is None:
            return False
        self._state.workers[name] = dataclasses.replace(worker, heartbeat=self._clock())
        return True

    def fence(self, name: str, incarnation: str) -> None:
        if self._find(name, incarnation) is None:
            raise Fenced

    def list(self) -> Sequence[Worker]:
        return sorted(self._state.workers.values(), key=lambda worker: worker.name)

    def silent(self) -> Sequence[Worker]:
        now = self._clock()
        return [
            worker
            for worker in self.list()
            if now - worker.heartbeat > timedelta(seconds=worker.timeout)
        ]

    def remove_silent(self, names: Collection[str] | None = None) -> Sequence[Worker]:
        lost = [worker for worker in self.silent() if names is None or worker.name in names]
        for worker in lost:
            del self._state.workers[worker.name]
        return lost

    def remove(self, name: str, incarnation: str) -> bool:
        if self._find(name, incarnation) is None:
            return False
        del self._state.workers[name]
        return True

    def _find(self, name: str, incarnation: str) -> Worker | None:
        """Return the worker if it is the one that is known by the name."""
        worker = self._state.workers.get(name)
        return worker if worker and worker.incarnation == incarnation else None
