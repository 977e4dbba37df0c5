"""A notifier that delivers to nobody and remembers what it was given."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pulpit.domain.deliveries import Exchange, Parcel, Receipt, Verdict
from pulpit.domain.listeners import OpenListener
from pulpit.errors import PulpitError

__all__ = ["Notified", "RecordingNotifier"]

_TAKEN = Receipt(verdict=Verdict.DELIVERED)
_EXCHANGE = Exchange(peer="memory", sent=("a parcel",), received=("thanks",))


class Notified(NamedTuple):
    """What was to be delivered to whom."""

    listener: OpenListener
    parcel: Parcel


class RecordingNotifier:
    """Implements ``pulpit.ports.Notifier``.

    Args:
        receipts: of the next deliveries, in turn; those after them are delivered.
        problem: what ``check`` raises of every configuration; None: it accepts all.
    """

    def __init__(
        self, receipts: Iterable[Receipt] = (), *, problem: PulpitError | None = None
    ) -> None:
        #: What the next deliveries come to, to be added to; empty: they are delivered.
        self.receipts = deque(receipts)
        self.problem = problem
        #: All deliveries, in order.
        self.notified: list[Notified] = []
        #: All configurations that were checked, in order.
        self.checked: list[Mapping[str, Any]] = []
        self.is_closed = False

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        self.notified.append(Notified(listener, parcel))
        receipt = self.receipts.popleft() if self.receipts else _TAKEN
        if trace and receipt.exchange is None:
            return dataclasses.replace(receipt, exchange=_EXCHANGE)
        return receipt

    def check(self, config: Mapping[str, Any]) -> None:
        self.checked.append(config)
        if self.problem is not None:
            raise self.problem

    async def close(self) -> None:
        self.is_closed = True
