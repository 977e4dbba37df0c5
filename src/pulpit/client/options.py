"""What may be asked of a stream of events, in one place for both clients."""

from __future__ import annotations

from typing import Any

from pulpit.client.events import EventFilter, Filters
from pulpit.client.following import Backoff, Following, Trying

__all__ = ["EventOptions", "FollowOptions", "following"]

_TRYING = Trying.__optional_keys__


class EventOptions(Filters, Trying, total=False):
    """What ``events()`` takes: filters, where to start, and what to do without a connection."""

    #: The number to start after; None or left out: from now on.
    since: int | None
    #: The filter as a value, in place of its fields.
    wanted: EventFilter | None


class FollowOptions(EventOptions, total=False):
    """What ``follow()`` takes; ``since`` leaves out the snapshot at the beginning.

    Snapshots hold the tasks that ``task=``, ``tag=`` and ``repository=`` name; the other filters
    are for events alone.
    """

    #: Whether snapshots hold the tasks that are complete, too.
    complete: bool


def following(url: str, options: EventOptions, *, snapshots: bool) -> Following:
    """Return what the options ask for.

    Args:
        url: of the server.
        options: as the caller of the client gave them.
        snapshots: whether a snapshot comes first, and after every gap.

    Raises:
        TypeError: there is no such option, or a filter came twice.
    """
    rest: dict[str, Any] = dict(options)
    trying = {name: rest.pop(name) for name in _TRYING & rest.keys()}
    since, complete = rest.pop("since", None), rest.pop("complete", False)
    wanted = rest.pop("wanted", None)
    if wanted is not None and rest:
        raise TypeError(f"name {', '.join(sorted(rest))} in the filter, or pass no filter")
    return Following(
        url,
        wanted=wanted or EventFilter(**rest),
        since=since,
        snapshots=snapshots,
        complete=complete,
        backoff=Backoff(**trying),
    )
