"""The bell of the publisher's thread, and its back-off."""

from __future__ import annotations

import os
import select
import time
from threading import Thread

from pulpit.events.amqp.backoff import Backoff
from pulpit.events.amqp.wake import Wake
from tests.services import PATIENCE


def _readable(wake: Wake) -> bool:
    """Return whether a poll hears the bell."""
    return bool(select.select([wake], [], [], 0)[0])


def test_rung_many_times_it_is_heard_once() -> None:
    """A poll hears it until it is heard; then it is silent."""
    wake = Wake()
    assert (_readable(wake), wake.hear()) == (False, False)
    for _ in range(3):
        wake.ring()
    assert (_readable(wake), wake.hear()) == (True, True)
    assert (_readable(wake), wake.hear()) == (False, False)
    wake.ring()
    assert _readable(wake)
    wake.close()


def test_closed_it_does_nothing() -> None:
    """Whoever rings late writes into nobody else's descriptor."""
    wake = Wake()
    number = wake.fileno()
    wake.close()
    wake.close()
    other = os.eventfd(0, os.EFD_NONBLOCK)
    wake.ring()
    assert other != number or not select.select([other], [], [], 0)[0]
    os.close(other)


def test_no_ring_is_missed() -> None:
    """What was counted before a ring is seen after hearing, however threads meet."""
    wake, counted, seen = Wake(), [0], 0

    def count() -> None:
        """Count and ring."""
        for _ in range(20_000):
            counted[0] += 1
            wake.ring()

    thread = Thread(target=count)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while seen < 20_000:
        assert select.select([wake], [], [], max(deadline - time.monotonic(), 0))[0]
        if wake.hear():
            seen = counted[0]
    thread.join()
    wake.close()


def test_delays_double_up_to_the_longest() -> None:
    """Each delay lies between a half and the whole of twice the one before."""
    backoff = Backoff(first=1.0, longest=5.0)
    for whole in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert whole / 2 <= backoff.next() <= whole
    backoff.reset()
    assert backoff.next() <= 1.0
