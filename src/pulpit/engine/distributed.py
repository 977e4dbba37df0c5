"""The distributed engine, as whoever hands in tasks sees it: workers elsewhere run them."""

from __future__ import annotations

from pulpit.ports import Transaction

__all__ = ["DistributedEngine"]


class DistributedEngine:
    """Gives tasks to workers by jobs in the database; implements ``pulpit.ports.Engine``."""

    def offer(self, transaction: Transaction) -> None:
        transaction.jobs.offer()

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        transaction.jobs.cancel(task_id)
