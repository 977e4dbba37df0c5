"""The gate of progress: a burst is kept whole, then so much a second, and every boundary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.progress import ProgressGate


class _Time:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _kept(gate: ProgressGate, count: int, *, boundary: bool = False) -> int:
    return sum(gate.keeps(boundary=boundary) for _ in range(count))


def test_a_burst_is_kept_whole() -> None:
    """And what comes in the same moment after it is not."""
    gate = ProgressGate(burst=10, per_second=5, now=_Time())
    assert _kept(gate, 25) == 10


def test_then_so_many_a_second() -> None:
    """Tokens come back with the time, up to a burst."""
    time = _Time()
    gate = ProgressGate(burst=10, per_second=5, now=time)
    _kept(gate, 10)
    time.now += 1
    assert _kept(gate, 25) == 5
    time.now += 0.125
    assert _kept(gate, 5) == 0
    time.now += 0.125
    assert _kept(gate, 5) == 1
    time.now += 1_000
    assert _kept(gate, 25) == 10


def test_boundaries_are_always_kept() -> None:
    """The first and last of a step come through an empty bucket, and do not dig below it."""
    time = _Time()
    gate = ProgressGate(burst=2, per_second=1, now=time)
    _kept(gate, 2)
    assert _kept(gate, 50, boundary=True) == 50
    assert _kept(gate, 1) == 0
    time.now += 1
    assert _kept(gate, 2) == 1


def test_zero_keeps_all() -> None:
    """Without a rate there is no limit."""
    assert _kept(ProgressGate(burst=1, per_second=0, now=_Time()), 10_000) == 10_000


@given(
    burst=st.integers(0, 20),
    per_second=st.floats(0.1, 50),
    gaps=st.lists(st.floats(0, 2), max_size=200),
)
def test_no_more_than_burst_and_rate(burst: int, per_second: float, gaps: list[float]) -> None:
    """However updates come, no more are kept than the burst and what the time has given."""
    time = _Time()
    gate = ProgressGate(burst=burst, per_second=per_second, now=time)
    kept = 0
    for gap in gaps:
        time.now += gap
        kept += gate.keeps(boundary=False)
        assert kept <= max(burst, 1) + (time.now - 100.0) * per_second + 1e-6
