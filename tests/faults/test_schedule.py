"""What a seed says."""

from __future__ import annotations

from itertools import pairwise

from tests.faults.schedule import LOAD_SECONDS, Kind, draw

_SERVER = {Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.RELOAD_SERVER, Kind.KILL_CHILD}


def test_a_seed_says_the_same_each_time() -> None:
    """A round can be run again."""
    assert draw(7) == draw(7) != draw(9)


def test_a_few_seeds_hold_every_fault() -> None:
    """Rounds in a row meet everything; only a cluster can be parted."""
    drawn = [draw(seed) for seed in range(40)]
    found = {fault.kind for schedule in drawn for fault in schedule.faults}
    assert found == set(Kind)
    of_nodes = {fault.kind for one in drawn if not one.cluster for fault in one.faults}
    assert Kind.PARTITION not in of_nodes


def test_faults_of_one_side_take_turns() -> None:
    """Nothing is broken while it is broken already."""
    for schedule in map(draw, range(200)):
        for of_server in (True, False):
            side = [fault for fault in schedule.faults if (fault.kind in _SERVER) is of_server]
            assert side
            assert all(earlier.end < later.at for earlier, later in pairwise(side))
            assert all(fault.at < LOAD_SECONDS for fault in side)
