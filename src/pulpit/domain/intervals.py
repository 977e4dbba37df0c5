"""Repeating intervals of ISO 8601, such as ``R5/2026-01-01T00:00:00Z/P1D``, and their times.

All is UTC, so that a day always has 24 hours. Months and years are those of the calendar.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from pulpit.domain.clock import parse_time

__all__ = ["Interval"]

#: Characters; longer texts are not looked at.
_LONGEST = 128
_REPEATS = re.compile(r"R([0-9]{0,9})")
_NUMBER = "[0-9]{1,9}"
_FRACTION = r"[0-9]{1,9}(?:[.,][0-9]{1,6})?"
_DURATION = re.compile(
    rf"P(?=[0-9T])(?:(?P<years>{_NUMBER})Y)?(?:(?P<months>{_NUMBER})M)?(?:(?P<weeks>{_FRACTION})W)?"
    rf"(?:(?P<days>{_FRACTION})D)?"
    rf"(?:T(?:(?P<hours>{_FRACTION})H)?(?:(?P<minutes>{_FRACTION})M)?"
    rf"(?:(?P<seconds>{_FRACTION})S)?)?"
)
_TIME_PARTS = ("weeks", "days", "hours", "minutes", "seconds")
_MONTHS_A_YEAR = 12
#: Days of the shortest month.
_SHORTEST_MONTH = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """How often something is to be done, from when on, and how many times."""

    #: Calendar months from one time to the next.
    months: int = 0
    #: What comes on top of the months.
    rest: timedelta = timedelta()
    #: The first time, if the text names one.
    start: datetime | None = None
    #: How many times there are; None for no end.
    repeats: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``[R[n]/][start/]duration`` says.

        Raises:
            ValueError: it is something else, never comes again, or comes again within a second.
        """
        if len(text) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} characters")
        parts = text.split("/")
        repeats = None
        if match := _REPEATS.fullmatch(parts[0]):
            repeats = int(match[1]) if match[1] else None
            if repeats == 0:
                raise ValueError("it must be repeated at least once")
            parts = parts[1:]
        if len(parts) not in (1, 2):
            raise ValueError("it is not of the form [R<number>/][<start>/]P<duration>")
        start = _start(parts[0]) if parts[1:] else None
        months, rest = _duration(parts[-1])
        return cls(months=months, rest=rest, start=start, repeats=repeats)

    def next_after(self, moment: datetime, *, first: datetime) -> datetime | None:
        """Return the first time after the moment; None if it is beyond the calendar.

        Args:
            moment: any.
            first: the first time of all.
        """
        return first if first > moment else self._time(first, self._last(moment, first) + 1)

    def last_until(self, moment: datetime, *, first: datetime) -> datetime | None:
        """Return the last time that is not after the moment; None if there is none yet."""
        return None if first > moment else self._time(first, self._last(moment, first))

    def _last(self, moment: datetime, first: datetime) -> int:
        """Return the number of the last time that is not after the moment; *first* is not."""
        low, high = 0, 1
        while self._has_come(moment, first, high):
            low, high = high, high * 2
        # times rise with their numbers, so halves are enough
        while high - low > 1:
            middle = (low + high) // 2
            if self._has_come(moment, first, middle):
                low = middle
            else:
                high = middle
        return low

    def _has_come(self, moment: datetime, first: datetime, number: int) -> bool:
        time = self._time(first, number)
        return time is not None and time <= moment

    def _time(self, first: datetime, number: int) -> datetime | None:
        """Return the time of a number, from 0 on; None if it is beyond the calendar."""
        try:
            return _months_later(first, self.months * number) + self.rest * number
        except (OverflowError, ValueError):
            return None


def _months_later(moment: datetime, months: int) -> datetime:
    """Return the same day and time so many months later; the month's last day if it is shorter."""
    if not months:
        return moment
    year, month = divmod(moment.year * _MONTHS_A_YEAR + moment.month - 1 + months, _MONTHS_A_YEAR)
    day = moment.day
    if day > _SHORTEST_MONTH:
        day = min(day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _start(text: str) -> datetime:
    """Return the time that a text names, in whole seconds."""
    try:
        return parse_time(text).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time such as 2026-01-01T00:00:00Z") from None


def _duration(text: str) -> tuple[int, timedelta]:
    """Return calendar months, and what comes on top of them."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration such as P1D, PT1H30M or P1M")
    months = int(match["years"] or 0) * _MONTHS_A_YEAR + int(match["months"] or 0)
    given = {name: float((match[name] or "0").replace(",", ".")) for name in _TIME_PARTS}
    try:
        rest = timedelta(**given)
    except OverflowError:
        raise ValueError(f"{text!r} is longer than a calendar") from None
    if not months and rest < timedelta(seconds=1):
        raise ValueError(f"{text!r} is shorter than a second")
    return months, rest
