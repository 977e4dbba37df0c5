"""Intervals of ISO 8601: what is read, what is refused, and which times they have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.domain.intervals import Interval

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT1H", Interval(rest=timedelta(hours=1))),
        ("P1DT0.5S", Interval(rest=timedelta(days=1, milliseconds=500))),
        ("P2W", Interval(rest=timedelta(weeks=2))),
        ("P1Y2M3D", Interval(months=14, rest=timedelta(days=3))),
        ("2026-01-31T12:00:00Z/P1M", Interval(months=1, start=START)),
        ("R5/2026-01-31T12:00:00Z/P1D", Interval(rest=timedelta(1), start=START, repeats=5)),
        ("R/2026-01-31T13:00:00+01:00/P1D", Interval(rest=timedelta(1), start=START)),
        ("R3/PT1M", Interval(rest=timedelta(minutes=1), repeats=3)),
    ],
)
def test_texts_are_read(text: str, expected: Interval) -> None:
    """Repeats, a start and a duration, of which only the last is needed."""
    assert Interval.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "1 day",
        "P1H",
        "PT0S",
        "P0D",
        "PT0.5S",
        "R0/P1D",
        "R-1/P1D",
        "P1D/2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z",
        "2026-13-01T00:00:00Z/P1D",
        "R1/2026-01-31T12:00:00Z/P1D/P1D",
        "P999999999W",
        "P\u0661D",
        "P1D" + "0" * 200,
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """With a reason, never by another exception."""
    with pytest.raises(ValueError, match=r".+"):
        Interval.parse(text)


@given(st.text(alphabet="PRTYMWDHS0123456789/.,:-Z+", max_size=40))
def test_no_text_does_harm(text: str) -> None:
    """Whatever is sent is read, or refused; what is read has a next time, or none."""
    try:
        interval = Interval.parse(text)
    except ValueError:
        return
    following = interval.next_after(START, first=interval.start or START)
    assert following is None or following > START


def test_months_end_where_the_calendar_says() -> None:
    """A schedule of the 31st runs on the last day of shorter months, and on the 31st again."""
    interval = Interval(months=1)
    moment, times = START, []
    for _ in range(4):
        following = interval.next_after(moment, first=START)
        assert following is not None
        times.append((following.month, following.day))
        moment = following
    assert times == [(2, 28), (3, 31), (4, 30), (5, 31)]


_INTERVALS = st.builds(
    Interval,
    months=st.integers(0, 30),
    rest=st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
)


@given(_INTERVALS, st.timedeltas(timedelta(days=-3000), timedelta(days=30_000)))
def test_times_lie_on_one_grid(interval: Interval, by: timedelta) -> None:
    """The last time until a moment and the next one after it are neighbours, around the moment."""
    moment = START + by
    last, following = (
        interval.last_until(moment, first=START),
        interval.next_after(moment, first=START),
    )
    assert following is not None
    assert following > moment
    if last is None:
        assert following == START
    else:
        assert START <= last <= moment
        assert interval.next_after(last, first=START) == following


def test_the_calendar_ends() -> None:
    """A time beyond the last year is none."""
    last = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
    assert Interval(rest=timedelta(days=2)).next_after(last, first=last) is None
    assert Interval(months=12).next_after(last, first=last) is None
