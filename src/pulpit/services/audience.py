"""Which listeners are to be told of a message, found without asking each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pulpit.domain.listeners import Listener
from pulpit.domain.messages import Message

__all__ = ["Audience"]


class Audience:
    """Those who have asked for one event type.

    Where each looks at a part of many repositories, most events are of no use to most listeners:
    so a message is looked up by its repositories. Who is found decides by its own filters.

    Args:
        listeners: all of them, in the order in which they are told.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)
        #: Places of those who look at all repositories, and of the others by repository.
        self._of_all: list[int] = []
        self._of_one: dict[str, list[int]] = {}
        for place, listener in enumerate(self._listeners):
            if not listener.filters.repositories:
                self._of_all.append(place)
            for repo_id in dict.fromkeys(listener.filters.repositories):
                self._of_one.setdefault(repo_id, []).append(place)

    def __bool__(self) -> bool:
        """Tell whether there is anybody."""
        return bool(self._listeners)

    def of(self, message: Message) -> Sequence[str]:
        """Return the ids of those whose filters let a message through, in their order."""
        places = set(self._of_all)
        for repo_id in message.repo_ids:
            places.update(self._of_one.get(repo_id, ()))
        found = (self._listeners[place] for place in sorted(places))
        return [each.id for each in found if each.filters.let_through(message)]
