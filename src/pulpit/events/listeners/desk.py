"""One listener as who delivers sees it: what is due, how fast it may go, how it does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pulpit.domain.deliveries import Delivery, DeliveryState, Receipt, Verdict
from pulpit.domain.listeners import Listener, OpenListener
from pulpit.events.listeners.lanes import Lanes
from pulpit.events.listeners.pace import Bucket, Trust
from pulpit.events.listeners.schedule import health_after

__all__ = ["Desk", "Opened"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A listener of one revision, opened once."""

    listener: Listener
    #: None if its secrets can't be read.
    opened: OpenListener | None
    #: Why not.
    problem: str = ""


class Desk:
    """One listener; for use by one thread.

    Args:
        opened: the listener.
        most: how many deliveries it gets at a time.
        rate: and a second; 0 is no limit.
    """

    def __init__(self, opened: Opened, *, most: int, rate: float) -> None:
        self.opened = opened
        self.lanes = Lanes()
        self.trust = Trust(most)
        self._bucket = Bucket(rate)
        self.health = opened.listener.health
        #: How many are under way.
        self.under_way = 0
        #: Whether it is among those that take turns.
        self.in_turn = False
        #: Whether it was disabled, or is gone.
        self.is_closed = False

    @property
    def listener(self) -> Listener:
        """The listener as it was when it was looked at last."""
        return self.opened.listener

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way, read, or not written yet."""
        return not self.under_way and self.lanes.is_quiet

    def lacks(self, opened: Opened) -> bool:
        """Whether its secrets could not be read, and are here."""
        return self.opened.opened is None and opened.opened is not None

    def renew(self, opened: Opened) -> None:
        """Go on with another revision: whatever has changed, all that is pending is read anew."""
        self.opened, self.is_closed = opened, False
        # who changes a listener may have mended it, and may have said how it does
        self.health = opened.listener.health
        self.lanes.anew()

    def close(self) -> None:
        """Deliver nothing more; what is under way comes to its end."""
        self.is_closed = True
        self.lanes.anew()

    def next(self, now: datetime) -> Delivery | None:
        """Return what to try now, which is under way from then on; None if there is nothing."""
        if self.is_closed or self.under_way >= self.trust.allowed or not self.lanes.has_ready:
            return None
        if self._bucket.free_at(now) > now:
            return None
        self._bucket.take()
        self.under_way += 1
        return self.lanes.next()

    def wakes_at(self, now: datetime) -> datetime | None:
        """Return when there may be something to read or try again by the passing of time alone."""
        due = self.lanes.due_at
        if not self.lanes.has_ready or self.under_way >= self.trust.allowed:
            return due
        free = self._bucket.free_at(now)
        return min(due, free) if due else free

    def tried(
        self, delivery: Delivery, receipt: Receipt, *, began: datetime, now: datetime
    ) -> None:
        """Heed what came of an attempt.

        Args:
            delivery: as it is after that.
            receipt: of the attempt.
            began: when the attempt began.
            now: when it was over.
        """
        self.under_way -= 1
        self.health = health_after(self.health, receipt, began=began, now=now)
        if receipt.verdict is Verdict.DELIVERED:
            self.trust.succeeded()
            self.lanes.delivered(delivery, now)
        else:
            self.trust.failed()
            is_over = delivery.state is not DeliveryState.PENDING
            self.lanes.failed(delivery, None if is_over else delivery.due)

    def lost(self, delivery: Delivery) -> None:
        """Heed that a delivery can't be tried, for it is gone: what there is, is read again."""
        self.under_way -= 1
        self.lanes.failed(delivery, None)
        self.lanes.settled([delivery.number])
