"""What a seed says."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import pytest

from tests.faults.schedule import Fault, Kind, Place, draw, place_of

_SERVER = {Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.RELOAD_SERVER, Kind.CUT_SERVER}
_LEADER = {Kind.KILL_LEADER, Kind.FREEZE_LEADER, Kind.CUT_LEADER}
_WORKER = {
    Kind.KILL_WORKER,
    Kind.STOP_WORKER,
    Kind.FREEZE_WORKER,
    Kind.FREEZE_MACHINE,
    Kind.CUT_WORKER,
}
_CHILD = {Kind.KILL_CHILD}
_DATABASE = {Kind.KILL_DATABASE, Kind.STOP_DATABASE}
_MANY = _LEADER | _WORKER | _DATABASE | {Kind.CUT_SERVER}
_BROKER = set(Kind) - _SERVER - _MANY - _CHILD


@pytest.mark.parametrize("place", Place)
def test_a_seed_says_the_same_each_time(place: Place) -> None:
    """A round can be run again."""
    assert draw(7, place) == draw(7, place) != draw(9, place)


def test_a_few_seeds_hold_every_fault() -> None:
    """Rounds in a row meet everything; only a cluster can be parted."""
    drawn = [draw(seed) for seed in range(40)]
    found = {fault.kind for schedule in drawn for fault in schedule.faults}
    assert found == set(Kind) - _MANY
    of_nodes = {fault.kind for one in drawn if not one.cluster for fault in one.faults}
    assert Kind.PARTITION not in of_nodes


def test_a_few_seeds_hold_every_fault_of_machines() -> None:
    """So they do there, with a cluster always."""
    drawn = [draw(seed, Place.MACHINES) for seed in range(40)]
    assert {fault.kind for schedule in drawn for fault in schedule.faults} == set(Kind)
    assert all(schedule.cluster for schedule in drawn)


def test_places_take_turns() -> None:
    """Four seeds in a row hold a node, a cluster, and machines twice."""
    assert {place_of(seed) for seed in range(2)} == {Place.LAPTOP}
    assert {place_of(seed) for seed in range(2, 4)} == {Place.MACHINES}
    assert {draw(seed, place_of(seed)).cluster for seed in range(2)} == {True, False}


@pytest.mark.parametrize(
    ("place", "sides"),
    [
        (Place.LAPTOP, [_SERVER | _CHILD, _BROKER]),
        (Place.MACHINES, [_SERVER | _LEADER, _WORKER | _CHILD, _BROKER]),
    ],
)
def test_faults_of_one_side_take_turns(place: Place, sides: list[Collection[Kind]]) -> None:
    """Nothing is broken while it is broken already."""
    for schedule in (draw(seed, place) for seed in range(200)):
        for kinds in sides:
            side: list[Fault] = [fault for fault in schedule.faults if fault.kind in kinds]
            assert side
            assert all(earlier.end < later.at for earlier, later in pairwise(side))
            assert all(fault.at < place.load_seconds for fault in side)
