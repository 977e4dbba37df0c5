"""The event stream at 1,000 readers, some of which never read, and a bare fan-out beside it.

    python -m bench.stream [--quick] [--json]

20 events of about 1.5 KB a second, committed to a journal. The server has a process of its own and
so have its readers, which are bare sockets; they measure from just before an event's commit to its
arrival. Runs with 900 readers, with 100 more that are stuck, and of a server that writes the same
frames to 900 plain TCP connections are done in turns; a ratio is that of medians.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from bench._report import Aim, Measured, run

__all__ = ["main", "measure"]

_READERS, _STUCK, _RATE = 900, 100, 20
#: Turns, and events of each run.
_TURNS, _COUNT = 5, 200
_QUICK_TURNS, _QUICK_COUNT = 2, 60
#: Seconds, and the share of a processor that a server which only waits takes meanwhile.
_REST, _RESTING = 0.5, 0.1

_AIMS = {
    "stream_p99_vs_without_stuck": Aim(most=1.5, text="p99 with 100 readers that never read"),
    "p99_vs_bare": Aim(text="p99 against the bare TCP fan-out"),
    "cpu_vs_bare": Aim(text="processor time of the server against the bare one"),
    "stuck_reader_kib": Aim(text="memory of the server for each reader that never reads"),
}


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one run measured."""

    #: Milliseconds from commit to arrival.
    p50: float
    p99: float
    #: Of the server: seconds of processor time while the events came, and MiB at the end.
    cpu: float
    memory: float


class _Process:
    """A process that answers orders; made by ``_started``."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin, self._stdout = stdin, stdout

    def line(self) -> str:
        """Return what it says next."""
        line = self._stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended: see its errors above")
        return line.strip()

    def ask(self, order: str) -> str:
        """Give an order and return the answer."""
        self._stdin.write(f"{order}\n")
        self._stdin.flush()
        return self.line()

    def figures(self) -> tuple[float, float]:
        """Return a server's memory in MiB, and its processor time in seconds."""
        memory, cpu = self.ask("figures").split()
        return int(memory) / 1_024, float(cpu)


@contextmanager
def _started(module: str, *arguments: object) -> Iterator[_Process]:
    """Run a module of the benchmark; it ends when its input does."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _Process(process.stdin, process.stdout)
        finally:
            process.stdin.close()


def _run(server: _Process, port: int, stuck: int, count: int) -> _Outcome:
    """Attach readers, let events come, and return what was measured."""
    with _started("bench._stream_readers", port, _READERS, stuck, count) as readers:
        if readers.line() != "ready":
            raise RuntimeError("the readers say something else than ready")
        before = _settled(server)
        server.ask(f"write {count} {_RATE}")
        told = json.loads(readers.line())
        memory, after = server.figures()
        return _Outcome(p50=told["p50"], p99=told["p99"], cpu=after - before, memory=memory)


def _settled(server: _Process) -> float:
    """Wait until a server has nothing to do but wait; return its processor time."""
    _, before = server.figures()
    while True:
        time.sleep(_REST)
        _, after = server.figures()
        if after - before < _REST * _RESTING:
            return after
        before = after


def measure(quick: bool) -> Measured:  # noqa: FBT001 - the one choice there is
    """Return the ratios and figures; *quick* takes fewer events."""
    _raise_file_limit()
    turns, count = (_QUICK_TURNS, _QUICK_COUNT) if quick else (_TURNS, _COUNT)
    outcomes: dict[str, list[_Outcome]] = defaultdict(list)
    with TemporaryDirectory(prefix="bench-stream-") as folder, _servers(Path(folder)) as servers:
        pulpit, bare = servers
        ports = [int(server.line()) for server in servers]
        idle, _ = pulpit.figures()
        for _ in range(turns):
            outcomes["alone"].append(_run(pulpit, ports[0], 0, count))
            outcomes["stuck"].append(_run(pulpit, ports[0], _STUCK, count))
            outcomes["bare"].append(_run(bare, ports[1], 0, count))
    return _measured(outcomes, idle, count)


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[_Process, _Process]]:
    """Run the server and the bare one."""
    with (
        _started("bench._stream_server", "pulpit", folder) as pulpit,
        _started("bench._stream_server", "bare", folder) as bare,
    ):
        yield pulpit, bare


def _measured(outcomes: dict[str, list[_Outcome]], idle: float, count: int) -> Measured:
    """Return the medians of what was measured."""

    def median(kind: str, name: str) -> float:
        return statistics.median(float(getattr(outcome, name)) for outcome in outcomes[kind])

    seconds = count / _RATE
    return Measured(
        ratios={
            "stream_p99_vs_without_stuck": median("stuck", "p99") / median("alone", "p99"),
            "p99_vs_bare": median("alone", "p99") / median("bare", "p99"),
            "cpu_vs_bare": median("alone", "cpu") / median("bare", "cpu"),
        },
        figures={
            **{
                f"{kind}_{name}_ms": median(kind, name)
                for kind in ("alone", "stuck", "bare")
                for name in ("p50", "p99")
            },
            **{
                f"{kind}_cpu_share": median(kind, "cpu") / seconds
                for kind in ("alone", "stuck", "bare")
            },
            "idle_mib": idle,
            "alone_mib": median("alone", "memory"),
            "stuck_mib": median("stuck", "memory"),
            "stuck_reader_kib": (median("stuck", "memory") - median("alone", "memory"))
            * 1_024
            / _STUCK,
        },
    )


def _raise_file_limit() -> None:
    """Let this process and those that it starts open as many files as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    title = f"The event stream: {_READERS} readers at {_RATE} events a second, {_STUCK} more stuck"
    run("stream", title, measure, _AIMS, arguments)


if __name__ == "__main__":
    main()
