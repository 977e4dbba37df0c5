"""The simulation of the turn, where the answer is known without it."""

from __future__ import annotations

import pytest

from bench._turn import Load, TurnCost, simulate

_COST = TurnCost(fixed=0.003, each=0.0004, single=0.006)


def test_an_idle_turn_takes_what_a_transaction_takes() -> None:
    """Rare updates are alone in their transactions and wait for nobody."""
    turn = simulate(_COST, Load(processes=4, updates=2, singles=0), seconds=200)
    assert turn.group == pytest.approx(1, abs=0.05)
    assert turn.p50 == pytest.approx(_COST.fixed + _COST.each)


def test_nothing_is_lost_below_the_end() -> None:
    """What is offered is committed, in larger groups where more is."""
    few, many = (
        simulate(_COST, Load(processes=4, updates=updates, singles=0)) for updates in (100, 1_500)
    )
    assert few.rate == pytest.approx(100, rel=0.1)
    assert many.rate == pytest.approx(1_500, rel=0.05)
    assert many.group > few.group


def test_the_end_is_where_updates_alone_fill_the_turn() -> None:
    """However much is offered, no more is committed than fits beside nothing else."""
    turn = simulate(_COST, Load(processes=4, updates=10_000, singles=0))
    assert 0.5 / _COST.each < turn.rate <= 1 / _COST.each
    assert turn.busy == pytest.approx(1, abs=0.01)


def test_others_take_their_share() -> None:
    """Single transactions leave the turn to updates for the rest of the time."""
    turn = simulate(_COST, Load(processes=1, updates=0, singles=50), seconds=50)
    assert turn.busy == pytest.approx(50 * _COST.single, rel=0.1)
