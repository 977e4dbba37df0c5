"""One copy between two repositories, or what libsolv alone takes for it; prints what it took.

Started as ``python -m bench._copy_run copy DATABASE OVERRIDE COUNT`` (the override in JSON), or
``… solver PRIMARY COUNT``: a process of its own, whose memory is nobody else's.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import solv

import pulpit.content.rpm.copy  # noqa: F401 - as in the server, it is there before
from pulpit.content.rpm.importer import YumImporter
from pulpit.domain.associations import parse_unit_criteria
from pulpit.domain.clock import utc_now
from pulpit.domain.copies import CopyOrder, Route
from pulpit.ports import Transaction
from pulpit.storage.sqlite import SqliteStorage

SOURCE, DESTINATION = "source", "destination"


class _Context:
    """As much of a task's context as a copy uses."""

    def __init__(self, database: Path) -> None:
        self.storage = SqliteStorage(database)

    def clock(self) -> datetime:
        return utc_now()

    def write(self) -> AbstractContextManager[Transaction]:
        return self.storage.write_beside()


def _copy(database: Path, override: dict[str, Any], count: int) -> int:
    """Copy so many packages; return how many were copied with what they need."""
    context: Any = _Context(database)
    criteria = {"type_ids": ["rpm"], "sort": [["checksum", "ascending"]], "limit": count}
    order = CopyOrder(
        route=Route(source=SOURCE, destination=DESTINATION),
        criteria=parse_unit_criteria(criteria),
        override=override,
    )
    with context.storage.read() as transaction:
        [importer] = transaction.repositories.importers([DESTINATION])
    result = YumImporter().copy(context, importer=importer, order=order)
    return len(result["units_successful"])


def _solve(primary: Path, count: int) -> int:
    """Read primary and solve the first packages; return how many are installed."""
    pool = solv.Pool()
    pool.setarch("x86_64")
    repo = pool.add_repo("repo")
    opened = solv.xfopen(str(primary))
    repo.add_rpmmd(opened, None)
    opened.close()
    pool.addfileprovides()
    pool.createwhatprovides()
    how = solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE | solv.Job.SOLVER_WEAK
    solvables = [*repo.solvables_iter()]
    step = max(1, len(solvables) // count)
    solver = pool.Solver()
    solver.solve([pool.Job(how, solvable.id) for solvable in solvables[::step][:count]])
    return len(solver.transaction().newsolvables())


def _main(kind: str, path: str, *rest: str) -> None:
    """Do it, and print one JSON object."""
    before = time.perf_counter()
    if kind == "copy":
        units = _copy(Path(path), json.loads(rest[0]), int(rest[1]))
    else:
        units = _solve(Path(path), int(rest[0]))
    seconds = time.perf_counter() - before
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_mb(), "units": units}))


def _peak_mb() -> float:
    """Return the most memory that this program had; getrusage would count who started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [each for each in status.splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    _main(*sys.argv[1:])
