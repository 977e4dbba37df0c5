"""Bodies of tasks for tests of the engine, importable in a child process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulpit.domain.tasks import Task
from pulpit.engine.child import Reporter
from pulpit.errors import NoFeed

__all__ = ["run_body"]


def run_body(task: Task, reporter: Reporter, _surroundings: Any) -> tuple[Any, Mapping[str, Any]]:
    """Run the body that the task's operation names."""
    return _BODIES[task.operation](task.arguments, reporter)


def _count(arguments: Mapping[str, Any], reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Tell progress so many times."""
    for number in range(1, arguments["times"] + 1):
        reporter.progress({"step": {"state": "IN_PROGRESS", "done": number}})
    reporter.newest = {"step": {"state": "FINISHED", "done": arguments["times"]}}
    return {"counted": arguments["times"]}, {"seen": True}


def _refuse(_arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Raise an error of Pulpit's own."""
    raise NoFeed


def _break(_arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Raise something that nobody expected."""
    msg = "unexpected"
    raise ZeroDivisionError(msg)


def _die(_arguments: Mapping[str, Any], reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """End the process from outside of Python."""
    reporter.progress({"step": {"state": "IN_PROGRESS"}})
    os.kill(os.getpid(), signal.SIGKILL)
    return None, {}


def _leave(_arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """End the process without a word."""
    os._exit(3)


def _eat(_arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Take more memory than is allowed."""
    hoard = [bytearray(64 << 20) for _ in range(1_000)]
    return len(hoard), {}


def _spin(arguments: Mapping[str, Any], reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Keep the processor busy for ever, having left a mark that it began."""
    reporter.progress({"step": {"state": "IN_PROGRESS"}}, boundary=True)
    if path := arguments.get("mark"):
        Path(path).write_text(str(os.getpid()))
    while True:
        pass


def _tick(arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Add to a file for ever."""
    with Path(arguments["file"]).open("ab", buffering=0) as ticks:
        while True:
            ticks.write(b".")
            time.sleep(0.001)


def _await_file(arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Run until a file is there; tell when it began and ended."""
    began = time.monotonic()
    if mark := arguments.get("mark"):
        Path(mark).touch()
    deadline = began + 60
    while not Path(arguments["file"]).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(arguments["file"])
        time.sleep(0.005)
    return {"began": began, "ended": time.monotonic()}, {}


def _note(arguments: Mapping[str, Any], _reporter: Reporter) -> tuple[Any, Mapping[str, Any]]:
    """Add a line to a file."""
    with Path(arguments["file"]).open("a") as lines:
        lines.write(f"{arguments['line']}\n")
    return None, {}


_BODIES = {
    "count": _count,
    "refuse": _refuse,
    "break": _break,
    "die": _die,
    "leave": _leave,
    "eat": _eat,
    "spin": _spin,
    "tick": _tick,
    "await_file": _await_file,
    "note": _note,
}
