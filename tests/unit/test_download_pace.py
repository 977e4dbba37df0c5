"""The speed of transfers."""

from __future__ import annotations

from pulpit.content.pace import Pace, Throttle


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_throttle_keeps_the_rate() -> None:
    """Over any longer time no more goes through than allowed, with one second at most at once."""
    clock = Clock()
    throttle = Throttle(1000, clock=clock)
    taken = 0
    while clock.now < 1060.0:
        taken += 500
        clock.now += throttle.delay(500)
    assert 59_000 <= taken <= 61_500
    clock.now += 3600
    assert throttle.delay(1000) == 0.0
    assert throttle.delay(1000) == 1.0


def test_trickle_is_noticed() -> None:
    """A window with too few bytes is too slow; a busy one begins the next."""
    clock = Clock()
    pace = Pace(60.0, None, clock=clock)
    assert not pace.too_slow(1)
    clock.now += 60
    assert not pace.too_slow(10_000)
    for _ in range(59):
        clock.now += 1
        assert not pace.too_slow(1)
    clock.now += 1
    assert pace.too_slow(1)


def test_own_limit_is_no_trickle() -> None:
    """A transfer that we slow down ourselves is not given up for that."""
    clock = Clock()
    pace = Pace(60.0, 50, clock=clock)
    clock.now += 60
    assert not pace.too_slow(60 * 50 // 10)
