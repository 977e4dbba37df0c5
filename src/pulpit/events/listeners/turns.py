"""Whose turn it is: listeners go one after the other, and those that fail share a part."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pulpit.domain.deliveries import Delivery
from pulpit.events.listeners.desk import Desk

__all__ = ["Picked", "Turns"]


class Picked(NamedTuple):
    """What is to be tried."""

    desk: Desk
    delivery: Delivery
    #: Whether it has one of the places of those that are not known to answer.
    is_doubtful: bool


class Turns:
    """Picks what is tried next, so that no listener delays another; for use by one thread.

    Those whose newest attempt has failed, or that were never tried, take half of the places at the
    most: receivers that hang leave the other half to those that answer.

    Args:
        places: how many may be under way at once.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._doubtful_places = max(places // 2, 1)
        self._line: deque[Desk] = deque()
        #: Those that wait until one of the doubtful comes to its end.
        self._aside: deque[Desk] = deque()
        self._taken = self._doubtful = 0

    @property
    def taken(self) -> int:
        """How many are under way."""
        return self._taken

    def offer(self, desk: Desk) -> None:
        """Have a listener take its turn, for there may be something to try."""
        if not desk.in_turn:
            desk.in_turn = True
            self._line.append(desk)

    def pick(self, now: datetime) -> Iterator[Picked]:
        """Yield what to try now; ``over`` follows for each."""
        while self._line and self._taken < self._places:
            desk = self._line.popleft()
            doubtful = not desk.trust.is_proven
            if doubtful and self._doubtful >= self._doubtful_places:
                self._aside.append(desk)
                continue
            if (delivery := desk.next(now)) is None:
                desk.in_turn = False
                continue
            self._line.append(desk)
            self._taken += 1
            self._doubtful += doubtful
            yield Picked(desk, delivery, doubtful)

    def over(self, picked: Picked) -> None:
        """Heed that an attempt has come to its end."""
        self._taken -= 1
        if picked.is_doubtful:
            self._doubtful -= 1
            self._line.extendleft(reversed(self._aside))
            self._aside.clear()
