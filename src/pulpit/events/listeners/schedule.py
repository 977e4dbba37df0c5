"""When a delivery is tried again, when never again, and when its listener is given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pulpit.domain.deliveries import (
    REASON_KEPT,
    RESPONSE_KEPT,
    Attempt,
    Delivery,
    DeliveryState,
    Receipt,
    Verdict,
)
from pulpit.domain.listeners import Health, Listener

__all__ = ["DELAYS", "Schedule", "health_after"]

#: Seconds from each attempt that failed to the next; as long as all of them together.
DELAYS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
_HOURS = sum(DELAYS) / 3600
#: A delay differs at random by at most this part, so that those who wait don't come together.
_JITTER = 0.1
#: What a receiver may ask to be left alone for at the most.
_LONGEST_WISH = 24 * 3600.0
_SECONDS_A_DAY = 86_400
#: Ten years: the calendar has no place for times that are much later.
_LONGEST_DELAY = 3_650.0 * _SECONDS_A_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When deliveries are tried again, and for how long a listener may fail."""

    #: From the first attempt to the last one; 0: there is one attempt.
    retry_hours: float
    #: Of nothing but failures, after which a listener is disabled; 0: never.
    disable_days: float

    def after(
        self, delivery: Delivery, receipt: Receipt, *, began: datetime, now: datetime, chance: float
    ) -> Delivery:
        """Return the delivery as it is after an attempt.

        Args:
            delivery: as it was before.
            receipt: what came of the attempt.
            began: when the attempt began.
            now: when it was over.
            chance: random, from 0 to 1; what the delay is drawn by.
        """
        attempt = Attempt(
            time=began,
            duration=max((now - began).total_seconds(), 0.0),
            verdict=receipt.verdict,
            status=receipt.status,
            reason=receipt.reason[:REASON_KEPT],
            response=receipt.response[:RESPONSE_KEPT],
        )
        if receipt.verdict is Verdict.DELIVERED:
            return delivery.tried(attempt, state=DeliveryState.DELIVERED, due=None)
        delay = self.delay(delivery.attempted + 1 - delivery.attempted_before, chance=chance)
        if delay is None:
            return delivery.tried(attempt, state=DeliveryState.EXHAUSTED, due=None)
        wish = min(max(receipt.retry_after or 0.0, 0.0), _LONGEST_WISH)
        due = now + timedelta(seconds=max(delay, wish))
        return delivery.tried(attempt, state=DeliveryState.PENDING, due=due)

    def delay(self, failed: int, *, chance: float) -> float | None:
        """Return the seconds until the next attempt; None if there is none.

        Args:
            failed: how many attempts of the schedule there were, at least 1.
            chance: random, from 0 to 1.
        """
        if failed > len(DELAYS) or self.retry_hours <= 0:
            return None
        jitter = 1 - _JITTER + 2 * _JITTER * chance
        return min(DELAYS[failed - 1] * self.retry_hours / _HOURS * jitter, _LONGEST_DELAY)

    def given_up(self, listener: Listener, health: Health, receipt: Receipt) -> str | None:
        """Return why a listener is to be disabled after an attempt, in a line; None if it is not.

        Args:
            listener: whose days are counted from when it was changed last, at the earliest.
            health: as it is after the attempt.
            receipt: of the attempt.
        """
        if receipt.verdict is Verdict.GONE:
            reason = receipt.reason or "the receiver says that it is gone"
            return reason[:REASON_KEPT]
        if not (self.disable_days and health.failing_since and health.last_failed):
            return None
        since = max(health.failing_since, listener.last_updated)
        if (health.last_failed - since).total_seconds() < self.disable_days * _SECONDS_A_DAY:
            return None
        reason = (
            f"all attempts of {self.disable_days:g} days have failed, the last one: "
            f"{receipt.reason or 'no reason is known'}"
        )
        return reason[:REASON_KEPT]


def health_after(health: Health, receipt: Receipt, *, began: datetime, now: datetime) -> Health:
    """Return how a listener's deliveries go after an attempt."""
    if receipt.verdict is Verdict.DELIVERED:
        return Health(
            failing_since=None,
            last_delivered=now,
            last_failed=health.last_failed,
            last_reason=health.last_reason,
        )
    return Health(
        failing_since=health.failing_since or began,
        last_delivered=health.last_delivered,
        last_failed=now,
        last_reason=receipt.reason[:REASON_KEPT],
    )
