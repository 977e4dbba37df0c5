"""The messages that are about to be delivered, held once for all listeners."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from pulpit.domain.messages import Message

__all__ = ["Bodies"]

_SIZE = 32 << 20


class Bodies:
    """So many bytes of messages at the most, and always the newest one; for use by one thread.

    Args:
        size: bytes of bodies.
    """

    def __init__(self, size: int = _SIZE) -> None:
        self._most = size
        self._size = 0
        self._messages: OrderedDict[int, Message] = OrderedDict()

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return self._size

    def get(self, number: int) -> Message | None:
        """Return the message if it is held."""
        if (message := self._messages.get(number)) is not None:
            self._messages.move_to_end(number)
        return message

    def lacking(self, numbers: Iterable[int]) -> set[int]:
        """Return those that are not held."""
        return {number for number in numbers if number not in self._messages}

    def add(self, messages: Mapping[int, Message]) -> None:
        """Hold these, and let go of those that were used the longest ago."""
        for number, message in messages.items():
            if number not in self._messages:
                self._messages[number] = message
                self._size += len(message.body)
        while self._size > self._most and len(self._messages) > 1:
            self._size -= len(self._messages.popitem(last=False)[1].body)
