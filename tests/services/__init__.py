"""Real services that tests and benchmarks start for themselves, each below a folder of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import pytest

from tests.services.ports import free_ports

__all__ = ["PATIENCE", "free_ports", "missing", "until"]

#: Seconds in which a machine with two busy processors gets anything done.
PATIENCE = 60.0

_Found = TypeVar("_Found")


def missing(what: str) -> NoReturn:
    """Skip the test that needs *what*, or fail it where CI is set and everything is there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def until(
    condition: Callable[[], _Found | None],
    what: str = "the condition holds",
    *,
    seconds: float = PATIENCE,
) -> _Found:
    """Look again and again, and return what the condition gives once it is true.

    Raises:
        AssertionError: it is not after so many seconds; the message says *what* did not come.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it never came to this: {what}"
        time.sleep(0.01)
    return found
