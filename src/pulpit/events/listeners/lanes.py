"""The pending deliveries of one listener, as far as they are held, lane by lane.

The rows in the database are the queue; held is a window of them. A lane is a repository, or a
task, of which one delivery is under way at a time, in the order of their numbers. The next one of
a lane may begin as soon as the one before was delivered, written or not: whoever goes on after a
crash repeats both in their order, so what arrives first is in order all the same. After one that
failed for good it may begin only once that is written: else a crash would bring that one back
behind its successor.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pulpit.domain.deliveries import Delivery

__all__ = ["Lanes", "Read"]

#: Deliveries that are held of a listener, and of one of its lanes.
_WINDOW, _OF_LANE = 256, 64
#: Lanes that may wait for a retry; from then on nothing more is read until some have gone on.
_PARKED = 1_024
#: So often all that wait are tried at once: else a receiver that takes few would soon exhaust them.
_HURRY_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What is to be read of the pending deliveries."""

    after: int
    limit: int
    #: Of this lane; None: of all.
    lane: str | None
    #: Tells what was asked before all was forgotten.
    generation: int


class _Lane:
    """One lane that something is known of."""

    __slots__ = ("busy", "due", "hurried", "last", "more", "waiting")

    def __init__(self) -> None:
        #: Held, by number, after the one that is under way.
        self.waiting: deque[Delivery] = deque()
        #: The highest number that was held.
        self.last = 0
        #: Whether one is under way, or has failed and that is not written.
        self.busy = False
        #: Whether there may be more than is held, to be read from the lane's head on.
        self.more = False
        #: When its head is to be tried again.
        self.due: datetime | None = None
        #: Whether its head is tried now, whenever it is due.
        self.hurried = False


