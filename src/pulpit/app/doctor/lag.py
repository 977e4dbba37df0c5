"""How far confirmed events are behind the journal, and what that means."""

from __future__ import annotations

from pulpit.app.doctor.findings import Note, Problem

__all__ = ["told_lag"]

#: Seconds that the oldest unconfirmed event may have waited: worth a word; to be mended.
_LATE, _TOO_LATE = 60, 600


def told_lag(events: int, seconds: float, *, running: bool) -> str:
    """Return how late the broker is, or raise what that comes to.

    Args:
        events: sequence numbers from the publisher's cursor to the head.
        seconds: for which the oldest of them has waited.
        running: whether a server publishes now.
    """
    words = f"{events:,} behind, the oldest for {seconds:,.0f} s"
    if not events:
        return "all that were written are confirmed"
    if not running:
        raise Note(f"{words}; they go out when the server runs")
    if seconds > _TOO_LATE:
        raise Problem(words, "see what is wrong with the broker below, or at /metrics")
    if seconds > _LATE:
        raise Note(words, "see the broker below")
    return words
