"""What the publisher has still to send: the journal from a number on, a bounded part at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from pulpit.domain.events import Event, EventKind
from pulpit.domain.folding import Folded, fold, unfolded
from pulpit.errors import EventsGone
from pulpit.ports import EventSource

__all__ = ["Feed"]

_KINDS = (EventKind.STATUS, EventKind.PROGRESS)
#: One read should bring no more than about this many bytes of bodies.
_READ_BYTES = 8 << 20
_SMALLEST_READ = 8


class Feed:
    """Reads ahead in the journal; folds when that shows that it is behind.

    Args:
        source: the journal.
        position: the number after which to begin.
        fold_above: a read of more events than this, or of all that may be read at once, is
            folded; None: nothing is.
        read_ahead: how many events one read may bring.
        folded_to: up to this number a former run may have folded, and sent what came of it.
        note_folding: called before anything of a folded read may be sent, with the number of its
            last event, which is *folded_to* after a crash; False if it could not be kept.
    """

    def __init__(
        self,
        source: EventSource,
        *,
        position: int,
        fold_above: int | None,
        read_ahead: int,
        folded_to: int = 0,
        note_folding: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self._source = source
        self._folded_to, self._note_folding = folded_to, note_folding
        #: By task: progress that is told by the next event of the task only.
        self._held: dict[str | None, Folded] = {}
        self._fold_above, self._read_ahead = fold_above, read_ahead
        self._limit = read_ahead
        self._waiting: deque[Folded] = deque()
        #: The number of the newest event that was read.
        self.position = position
        #: Whether the journal may hold more than was read; set it when told of new events.
        self.fresh = True
        #: How many events were folded into later ones.
        self.folded = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to send, as far as is known."""
        return not self._waiting and not self.fresh

    @property
    def lowest(self) -> int | None:
        """The lowest number that was read and not taken, or None if there is none."""
        return min((told.since for told in (*self._waiting, *self._held.values())), default=None)

    def take(self, most: int) -> list[Folded]:
        """Return the next ones to send, up to *most*, reading the journal if need be.

        Raises:
            EventsGone: what comes next is past retention; call ``skip_gap`` and try again.
        """
        if not self._waiting and self.fresh:
            self._read()
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def skip_gap(self, gone: EventsGone) -> int:
        """Go on at the oldest event there is; return the new position."""
        oldest = self._source.oldest()
        # a place that can't be read even so leaves only what is still to come
        self.position = oldest if oldest != gone.since else gone.head
        self._held.clear()
        self.fresh = True
        return self.position

    def _read(self) -> None:
        """Read the next part of the journal."""
        # whoever writes meanwhile sets it again
        self.fresh = False
        limit = self._limit
        try:
            events = self._source.read(self.position, limit)
        except BaseException:
            self.fresh = True
            raise
        if not events:
            return
        self.fresh = self.fresh or len(events) >= limit
        self.position = events[-1].sequence
        self._limit = self._next_limit(events)
        ours = [event for event in events if event.kind in _KINDS]
        behind = self._fold_above is not None and len(events) > min(self._fold_above, limit - 1)
        told = self._folded(ours) if behind else unfolded(ours)
        if self._held or events[0].sequence <= self._folded_to:
            told = [*self._hold(told)]
        self._waiting.extend(told)

    def _folded(self, events: Sequence[Event]) -> list[Folded]:
        """Return the events folded, if it can be kept that they were."""
        told = fold(events)
        if len(told) < len(events) and not self._note_folding(self.position):
            return unfolded(events)
        self.folded += len(events) - len(told)
        return told

    def _hold(self, events: Iterable[Folded]) -> Iterator[Folded]:
        """Yield the events without progress that a former run may have folded.

        It would arrive after later events of its task; the next event of the task tells it.
        """
        for told in events:
            task_id = told.event.task_id
            held = self._held.pop(task_id, None)
            if held and held.event.revision == told.event.previous:
                event = replace(told.event, previous=held.event.previous)
                told = Folded(event=event, since=held.since)  # noqa: PLW2901 - one and the same
                self.folded += 1
            if told.event.kind is EventKind.PROGRESS and told.event.sequence <= self._folded_to:
                self._held[task_id] = told
            else:
                yield told

    def _next_limit(self, events: Sequence[Event]) -> int:
        """Return how many events of this size one read may bring."""
        average = sum(len(event.body) for event in events) // len(events) + 1
        return max(_SMALLEST_READ, min(self._read_ahead, _READ_BYTES // average))