class Lanes:
    """The window; for use by one thread, with at most one read at a time.

    Args:
        window: how many deliveries are held at the most.
        of_lane: how many of one lane.
        parked: how many lanes may wait for a retry before no more is read.
    """

    def __init__(
        self, *, window: int = _WINDOW, of_lane: int = _OF_LANE, parked: int = _PARKED
    ) -> None:
        self._window, self._of_lane, self._most_parked = window, of_lane, parked
        self._lanes: dict[str, _Lane] = {}
        #: Lanes whose head may be tried, and those that are to be read.
        self._ready: deque[str] = deque()
        self._wishes: deque[str] = deque()
        #: (when, lane) of those that wait for a retry.
        self._parked: list[tuple[datetime, str]] = []
        #: Numbers under way or not written yet, which what is read may still hold.
        self._open: set[int] = set()
        #: Of these, the ones that have failed, to their lanes.
        self._failed: dict[int, str] = {}
        #: Written while something is read, which may be older than that.
        self._settled: list[int] = []
        self._hurried: datetime | None = None
        self._held = 0
        self._position = 0
        self._at_end = False
        self._reading = False
        self._told = False
        self._generation = 0

    @property
    def held(self) -> int:
        """How many deliveries are held, those under way among them."""
        return self._held

    @property
    def parked(self) -> int:
        """How many lanes wait for a retry."""
        return len(self._parked)

    @property
    def has_ready(self) -> bool:
        """Whether something may be tried now."""
        return bool(self._ready)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way, read, or not written yet."""
        return not (self._open or self._reading)

    @property
    def due_at(self) -> datetime | None:
        """When the first of the lanes that wait is to be tried again."""
        return self._parked[0][0] if self._parked else None

    def told(self) -> None:
        """Heed that there are new deliveries."""
        self._at_end, self._told = False, True

    def anew(self) -> None:
        """Forget all that is not under way and begin again with the first one that is pending."""
        self._generation += 1
        self._ready.clear()
        self._wishes.clear()
        self._parked.clear()
        for name, lane in list(self._lanes.items()):
            self._drop_waiting(lane)
            # what is due may have been changed since: a lane that goes on is read again
            lane.due = None
            if not lane.busy:
                del self._lanes[name]
        self._position = 0
        self.told()

    def wanted(self, now: datetime) -> Read | None:
        """Return what to read; ``take_in`` or ``not_read`` must follow. None: nothing now."""
        self._unpark(now)
        if self._reading:
            return None
        room = self._window - self._held
        if self._wishes and room > 0:
            lane = self._wishes.popleft()
            # what is not written yet is read too
            limit = min(self._of_lane, room) + len(self._open)
            return self._read(Read(after=0, limit=limit, lane=lane, generation=self._generation))
        if not self._may_go_on(room):
            return None
        self._told = False
        return self._read(
            Read(after=self._position, limit=room, lane=None, generation=self._generation)
        )

    def is_hungry(self, now: datetime) -> bool:
        """Tell whether ``wanted`` would return something."""
        if self._reading:
            return False
        room = self._window - self._held
        if room > 0 and (self._wishes or (self._parked and self._parked[0][0] <= now)):
            return True
        return self._may_go_on(room)

    def _may_go_on(self, room: int) -> bool:
        """Tell whether what follows the position may be read."""
        if self._at_end or room * 2 < self._window:
            return False
        return len(self._parked) < self._most_parked

    def _read(self, read: Read) -> Read:
        self._reading = True
        return read

    def not_read(self, read: Read) -> None:
        """Heed that the reading has failed, so that it is wanted again."""
        if read.generation == self._generation and read.lane is not None:
            self._wishes.appendleft(read.lane)
        self._read_over()

    def take_in(self, read: Read, found: Sequence[Delivery], now: datetime) -> None:
        """Hold what was read, as far as there is room."""
        if read.generation == self._generation:
            if read.lane is None:
                self._take_next(read, found, now)
            else:
                self._take_lane(read.lane, read.limit, found, now)
        self._read_over()

    def _read_over(self) -> None:
        self._reading = False
        self._open.difference_update(self._settled)
        self._settled.clear()

    def _take_next(self, read: Read, found: Sequence[Delivery], now: datetime) -> None:
        """Hold what follows the position."""
        if found:
            self._position = found[-1].number
        self._at_end = len(found) < read.limit and not self._told
        for delivery in found:
            if delivery.number in self._open:
                continue
            lane = self._lanes.get(delivery.lane)
            if lane is None:
                lane = self._lanes[delivery.lane] = _Lane()
                self._hold(lane, delivery)
                self._go_on(delivery.lane, lane, now)
            elif lane.more or delivery.number <= lane.last:
                continue
            elif len(lane.waiting) >= self._of_lane:
                lane.more = True
            else:
                self._hold(lane, delivery)

    def _take_lane(self, name: str, limit: int, found: Sequence[Delivery], now: datetime) -> None:
        """Hold what a lane begins with."""
        lane = self._lanes[name]
        fresh = [each for each in found if each.number not in self._open]
        room = max(min(self._of_lane, self._window - self._held), 1)
        lane.more = len(found) >= limit or len(fresh) > room
        for delivery in fresh[:room]:
            self._hold(lane, delivery)
        self._go_on(name, lane, now)

    def _hold(self, lane: _Lane, delivery: Delivery) -> None:
        lane.waiting.append(delivery)
        lane.last = delivery.number
        self._held += 1

    def _drop_waiting(self, lane: _Lane) -> None:
        """Hold nothing more of a lane than what is under way."""
        self._held -= len(lane.waiting)
        lane.waiting.clear()
        lane.more = True

    def _go_on(self, name: str, lane: _Lane, now: datetime) -> None:
        """Let the lane's next one be tried, once it is known and due."""
        if not lane.waiting:
            if lane.more:
                self._wishes.append(name)
            else:
                del self._lanes[name]
            return
        due = lane.waiting[0].due
        if due is not None and due > now and not lane.hurried:
            self._drop_waiting(lane)
            self._park(name, lane, due)
        else:
            self._ready.append(name)

    def _park(self, name: str, lane: _Lane, due: datetime) -> None:
        lane.due = due
        heapq.heappush(self._parked, (due, name))

    def _unpark(self, now: datetime) -> None:
        """Have those lanes read whose time has come."""
        while self._parked and self._parked[0][0] <= now:
            self._wishes.append(heapq.heappop(self._parked)[1])

    def next(self) -> Delivery | None:
        """Return one to be tried now, which is under way from then on; None if there is none."""
        if not self._ready:
            return None
        lane = self._lanes[self._ready.popleft()]
        lane.busy, lane.hurried = True, False
        delivery = lane.waiting.popleft()
        self._open.add(delivery.number)
        return delivery

    def delivered(self, delivery: Delivery, now: datetime) -> None:
        """Go on after one that was delivered; ``settled`` follows once that is written."""
        lane = self._lanes[delivery.lane]
        lane.busy = False
        self._held -= 1
        self._go_on(delivery.lane, lane, now)
        if len(self._parked) >= self._most_parked and (
            self._hurried is None or abs(now - self._hurried) >= _HURRY_EVERY
        ):
            self._hurried = now
            self._hurry()

    def failed(self, delivery: Delivery, due: datetime | None) -> None:
        """Let the lane wait until that is written (``settled``), and then until it is due.

        Args:
            delivery: which.
            due: when it is tried again; None: never.
        """
        lane = self._lanes[delivery.lane]
        self._drop_waiting(lane)
        self._held -= 1
        lane.due = due
        self._failed[delivery.number] = delivery.lane

    def settled(self, numbers: Collection[int]) -> None:
        """Heed that what came of these is written, or that somebody else has changed them."""
        for number in numbers:
            if (name := self._failed.pop(number, None)) is None:
                continue
            lane = self._lanes[name]
            lane.busy = False
            if lane.due is None:
                self._wishes.append(name)
            else:
                self._park(name, lane, lane.due)
        if self._reading:
            self._settled.extend(numbers)
        else:
            self._open.difference_update(numbers)

    def _hurry(self) -> None:
        """Try all that waits now.

        The receiver is back, and so many wait that what is not read yet would wait for them.
        """
        for _, name in self._parked:
            self._lanes[name].hurried = True
            self._wishes.append(name)
        self._parked.clear()
