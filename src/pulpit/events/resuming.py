"""What a reader may have missed that lost its connection in the middle of a folded part.

Progress that was folded into an event that it never got is told by nothing that comes after the
number that it resumes from. So the first event of such a task says that it stands for that too;
to a reader that had it all, this tells nothing wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from pulpit.domain.events import Event, EventKind
from pulpit.errors import EventsGone
from pulpit.events.parts import Bounds
from pulpit.ports import EventSource

__all__ = ["Resumed", "folded_before"]


def folded_before(source: EventSource, after: int, part: Bounds) -> Mapping[str, int]:
    """Return tasks of which progress up to a number may have been folded into what comes later.

    Args:
        source: the journal.
        after: the number that a reader resumes from.
        part: what a reader gets at once, which is what is folded together.

    Returns:
        The task to the revision after which that progress came.
    """
    position = max(after - part.count, source.oldest(), 0)
    found: dict[str, int] = {}
    # what is past retention by now is told as a gap anyway
    with contextlib.suppress(EventsGone):
        while position < after:
            events = source.read(position, part.count, most_bytes=part.size)
            if not events:
                break
            position = events[-1].sequence
            for event in events:
                if event.sequence <= after and event.task_id is not None:
                    _note(found, event, event.task_id)
    return found


def _note(found: dict[str, int], event: Event, task_id: str) -> None:
    if event.kind is EventKind.PROGRESS:
        found.setdefault(task_id, event.previous)
    else:
        found.pop(task_id, None)


class Resumed:
    """Lets the first event of each task stand for what may have been folded into it before.

    Args:
        before: as of ``folded_before``.
    """

    def __init__(self, before: Mapping[str, int]) -> None:
        self._before = dict(before)

    def __bool__(self) -> bool:
        """Tell whether there is still such a task."""
        return bool(self._before)

    def __call__(self, event: Event) -> Event:
        """Return the event as it is to be told."""
        previous = self._before.pop(event.task_id or "", event.previous)
        return event if previous >= event.previous else replace(event, previous=previous)
