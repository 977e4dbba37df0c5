"""What is sent and what is confirmed, across connections; the cursor follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from pulpit.domain.folding import Folded
from pulpit.errors import DatabaseFailed, EventsGone, Fenced
from pulpit.events.amqp.backoff import Backoff
from pulpit.events.amqp.feed import Feed
from pulpit.events.amqp.frames import Confirm
from pulpit.events.amqp.reasons import Reason
from pulpit.events.amqp.settings import CURSOR, FOLDED, PublisherSettings
from pulpit.events.amqp.window import Window
from pulpit.events.message import Message, message_of
from pulpit.ports import CursorStore, EventSource

__all__ = ["Delivery"]

#: Seconds for which later messages wait for what a broker refuses that has taken none so far.
_HOLD = 30.0


class Delivery:
    """Chooses the next messages and settles confirms; used by one thread.

    Takes up the journal where the cursor stands, or at its head if there is no cursor.

    Args:
        settings: bounds and intervals.
        source: the journal.
        cursors: where the cursor is kept.
        event_source_uri: CloudEvents' ``source``.
        log: a structlog logger.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        settings: PublisherSettings,
        *,
        source: EventSource,
        cursors: CursorStore,
        event_source_uri: str,
        log: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cursors, self._uri, self._log, self._clock = cursors, event_source_uri, log, clock
        self._interval = settings.cursor_interval
        self._saved = cursors.load(CURSOR)
        self._feed = Feed(
            source,
            position=source.head() if self._saved is None else self._saved,
            fold_above=settings.fold_above,
            read_ahead=settings.read_ahead,
            folded_to=cursors.load(FOLDED) or 0,
            note_folding=self._note_folding,
        )
        self._window = Window(messages=settings.window, size=settings.window_bytes)
        self._resend = Backoff(first=settings.resend_first, longest=settings.retry_longest)
        self._resend_at = self._saved_at = clock()
        self._save_failed = self._read_failed = False
        #: Whether the broker has taken a message on this connection, and since when it refuses.
        self._taken_here, self._refused_since = False, clock()
        #: Whether the broker refuses messages now.
        self.nacked = False
        #: Whether the cursor may differ from the saved one.
        self._moved = True
        #: Messages sent, each counted once; messages confirmed; messages sent again.
        self.published = self.confirmed = self.resent = 0
        #: Messages that were refused; gaps that were told; times that the cursor was not saved.
        self.nacks = self.gaps = self.unsaved = 0

    @property
    def folded(self) -> int:
        """How many progress events a later message told."""
        return self._feed.folded

    @property
    def cursor(self) -> int:
        """The number up to which everything is confirmed."""
        lowest = [low for low in (self._window.lowest, self._feed.lowest) if low is not None]
        return min(lowest) - 1 if lowest else self._feed.position

    @property
    def saved(self) -> int:
        """The cursor as it was saved last."""
        return self._feed.position if self._saved is None else self._saved

    @property
    def drained(self) -> bool:
        """Whether all that is known of the journal is confirmed."""
        return self._feed.exhausted and not len(self._window)

    def events_came(self) -> None:
        """Look into the journal again when there is room."""
        self._feed.fresh = True

    def next_batch(self, most: int) -> list[Message]:
        """Return what to send now, up to *most* messages; the caller sends all of it in order."""
        holding = self._holding
        if holding:
            # one alone: whatever is in flight when a refusal ends would come before it
            most = 0 if self._window.in_flight else 1
        again = self._window.take_again(most) if self._clock() >= self._resend_at else []
        self.resent += len(again)
        new = [] if again or holding else self._take(min(most, self._window.room))
        self.published += len(new)
        batch = again or new
        for told in batch:
            self._window.sent(told)
        return [message_of(told.event, source=self._uri) for told in batch]

    def settle(self, confirms: Sequence[Confirm]) -> None:
        """Take note of what the broker has taken over, and of what it refuses."""
        self._moved = self._moved or bool(confirms)
        for confirm in confirms:
            settled = self._window.confirm(confirm)
            if confirm.taken:
                self.confirmed += settled
                self._taken_here = self._taken_here or settled > 0
                if self.nacked and not self._window.refused:
                    self.nacked = False
                    self._resend.reset()
            elif settled:
                self._refused(settled)

    def connection_lost(self) -> None:
        """Send again, on the next connection, all that is not confirmed."""
        self._window.connection_lost()
        self._resend_at = self._refused_since = self._clock()
        self._taken_here = False

    def due(self, longest: float, *, sending: bool) -> float:
        """Return the seconds until there is something to do, at most *longest*.

        Args:
            longest: seconds.
            sending: whether messages can be sent at all for now.
        """
        now = self._clock()
        awaited = self._holding and self._window.in_flight
        if sending and self._window.again and not awaited:
            longest = min(longest, self._resend_at - now)
        if self._moved:
            longest = min(longest, self._saved_at + self._interval - now)
        return max(longest, 0.0)

    def save_cursor(self, *, now: bool = False) -> None:
        """Save the cursor if it is time, or *now*; what fails is tried again later.

        Raises:
            Fenced: it is for another process to save by now.
        """
        moment = self._clock()
        if not now and moment < self._saved_at + self._interval:
            return
        cursor = self.cursor
        self._saved_at, self._moved = moment, False
        if cursor == self._saved:
            return
        try:
            self._cursors.save(CURSOR, cursor)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the database says, events must go on
            self._moved = True
            self._note_unsaved(error)
        else:
            self._saved, self._save_failed = cursor, False

    def _note_folding(self, position: int) -> bool:
        """Keep that events up to *position* may be folded; return whether that worked."""
        try:
            self._cursors.save(FOLDED, position)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the database says, events must go on
            self._note_unsaved(error)
            return False
        return True

    def _note_unsaved(self, error: Exception) -> None:
        """Tell the operator once that the cursor can't be saved."""
        self.unsaved += 1
        if not self._save_failed:
            self._save_failed = True
            self._log.warning(
                "The publisher's cursor can't be saved: after a restart events are sent again",
                error=f"{type(error).__name__}: {error}",
                reason=Reason.CURSOR_UNSAVED.value,
            )

    def _take(self, most: int) -> list[Folded]:
        """Return the next events of the journal, told of a gap if there is one."""
        if not most:
            return []
        self._moved = True
        try:
            found = self._feed.take(most)
        except DatabaseFailed as error:
            self._note_unread(error)
            return []
        except EventsGone as gone:
            position = self._feed.skip_gap(gone)
            self.gaps += 1
            self._log.error(
                "Events were deleted before the broker had confirmed them: consumers miss those "
                "between the two numbers and should read /pulpit/v1/snapshot/",
                after=gone.since,
                up_to=position,
                reason=Reason.JOURNAL_GAP.value,
            )
            return self._feed.take(most)
        self._read_failed = False
        return found

    def _note_unread(self, error: DatabaseFailed) -> None:
        """Tell the operator once that the journal can't be read."""
        if not self._read_failed:
            self._read_failed = True
            self._log.warning(
                "The journal can't be read: events wait there and it is tried again by itself",
                error=str(error),
            )

    @property
    def _holding(self) -> bool:
        """Whether all wait for the oldest message, as the broker has taken none here.

        A cluster without a quorum refuses everything for a while, and what comes later must not
        overtake it. Where others were taken, or after some time, it is a single queue that refuses.
        """
        return (
            bool(self._window.refused)
            and not self._taken_here
            and self._clock() < self._refused_since + _HOLD
        )

    def _refused(self, count: int) -> None:
        """Wait before sending again what was refused, longer each time."""
        if not self.nacked:
            self._refused_since = self._clock()
        self.nacks += count
        self._resend_at = self._clock() + self._resend.next()
        if not self.nacked:
            self.nacked = True
            self._log.warning(
                "The broker refuses messages (nack) and they are sent again: look for a bound "
                "queue that is full and rejects (x-overflow), and at the broker's log",
                reason=Reason.NACKED.value,
            )
