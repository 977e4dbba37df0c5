"""The check of the lock file sees what is wrong with one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from scripts.check_lock import direct_problems, problems

_ROOT = Path(__file__).resolve().parents[2]
_LINES = (_ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()


def _asked() -> list[str]:
    """Return what the project asks for."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]


def test_a_requirement_that_is_not_locked_is_seen() -> None:
    """A new dependency in pyproject.toml asks for a new lock file."""
    assert "left-pad>=1 is not locked" in problems([*_asked(), "left-pad>=1"], _LINES)


def test_a_pin_that_does_not_satisfy_is_seen() -> None:
    """A raised minimum asks for a new lock file."""
    found = list(problems([*_asked(), "pamqp>=99"], _LINES))
    assert any(re.fullmatch(r"pamqp==\S+ is not pamqp>=99", problem) for problem in found)


def test_a_pin_that_nobody_asks_for_is_seen() -> None:
    """A dependency that went away leaves the lock file too."""
    asked = [text for text in _asked() if not text.startswith("trustme")]
    assert "trustme is locked and nothing asks for it" in problems(asked, _LINES)


def test_a_pin_twice_without_a_hash_or_with_a_url_is_seen() -> None:
    """Each line is a pin or a hash: no second pin, no registry's address."""
    pin = next(line for line in _LINES if line.startswith("pamqp=="))
    found = list(problems(_asked(), [*_LINES, pin, "--index-url https://example.com/simple"]))
    assert any(problem.startswith(f"line {len(_LINES) + 2} is neither") for problem in found)
    assert "pamqp is locked twice" in found
    assert "pamqp has no hash" in found


def test_pins_of_what_is_not_installed_are_checked_too() -> None:
    """The benchmark's peers are locked as they are asked for, though they live elsewhere."""
    lines = (_ROOT / "requirements-bench.lock").read_text(encoding="utf-8").splitlines()
    assert list(direct_problems(["celery>=5"], lines)) == []
    found = list(direct_problems(["celery>=99", "left-pad>=1"], [*lines, "celery @ file:///x"]))
    assert any(re.fullmatch(r"celery==\S+ is not celery>=99", problem) for problem in found)
    assert "left-pad>=1 is not locked" in found
    assert any("is neither a pin nor a hash" in problem for problem in found)
