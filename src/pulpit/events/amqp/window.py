"""The window of messages that were sent and that the broker has not confirmed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from pulpit.domain.folding import Folded
from pulpit.events.amqp.frames import Confirm

__all__ = ["Window"]


class Window:
    """At most so many messages, and bytes of bodies, in flight; none is forgotten unconfirmed.

    Args:
        messages: how many may be in flight.
        size: how many bytes of bodies may be in flight; one message always may.
    """

    def __init__(self, *, messages: int, size: int) -> None:
        self._messages, self._size = messages, size
        self._tag = 0
        self._bytes = 0
        self._unconfirmed: dict[int, Folded] = {}
        self._again: deque[Folded] = deque()
        #: Numbers of messages that the broker refused and has not taken over since.
        self.refused: set[int] = set()

    def __len__(self) -> int:
        """Return how many are in flight or wait to be sent again."""
        return len(self._unconfirmed) + len(self._again)

    @property
    def room(self) -> int:
        """How many new messages may be sent now."""
        if self._bytes >= self._size:
            return 0
        return max(self._messages - len(self), 0)

    @property
    def lowest(self) -> int | None:
        """The lowest sequence number that is not confirmed, or None if all are."""
        return min((told.since for told in self), default=None)

    @property
    def in_flight(self) -> int:
        """How many were sent and are not settled."""
        return len(self._unconfirmed)

    @property
    def again(self) -> int:
        """How many wait to be sent again."""
        return len(self._again)

    def __iter__(self) -> Iterator[Folded]:
        """Yield all that are not confirmed."""
        yield from self._unconfirmed.values()
        yield from self._again

    def sent(self, told: Folded) -> None:
        """Note that a new message goes out; the broker counts the same tags."""
        self._tag += 1
        self._unconfirmed[self._tag] = told
        self._bytes += len(told.event.body)

    def take_again(self, most: int) -> list[Folded]:
        """Return up to *most* that must be sent again, in order; call ``sent`` for each."""
        taken = [self._again.popleft() for _ in range(min(most, len(self._again)))]
        self._bytes -= sum(len(told.event.body) for told in taken)
        return taken

    def confirm(self, confirm: Confirm) -> int:
        """Settle what *confirm* tells of and return how many; unknown tags settle nothing."""
        tags = self._settled(confirm)
        settled = [self._unconfirmed.pop(tag) for tag in tags]
        if confirm.taken:
            self._bytes -= sum(len(told.event.body) for told in settled)
            if self.refused:
                self.refused.difference_update(told.event.sequence for told in settled)
        else:
            self.refused.update(told.event.sequence for told in settled)
            self._queue_again(settled)
        return len(settled)

    def connection_lost(self) -> None:
        """Count tags from 1 again, as each channel does, and send again all that is unconfirmed."""
        settled = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        self._tag = 0
        self._queue_again(settled)

    def _settled(self, confirm: Confirm) -> list[int]:
        """Return the tags that *confirm* tells of."""
        if not confirm.multiple:
            return [confirm.tag] if confirm.tag in self._unconfirmed else []
        tags = []
        for tag in self._unconfirmed:
            # 0 stands for all that are outstanding
            if confirm.tag and tag > confirm.tag:
                break
            tags.append(tag)
        return tags

    def _queue_again(self, told: Iterable[Folded]) -> None:
        """Put messages among those to send again, in the order of the journal."""
        self._again = deque(
            sorted([*self._again, *told], key=lambda waiting: waiting.event.sequence)
        )
