"""What the benchmark of the engine judges: order within a repository."""

from __future__ import annotations

import pytest

from bench._empty_task import Ran
from bench.engine import violations


def _ran(task_id: str, began: float, ended: float, repository: str = "zoo") -> Ran:
    return Ran(task_id=task_id, repository=repository, began=began, ended=ended)


def test_tasks_one_after_the_other_are_in_order() -> None:
    """Nothing is found where each begins after the one ahead, whatever other repositories do."""
    runs = [_ran("b", 2, 3), _ran("a", 0, 1), _ran("c", 0.5, 2.5, "other")]
    assert violations(["a", "b", "c"], runs) == 0


@pytest.mark.parametrize(
    "second", [_ran("b", 0.5, 2), _ran("b", -2, -1)], ids=["at once", "out of order"]
)
def test_tasks_that_overlap_or_overtake_are_counted(second: Ran) -> None:
    """One violation is found for two at once, and for a later one that came first."""
    assert violations(["a", "b"], [_ran("a", 0, 1), second]) == 1


@pytest.mark.parametrize("runs", [[], [_ran("a", 0, 1), _ran("a", 2, 3)]], ids=["none", "two"])
def test_a_task_runs_once(runs: list[Ran]) -> None:
    """A task that did not run, or ran twice, makes the measurement worthless."""
    with pytest.raises(RuntimeError, match="did not run, or ran twice"):
        violations(["a"], runs)
