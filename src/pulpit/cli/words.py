"""Values as a person reads them."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any

from pulpit.domain.clock import parse_time

__all__ = ["age", "amount", "clock_time", "duration", "moment", "printable", "size"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KILO = 1000
#: Control and format characters, with which text from outside could take over the terminal.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: Any, *, limit: int = 2000) -> str:
    """Return text from outside as one line that is safe on a terminal."""
    line = " ".join(str(text)[: limit + 1].split())
    safe = "".join("�" if unicodedata.category(char) in _UNPRINTABLE else char for char in line)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def amount(number: int, noun: str, plural: str | None = None) -> str:
    """Return such as ``1 package`` or ``1,200 packages``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(octets: int) -> str:
    """Return a number of bytes such as ``3.4 MB``."""
    value = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if value < _KILO:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KILO
    return f"{value:.1f} TB"


def duration(seconds: float) -> str:
    """Return a length of time such as ``2 s``, ``3 min 20 s`` or ``1 h 5 min``."""
    whole = max(round(seconds), 0)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def clock_time(seconds: float) -> str:
    """Return a length of time that goes on, such as ``0:07``, ``3:20`` or ``1:05:00``."""
    whole = max(int(seconds), 0)
    hours, minutes = divmod(whole // _MINUTE, _MINUTE)
    rest = f"{whole % _MINUTE:02}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def moment(text: Any) -> datetime | None:
    """Return the time that the server wrote; None for none, or for what is no time."""
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None


def age(text: Any, *, now: datetime) -> str:
    """Return how long ago the time was, such as ``5 min ago``, or ``never``."""
    then = moment(text)
    if then is None:
        return "never"
    seconds = max((now - then).total_seconds(), 0)
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"
