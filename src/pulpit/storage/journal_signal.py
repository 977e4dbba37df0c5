"""Who waits for events in this process, and how they are told that there are some."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pulpit.domain.events import EventKind, NewEvent

__all__ = ["JournalSignal"]


class JournalSignal:
    """Tells readers in this process that events were committed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._head = 0
        self._closed = False
        self._wakes: set[Callable[[], None]] = set()
        #: Events committed by this process, by kind, and the bytes of their bodies.
        self.written = dict.fromkeys(EventKind, 0)
        self.written_bytes = 0

    @property
    def head(self) -> int:
        """The newest number known to be committed."""
        return self._head

    def advance(self, sequence: int) -> None:
        """Tell that events up to *sequence* are committed."""
        with self._changed:
            if sequence <= self._head:
                # told before, by the database or by a later commit
                return
            self._head = sequence
            self._changed.notify_all()
            wakes = tuple(self._wakes)
        for wake in wakes:
            wake()

    def count(self, events: Sequence[NewEvent]) -> None:
        """Count events that are committed."""
        with self._changed:
            for event in events:
                self.written[event.kind] += 1
                self.written_bytes += len(event.body)

    def wait(self, after: int, timeout: float | None) -> bool:
        """Block until the head is above *after*, or time is up, or closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._head > after, timeout)
            return self._head > after

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call *wake* after each advance; return what ends that."""
        with self._changed:
            self._wakes.add(wake)

        def unsubscribe() -> None:
            with self._changed:
                self._wakes.discard(wake)

        return unsubscribe

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
