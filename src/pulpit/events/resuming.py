"""What a reader may have missed that lost its connection in the middle of a folded part.

Progress that was folded into an event that it never got is told by nothing that comes after the
number that it resumes from. So the first event of such a task says that it stands for that too;
to a reader that had it all, this tells nothing wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pulpit.domain.events import Event
from pulpit.ports import ToldBefore

__all__ = ["Resumed"]


class Resumed:
    """Lets the first event of each task stand for what may have been folded into it before.

    Args:
        before: progress up to the number that is resumed from, by task.
    """

    def __init__(self, before: Mapping[str, ToldBefore]) -> None:
        self._before = dict(before)

    def __bool__(self) -> bool:
        """Tell whether there is still such a task."""
        return bool(self._before)

    def __call__(self, event: Event) -> Event:
        """Return the event as it is to be told."""
        before = self._before.pop(event.task_id or "", None)
        # where revisions don't meet, a filter has left out what nothing may stand for
        if before is None or not before.previous < event.previous <= before.revision:
            return event
        return replace(event, previous=before.previous)
