"""Processes of a round: they are frozen and woken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.program import Program
from tests.services import until
from tests.services.processes import family


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Iterator[Program]:
    """Yield a program that runs until it is killed."""
    program = Program("server", ready="http://", folder=tmp_path)
    config = f"[server]\nport: 0\n[storage]\ndata: {tmp_path / 'data'}\n"
    program.launch(["serve", "--host", "127.0.0.1"], config)
    program.await_ready()
    yield program
    program.kill()


def _state(pid: int) -> str:
    """Return the letter that the kernel has for what the process does."""
    return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("whole", [False, True])
def test_frozen_and_woken(program: Program, *, whole: bool) -> None:
    """It stands still, alone or with all that come from it, until it is woken."""
    (forks, *_) = family(program.pid)
    program.freeze(whole=whole)
    frozen = {program.pid, forks} if whole else {program.pid}
    until(lambda: all(_state(pid) == "T" for pid in frozen))
    assert (_state(forks) == "T") is whole
    program.thaw()
    until(lambda: {_state(program.pid), _state(forks)}.isdisjoint("T"))
    assert program.stop() == 0


def test_frozen_one_is_killed(program: Program) -> None:
    """Nothing that it was frozen with stays."""
    pids = family(program.pid)
    program.freeze(whole=True)
    program.kill()
    until(lambda: not any(Path("/proc", str(pid)).exists() for pid in pids))
