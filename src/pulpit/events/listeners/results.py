"""What came of attempts, on its way into the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from pulpit.domain.deliveries import Delivery
from pulpit.domain.events import listener_event
from pulpit.domain.listeners import Health, Listener
from pulpit.errors import MissingResource
from pulpit.ports import Clock, Storage

__all__ = ["Batch", "Results", "write"]

#: How often a listener's health is written while nothing but times changes in it.
_HEALTH_EVERY = timedelta(seconds=1)


class _Log(Protocol):
    """What is needed of the log."""

    def warning(self, event: str, /, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is written at once."""

    deliveries: Sequence[Delivery]
    #: By id of the listener.
    healths: Mapping[str, Health]
    #: Listeners to be disabled, as they were when they were told last, and why.
    given_up: Sequence[tuple[Listener, str]]


class Results:
    """Gathers results until they are written; for use by one thread.

    Args:
        most: how many are written at once.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._deliveries: list[Delivery] = []
        #: Health that is not written, and of each listener what was written last, and when.
        self._healths: dict[str, Health] = {}
        self._written: dict[str, tuple[Health, datetime]] = {}
        self._given_up: dict[str, tuple[Listener, str]] = {}

    def __len__(self) -> int:
        """Return how many results there are."""
        return len(self._deliveries)

    @property
    def is_full(self) -> bool:
        """Whether a batch is full."""
        return len(self._deliveries) >= self._most

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write, now or soon."""
        return not (self._deliveries or self._healths or self._given_up)

    def add(self, delivery: Delivery, health: Health) -> None:
        """Add a result, and how its listener does since."""
        self._deliveries.append(delivery)
        self._healths[delivery.listener_id] = health

    def give_up(self, listener: Listener, reason: str) -> None:
        """Have a listener disabled."""
        self._given_up.setdefault(listener.id, (listener, reason))

    def concerns(self, listener_id: str) -> bool:
        """Tell whether it is still to be written how a listener does."""
        return listener_id in self._healths

    def forget(self, listener_id: str) -> None:
        """Forget how a listener does that is gone, or begins anew."""
        self._healths.pop(listener_id, None)
        self._written.pop(listener_id, None)

    def batch(self, now: datetime, *, all_healths: bool = False) -> Batch:
        """Return what to write now, the oldest first; ``written`` follows once that is done."""
        healths = {
            listener_id: health
            for listener_id, health in self._healths.items()
            if all_healths or self._is_due(listener_id, health, now)
        }
        return Batch(
            deliveries=self._deliveries[: self._most],
            healths=healths,
            given_up=list(self._given_up.values()),
        )

    def _is_due(self, listener_id: str, health: Health, now: datetime) -> bool:
        """Tell whether it is time to write how a listener does."""
        if (known := self._written.get(listener_id)) is None:
            return True
        written, when = known
        fails = (health.failing_since, written.failing_since)
        return fails.count(None) == 1 or abs(now - when) >= _HEALTH_EVERY

    def written(self, batch: Batch, now: datetime) -> None:
        """Heed that a batch is written."""
        del self._deliveries[: len(batch.deliveries)]
        for listener_id, health in batch.healths.items():
            self._written[listener_id] = health, now
            # a newer one stays
            if self._healths.get(listener_id) is health:
                del self._healths[listener_id]
        for listener, _ in batch.given_up:
            self._given_up.pop(listener.id, None)


def write(storage: Storage, batch: Batch, *, clock: Clock, log: _Log) -> None:
    """Write a batch; may block.

    Raises:
        DatabaseFailed: it may be written again, as a whole.
    """
    if batch.healths or batch.deliveries:
        with storage.write_beside() as transaction:
            if batch.healths:
                transaction.listeners.set_health(batch.healths)
            if batch.deliveries:
                transaction.deliveries.settle(batch.deliveries)
    for listener, reason in batch.given_up:
        if _disable(storage, listener, reason, clock()):
            log.warning("a listener is disabled", listener=listener.id, reason=reason)


def _disable(storage: Storage, told: Listener, reason: str, now: datetime) -> bool:
    """Disable a listener and tell of it, unless somebody has changed it meanwhile."""
    with storage.write() as transaction:
        try:
            listener = transaction.listeners.get(told.id)
        except MissingResource:
            return False
        if not listener.is_enabled or listener.revision != told.revision:
            return False
        transaction.listeners.update(
            replace(
                listener,
                disabled_reason=reason,
                disabled_at=now,
                last_updated=now,
                revision=listener.revision + 1,
            )
        )
        transaction.journal.append([listener_event(listener, reason, now=now)])
    return True
