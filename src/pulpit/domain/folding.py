"""Folding: a channel that is behind tells only the newest progress of each task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pulpit.domain.events import Event, EventKind

__all__ = ["Folded", "fold", "unfolded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """An event as it is told, and the first one that it stands for."""

    event: Event
    #: The lowest sequence number it stands for; its own when nothing was folded into it.
    since: int


def unfolded(events: Iterable[Event]) -> list[Folded]:
    """Return each event standing for itself."""
    return [Folded(event=event, since=event.sequence) for event in events]


def fold(events: Iterable[Event]) -> list[Folded]:
    """Fold each progress event into the next event of the same task.

    The later event takes over ``previous`` of the earlier one. A status event is never folded
    away, the order of those that stay is kept, and events whose revisions don't meet stay apart:
    nobody may claim to stand for what they have not seen.

    Args:
        events: in the order of the journal, none of them sent yet.
    """
    kept: list[Folded | None] = []
    #: task to the place of its newest event in *kept*, if that is progress
    progress: dict[str, int] = {}
    for event in events:
        told = Folded(event=event, since=event.sequence)
        task_id = event.task_id
        if task_id is None:
            kept.append(told)
            continue
        place = progress.pop(task_id, None)
        earlier = kept[place] if place is not None else None
        if place is not None and earlier and earlier.event.revision == event.previous:
            kept[place] = None
            told = Folded(
                event=replace(event, previous=earlier.event.previous), since=earlier.since
            )
        if event.kind is EventKind.PROGRESS:
            progress[task_id] = len(kept)
        kept.append(told)
    return [told for told in kept if told]
