"""One attempt: the message is fetched, handed to its notifier, and counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

from pulpit.domain.deliveries import Delivery, Parcel, Receipt, Verdict
from pulpit.domain.listeners import NotifierType
from pulpit.domain.messages import Message
from pulpit.events.listeners.bodies import Bodies
from pulpit.events.listeners.desk import Opened
from pulpit.events.listeners.reading import read_message
from pulpit.events.listeners.tally import Tally
from pulpit.ports import Notifier, Storage

__all__ = ["Notifying"]


class _Log(Protocol):
    """What is needed of the log."""

    def error(self, event: str, /, **fields: Any) -> Any: ...


class Notifying:
    """Makes attempts; for use in one event loop.

    Args:
        storage: where the messages are.
        notifiers: who deliver, by type.
        tally: where attempts are counted.
        log: where it is told what can't be done.
        rest: seconds until the database is asked again that has failed.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        notifiers: Mapping[NotifierType, Notifier],
        tally: Tally,
        log: _Log,
        rest: float,
    ) -> None:
        self._storage, self._notifiers, self._tally = storage, notifiers, tally
        self._log, self._rest = log, rest
        #: The messages that are held.
        self.bodies = Bodies()

    async def message(self, number: int) -> Message | None:
        """Return a message, or None if it is gone; waits while the database is away."""
        while (message := self.bodies.get(number)) is None:
            try:
                message = await asyncio.to_thread(read_message, self._storage, number)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may be better later
                self._log.error("deliveries are held up; trying again", reason=str(error))
                await asyncio.sleep(self._rest)
            else:
                if message is not None:
                    self.bodies.add({number: message})
                return message
        return message

    async def receipt(self, opened: Opened, delivery: Delivery, message: Message) -> Receipt:
        """Return what the notifier says, or what keeps it from trying."""
        began = time.monotonic()
        receipt = await self._receipt(opened, delivery, message)
        seconds = time.monotonic() - began
        self._tally.count(opened.listener.notifier_type, receipt.verdict, seconds)
        return receipt

    async def _receipt(self, opened: Opened, delivery: Delivery, message: Message) -> Receipt:
        if opened.opened is None:
            return Receipt(verdict=Verdict.FAILED, reason=opened.problem)
        parcel = Parcel(
            id=delivery.id,
            event_type=message.event_type,
            sequence=message.sequence,
            event_id=message.event_id,
            task_id=message.task_id,
            repo_id=message.repo_id,
            time=message.time,
            body=message.body,
        )
        try:
            return await self._notifiers[opened.listener.notifier_type].deliver(
                opened.opened, parcel
            )
        except Exception as error:  # noqa: BLE001 - one listener's trouble is no other's
            kind = type(error).__name__
            self._log.error("a notifier failed", listener=opened.listener.id, reason=str(error))
            return Receipt(
                verdict=Verdict.FAILED, reason=f"the server failed ({kind}): see its log"
            )
