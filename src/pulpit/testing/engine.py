"""An engine that runs nothing."""

from __future__ import annotations

import threading

from pulpit.ports import Transaction

__all__ = ["RecordingEngine"]


class RecordingEngine:
    """Implements ``pulpit.ports.Engine`` by keeping what it was asked to do."""

    def __init__(self) -> None:
        #: How many transactions have let tasks run.
        self.offers = 0
        #: The tasks whose processes it was told to end, in order.
        self.canceled: list[str] = []
        self._lock = threading.Lock()

    def offer(self, transaction: Transaction) -> None:
        transaction.after_commit(self._count)

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        transaction.after_commit(lambda: self._keep(task_id))

    def _count(self) -> None:
        with self._lock:
            self.offers += 1

    def _keep(self, task_id: str) -> None:
        with self._lock:
            self.canceled.append(task_id)
