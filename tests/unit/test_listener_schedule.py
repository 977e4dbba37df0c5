"""When a delivery is tried again, by a clock that stands still."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pulpit.domain.deliveries import Delivery, DeliveryState, Receipt, Verdict
from pulpit.domain.listeners import Health, Listener, NotifierType
from pulpit.events.listeners.pace import Bucket
from pulpit.events.listeners.schedule import Schedule, health_after
from pulpit.testing import FrozenClock

_NOW = FrozenClock()()
#: As documented, for as many hours as the delays are together.
_HOURS = 99_305 / 3600
_TABLE = [
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
]
_FAILED = Receipt(verdict=Verdict.FAILED, status=500, reason="it answered 500")
_DELIVERED = Receipt(verdict=Verdict.DELIVERED, status=200)


def _schedule(*, retry_hours: float = _HOURS, disable_days: float = 5.0) -> Schedule:
    return Schedule(retry_hours=retry_hours, disable_days=disable_days)


def _delivery(*, attempted: int = 0, attempted_before: int = 0) -> Delivery:
    return Delivery(
        id="msg_1",
        number=1,
        listener_id="l",
        message=1,
        event_type="task.error",
        sequence=1,
        lane="repository:zoo",
        created=_NOW,
        due=_NOW,
        attempted=attempted,
        attempted_before=attempted_before,
    )


def _listener(*, last_updated: datetime = _NOW) -> Listener:
    return Listener(
        id="l", notifier_type=NotifierType.HTTP, created=_NOW, last_updated=last_updated
    )


def _after(delivery: Delivery, receipt: Receipt, now: datetime, chance: float = 0.5) -> Delivery:
    return _schedule().after(delivery, receipt, began=now, now=now, chance=chance)


def test_a_delivery_that_fails_is_tried_at_the_documented_times_and_then_no_more() -> None:
    clock, delivery, delays = FrozenClock(), _delivery(), []
    while True:
        delivery = _after(delivery, _FAILED, clock())
        if delivery.due is None:
            break
        delays.append(delivery.due - clock())
        clock.advance(seconds=delays[-1].total_seconds())
    assert delays == _TABLE
    assert delivery.state is DeliveryState.EXHAUSTED
    assert delivery.finished == clock() == _NOW + timedelta(hours=_HOURS)
    assert delivery.attempted == len(delivery.attempts) == 8


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.9), (0.25, 0.95), (1.0, 1.1)])
def test_delays_differ_by_a_tenth_at_the_most(chance: float, factor: float) -> None:
    for failed, delay in enumerate(_TABLE, start=1):
        assert _schedule().delay(failed, chance=chance) == pytest.approx(
            delay.total_seconds() * factor
        )


def test_delays_are_scaled_to_the_hours_that_are_set() -> None:
    schedule = _schedule(retry_hours=_HOURS / 10)
    assert schedule.delay(1, chance=0.5) == pytest.approx(0.5)
    assert schedule.delay(7, chance=0.5) == pytest.approx(3600)


def test_no_hours_mean_one_attempt() -> None:
    tried = _schedule(retry_hours=0).after(_delivery(), _FAILED, began=_NOW, now=_NOW, chance=0.5)
    assert tried.state is DeliveryState.EXHAUSTED


def test_a_resent_delivery_begins_the_schedule_anew() -> None:
    resent = _delivery(attempted=8, attempted_before=8)
    assert _after(resent, _FAILED, _NOW).due == _NOW + _TABLE[0]


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(1.0, 5.0), (600.0, 600.0), (-5.0, 5.0), (1e12, 86_400.0), (None, 5.0)],
)
def test_a_receiver_may_ask_for_more_time_but_not_for_less(
    asked: float | None, waits: float
) -> None:
    receipt = replace(_FAILED, status=429, retry_after=asked)
    assert _after(_delivery(), receipt, _NOW).due == _NOW + timedelta(seconds=waits)


def test_a_delivery_that_arrives_is_over() -> None:
    tried = _schedule().after(
        _delivery(), _DELIVERED, began=_NOW, now=_NOW + timedelta(seconds=2), chance=0.5
    )
    assert (tried.state, tried.due) == (DeliveryState.DELIVERED, None)
    assert tried.attempts[0].duration == 2.0


def test_what_is_remembered_of_an_attempt_is_bounded() -> None:
    receipt = replace(_FAILED, reason="x" * 10_000, response="y" * 10_000)
    attempt = _after(_delivery(), receipt, _NOW).attempts[0]
    assert (len(attempt.reason), len(attempt.response)) == (300, 1_000)


def _health(clock: FrozenClock, *receipts: Receipt, days: float) -> Health:
    """Return how a listener does after attempts that are so many days apart."""
    health = Health()
    for index, receipt in enumerate(receipts):
        if index:
            clock.advance(days=days)
        health = health_after(health, receipt, began=clock(), now=clock())
    return health


def test_a_listener_is_given_up_after_days_of_failures_alone() -> None:
    clock = FrozenClock()
    almost = _health(clock, _FAILED, _FAILED, days=4.99)
    assert _schedule().given_up(_listener(), almost, _FAILED) is None
    clock = FrozenClock()
    full = _health(clock, _FAILED, _FAILED, days=5)
    reason = _schedule().given_up(_listener(), full, _FAILED)
    assert reason == "all attempts of 5 days have failed, the last one: it answered 500"
    assert _schedule(disable_days=0).given_up(_listener(), full, _FAILED) is None


def test_one_success_has_the_days_counted_anew() -> None:
    clock = FrozenClock()
    health = _health(clock, _FAILED, _DELIVERED, _FAILED, _FAILED, days=4)
    assert health.failing_since == _NOW + timedelta(days=8)
    assert _schedule().given_up(_listener(), health, _FAILED) is None


def test_the_days_are_counted_from_the_last_change_of_the_listener() -> None:
    clock = FrozenClock()
    health = _health(clock, _FAILED, _FAILED, days=6)
    changed = _listener(last_updated=_NOW + timedelta(days=2))
    assert _schedule().given_up(changed, health, _FAILED) is None


def test_a_receiver_that_is_gone_has_its_listener_disabled_at_once() -> None:
    gone = Receipt(verdict=Verdict.GONE, status=410, reason="it answered 410 Gone")
    assert _schedule().given_up(_listener(), Health(), gone) == "it answered 410 Gone"
    tried = _after(_delivery(), gone, _NOW)
    # it waits for whoever enables the listener again
    assert tried.state is DeliveryState.PENDING


def test_settings_that_mean_for_ever_are_no_fault() -> None:
    for_ever = 999_999_999_999_999.0
    schedule = _schedule(retry_hours=for_ever, disable_days=for_ever)
    tried = schedule.after(_delivery(), _FAILED, began=_NOW, now=_NOW, chance=1.0)
    assert tried.state is DeliveryState.PENDING
    assert tried.due is not None
    assert tried.due - _NOW > timedelta(days=365)
    health = Health(failing_since=_NOW, last_failed=_NOW + timedelta(days=2_000))
    assert schedule.given_up(_listener(), health, _FAILED) is None


def test_a_rate_that_is_next_to_nothing_is_no_fault() -> None:
    bucket = Bucket(1e-15)
    bucket.take()
    assert bucket.free_at(_NOW) > _NOW + timedelta(hours=1)
