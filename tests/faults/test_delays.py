"""How long it takes until somebody steps in, by what was seen of the database."""

from __future__ import annotations

from tests.faults.delays import Look, Loss, Watch, delays
from tests.services import until

_LOOKS = [
    Look(at=1.0, leader="one", running={"a": "w", "b": "v"}),
    Look(at=2.0, leader=None, running={"a": "w"}),
    Look(at=3.0, leader="two", running={"c": "v"}),
]


def test_takeover_is_seen() -> None:
    """It is over when another one holds the lease, not when nobody does."""
    lost = Loss(kind="leader", at=0.5, who="one", promised=5.0)
    never = Loss(kind="leader", at=0.5, who="three", promised=5.0)
    late = Loss(kind="leader", at=2.5, who="two", promised=5.0)
    assert [found.seconds for found in delays([lost, never, late], _LOOKS)] == [2.5, 0.5, None]


def test_reaping_is_seen() -> None:
    """It is over when no task of the worker runs any longer; one without tasks needs none."""
    lost = Loss(kind="worker", at=0.5, who="w", tasks=frozenset("a"), promised=5.0)
    idle = Loss(kind="worker", at=0.5, who="u", promised=5.0)
    busy = Loss(kind="worker", at=2.5, who="v", tasks=frozenset("c"), promised=5.0)
    assert [found.seconds for found in delays([lost, idle, busy], _LOOKS)] == [2.5, 0.5, None]


def test_watch_passes_over_what_it_can_not_see() -> None:
    """While the database is away nothing is known."""
    coming = iter([None, *_LOOKS])
    watch = Watch(lambda: next(coming, None))
    assert watch.led() is None
    watch.start()
    until(lambda: len(watch.looks) == 3)
    watch.stop()
    assert watch.looks == _LOOKS
    assert watch.led() == _LOOKS[-1]
