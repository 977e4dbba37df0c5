"""Running a command of `pulpit` in this process, in a world of its own."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pulpit.cli.program import main
from pulpit.cli.session import Outside
from tests.unit.fake_api import FakeApi

__all__ = ["Cli", "Run", "runner"]


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Run]


def runner(api: FakeApi, home: Path) -> Cli:
    """Return a function that runs a command against the scripted server."""

    def run(*arguments: str, stdin: str = "", **environ: str) -> Run:
        known = {
            "HOME": str(home),
            "PULPIT_URL": "http://server:1",
            "PULPIT_USER": "admin",
            "PULPIT_PASSWORD": "secret",
        }
        out, err = io.StringIO(), io.StringIO()
        merged = {key: value for key, value in (known | environ).items() if value}
        outside = Outside(
            environ=merged,
            stdin=io.StringIO(stdin),
            stdout=out,
            stderr=err,
            transport=api.transport,
            now=lambda: datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC),
        )
        code = main(arguments, outside=outside)
        return Run(code, out.getvalue(), err.getvalue())

    return run
