"""What readers of the journal get at once: a part of it, encoded for them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulpit.domain.events import Event
from pulpit.domain.folding import fold

__all__ = ["Alter", "Bounds", "Encode", "Part", "Recent", "Wanted", "part_of"]

#: Returns an event's bytes on the wire; the same function for all readers of one format.
Encode = Callable[[Event], bytes]
#: Tells whether a reader wants an event.
Wanted = Callable[[Event], bool]
#: Returns an event as a reader is to be told of it.
Alter = Callable[[Event], Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much there may be."""

    #: Events.
    count: int
    #: Bytes of their bodies.
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a reader gets at once."""

    #: What is wanted of it, encoded; may be empty.
    data: bytes
    #: The number to go on after.
    after: int
    #: How many events that is, and how many were folded into them.
    told: int = 0
    folded: int = 0


def part_of(
    events: Sequence[Event],
    bounds: Bounds,
    *,
    encode: Encode,
    wanted: Wanted | None,
    alter: Alter | None,
) -> Part:
    """Return the part that these events of the journal make; at least one.

    A reader that gets as much as it may at once is behind: that is folded for it.
    """
    after = events[-1].sequence
    ours = events if wanted is None else [event for event in events if wanted(event)]
    if alter is not None:
        ours = list(map(alter, ours))
    if len(events) < bounds.count and sum(len(event.body) for event in events) < bounds.size:
        return Part(b"".join(map(encode, ours)), after, len(ours))
    told = fold(ours)
    data = b"".join([encode(each.event) for each in told])
    return Part(data, after, len(told), len(ours) - len(told))


class _Entry:
    """An event with what it is on the wire, made when first needed."""

    __slots__ = ("_encoded", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._encoded: dict[Encode, bytes] = {}

    def encoded(self, encode: Encode) -> bytes:
        """Return the bytes of the event in a format."""
        found = self._encoded.get(encode)
        if found is None:
            found = self._encoded[encode] = encode(self.event)
        return found


class Recent:
    """The newest events, for readers at the journal's head.

    Args:
        bounds: of what is kept.
        part: of what a reader gets at once.
    """

    def __init__(self, bounds: Bounds, *, part: Bounds) -> None:
        self._bounds, self._part = bounds, part
        self.forget(0)

    def forget(self, position: int) -> None:
        """Keep nothing, and go on after a number."""
        self._entries: list[_Entry] = []
        #: Their numbers, in the same places.
        self._numbers: list[int] = []
        self._size = 0
        #: The number after which nothing is missing.
        self.since = position
        #: The number of the newest event there was.
        self.position = position
        #: Format to the part that somebody took last, who wanted all, and from where.
        self._taken: dict[Encode, tuple[int, Part]] = {}

    def keep(self, events: Sequence[Event]) -> None:
        """Keep the events that follow, and of all that is kept the newest."""
        self._taken.clear()
        self._entries += map(_Entry, events)
        self._numbers += [event.sequence for event in events]
        self._size += sum(len(event.body) for event in events)
        self.position = self._numbers[-1]
        surplus = 0
        while len(self) - surplus > self._bounds.count or self._size > self._bounds.size:
            self._size -= len(self._entries[surplus].event.body)
            surplus += 1
        if surplus:
            self.since = self._numbers[surplus - 1]
            del self._entries[:surplus], self._numbers[:surplus]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of the bodies that are kept."""
        return self._size

    def take(
        self, after: int, *, encode: Encode, wanted: Wanted | None, alter: Alter | None
    ) -> Part:
        """Return the next part after a number that is not before ``since``."""
        if after >= self.position:
            return Part(b"", after)
        if wanted is not None or alter is not None:
            return self._take(after, encode, wanted, alter)
        # most readers want all of the newest event: it is made once
        place, part = self._taken.get(encode, (None, None))
        if part is None or place != after:
            part = self._take(after, encode, None, None)
            self._taken[encode] = after, part
        return part

    def _take(self, after: int, encode: Encode, wanted: Wanted | None, alter: Alter | None) -> Part:
        start = bisect_right(self._numbers, after)
        stop, size, end = start, 0, len(self._entries)
        while stop < end and stop - start < self._part.count and size < self._part.size:
            size += len(self._entries[stop].event.body)
            stop += 1
        entries = self._entries[start:stop]
        if stop < end or alter is not None:
            events = [entry.event for entry in entries]
            return part_of(events, self._part, encode=encode, wanted=wanted, alter=alter)
        frames = [
            entry.encoded(encode) for entry in entries if wanted is None or wanted(entry.event)
        ]
        return Part(b"".join(frames), self._numbers[stop - 1], len(frames))
