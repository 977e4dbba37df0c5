"""Which broker is tried next, and when."""

from __future__ import annotations

from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.backoff import Backoff
from pulpit.events.amqp.settings import PublisherSettings

__all__ = ["Turns"]


class Turns:
    """Brokers in turn: the next one at once when one fails, a rest when all have failed.

    The one in use stays in use until it fails; an earlier one that is back does not take over.

    Args:
        addresses: of the brokers; at least one.
        settings: how long the rests are.
    """

    def __init__(self, addresses: tuple[Address, ...], settings: PublisherSettings) -> None:
        self._addresses = addresses
        self._backoff = Backoff(first=settings.retry_first, longest=settings.retry_longest)
        self._refused_rest = settings.retry_refused
        self._turn = 0
        #: Of each failure since the last success or rest: whether the broker refused us.
        self._failed: list[bool] = []

    @property
    def address(self) -> Address:
        """The broker in use, or to be tried next."""
        return self._addresses[self._turn]

    def failed(self, *, refused: bool) -> float:
        """Go on to the next broker; return the seconds to rest before it is tried.

        Args:
            refused: whether the broker will answer the same until somebody changes something.
        """
        self._turn = (self._turn + 1) % len(self._addresses)
        self._failed.append(refused)
        if len(self._failed) < len(self._addresses):
            return 0.0
        rest = self._backoff.next()
        if all(self._failed):
            rest = max(rest, self._refused_rest)
        self._failed.clear()
        return rest

    def drop(self) -> bool:
        """Try the present one no more, unless it is the only one; return whether others are left.

        What is left is tried at once.
        """
        if len(self._addresses) == 1:
            return False
        left = self._addresses[: self._turn] + self._addresses[self._turn + 1 :]
        # the turn first: it is good for both lists, and other threads ask for the address
        self._turn %= len(left)
        self._addresses = left
        return True

    def interrupted(self) -> float:
        """Return the seconds to rest after something that no broker is to blame for."""
        return self._backoff.next()

    def succeeded(self) -> None:
        """Begin again with short rests: a broker has taken messages."""
        self._failed.clear()
        self._backoff.reset()
