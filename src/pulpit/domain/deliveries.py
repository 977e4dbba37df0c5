"""Deliveries: a message on its way to one listener, and what came of each attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

__all__ = [
    "ATTEMPTS_KEPT",
    "REASON_KEPT",
    "RESPONSE_KEPT",
    "Attempt",
    "Delivery",
    "DeliveryState",
    "Exchange",
    "Parcel",
    "Receipt",
    "Verdict",
]

#: The newest attempts that a delivery remembers, whoever resends it how often.
ATTEMPTS_KEPT = 50
#: Characters of a reason, and of a response, that are remembered.
REASON_KEPT = 300
RESPONSE_KEPT = 1_000


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    #: It is tried, or will be.
    PENDING = "pending"
    DELIVERED = "delivered"
    #: Tried in vain, as often as it is to be; it can be resent.
    EXHAUSTED = "exhausted"


class Verdict(StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    FAILED = "failed"
    #: The receiver wants nothing any more: its listener is disabled.
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, as it is remembered."""

    time: datetime
    #: Seconds.
    duration: float
    verdict: Verdict
    #: The status of an HTTP or SMTP answer.
    status: int | None = None
    #: Why it failed, in a line; empty if it did not.
    reason: str = ""
    #: The head of what the receiver answered.
    response: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on its way to one listener."""

    #: The same in all attempts and resends; what receivers tell repeats by.
    id: str
    #: Given by the store; deliveries of one listener and lane are made in its order.
    number: int
    listener_id: str
    #: The number of the message.
    message: int
    #: Of the message; here too, so that lists need not read messages.
    event_type: str
    sequence: int
    #: ``Message.lane``: of each lane of a listener one delivery is tried at a time, in order.
    lane: str
    state: DeliveryState = DeliveryState.PENDING
    #: The newest ones, the oldest of them first.
    attempts: tuple[Attempt, ...] = ()
    #: How many there were.
    attempted: int = 0
    #: How many of them there were before it was last resent, which starts the schedule anew.
    attempted_before: int = 0
    created: datetime
    #: When it is to be tried next; None once it is not pending.
    due: datetime | None
    #: When it came to its state; None while it is pending.
    finished: datetime | None = None

    def tried(self, attempt: Attempt, *, state: DeliveryState, due: datetime | None) -> Self:
        """Return the delivery as it is after one more attempt."""
        pending = state is DeliveryState.PENDING
        return replace(
            self,
            state=state,
            attempts=(*self.attempts, attempt)[-ATTEMPTS_KEPT:],
            attempted=self.attempted + 1,
            due=due,
            finished=None if pending else attempt.time,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What a notifier is given to deliver."""

    #: ``Delivery.id``.
    id: str
    event_type: str
    #: The journal's number and id of the event; 0 and the parcel's id for a ping.
    sequence: int
    event_id: str
    task_id: str | None = None
    repo_id: str | None = None
    #: When the event was.
    time: datetime
    #: ``Message.body``.
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What went over the wire, for people to look at; nothing in it is secret."""

    #: The address that was connected to, such as ``192.0.2.7:443``.
    peer: str
    #: Lines of what was sent, and of what was answered; bounded.
    sent: tuple[str, ...] = ()
    received: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How one attempt went, as its notifier tells."""

    verdict: Verdict
    status: int | None = None
    reason: str = ""
    response: str = ""
    #: Seconds that the receiver wants to be left alone for; None if it did not say.
    retry_after: float | None = None
    #: Only if it was asked for.
    exchange: Exchange | None = None
