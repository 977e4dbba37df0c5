"""What tests expect of events."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from pulpit.domain.events import Event, EventKind
from pulpit.ports import EventSource

__all__ = ["RecordingSink", "expect_events"]

_T = TypeVar("_T")
_PAGE = 1_000


class RecordingSink(Generic[_T]):
    """Takes events, or messages, and keeps them in order; call it from any thread."""

    def __init__(self) -> None:
        self._items: list[_T] = []
        self._changed = threading.Condition()

    def __call__(self, item: _T) -> None:
        """Take one."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    @property
    def items(self) -> Sequence[_T]:
        """What was taken so far."""
        with self._changed:
            return tuple(self._items)

    def wait_for(self, count: int, timeout: float = 10.0) -> Sequence[_T]:
        """Block until *count* were taken, for at most *timeout* seconds; return them all.

        Raises:
            AssertionError: there were fewer.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._items) >= count, timeout):
                raise AssertionError(f"{len(self._items)} of {count} came in {timeout} s")
            return tuple(self._items)


@contextlib.contextmanager
def expect_events(source: EventSource, *expected: str) -> Iterator[list[Event]]:
    """Check that the block writes exactly these events, in this order.

    Args:
        source: the journal.
        expected: the state for a status change, ``progress``, or the type of a listener's event.

    Yields:
        A list that holds the events once the block is left.

    Raises:
        AssertionError: other events were written.
    """
    after = source.head()
    events: list[Event] = []
    yield events
    while page := source.read(after, _PAGE):
        events += page
        after = page[-1].sequence
    written = [_word(event) for event in events]
    if written != list(expected):
        raise AssertionError(f"expected the events {list(expected)}, found {written}")


def _word(event: Event) -> str:
    """Return the word that stands for an event."""
    if event.kind is EventKind.STATUS and event.state is not None:
        return event.state.value
    return event.type if event.kind is EventKind.LISTENER else event.kind.value
