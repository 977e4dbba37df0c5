"""How benchmarks show what they measured."""

from __future__ import annotations

import json

import pytest

from bench._report import Aim, Measured, run

_MEASURED = Measured(ratios={"vs_floor": 1.5}, figures={"call_us": 70.0})
_AIMS = {"vs_floor": Aim(least=0.8, text="against the floor"), "call_us": Aim(most=50, text="")}


def test_json_is_one_object_of_two_flat_maps(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever compares runs needs no more than this."""
    run("x", "Title.", lambda _quick: _MEASURED, _AIMS, ["--json"])
    assert json.loads(capsys.readouterr().out) == {
        "ratios": {"vs_floor": 1.5},
        "figures": {"call_us": 70.0},
    }


def test_the_table_says_which_aims_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    """Title, aim, verdict and meaning stand beside each number."""
    run("x", "Title.", lambda _quick: _MEASURED, _AIMS, [])
    printed = capsys.readouterr().out
    assert printed.startswith("Title.")
    assert "1.50  aim ≥ 0.8: met" in printed
    assert "against the floor" in printed
    assert "70.00  aim ≤ 50: MISSED" in printed


def test_quick_is_passed_on() -> None:
    """The measurement knows that it has to be short."""
    asked = []

    def measure(quick: bool) -> Measured:
        asked.append(quick)
        return _MEASURED

    run("x", "", measure, {}, ["--quick", "--json"])
    assert asked == [True]
