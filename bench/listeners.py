"""Deliveries to many listeners by http, and bare posts of aiohttp's beside them.

    python -m bench.listeners [--quick] [--json]

The events are in the journal when the clock starts: dispatch, reading, signing, posting and writing
what came of it are all part of the time. Each event is wanted by a part of the listeners, of the
repositories that it is about. The receiver has a process of its own and does as little as it can.
In turns with that, the same bodies are posted to the same receiver by aiohttp alone, as many at a
time, from memory; a ratio is that of medians.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._report import Aim, Measured, run

__all__ = ["main", "measure"]

#: As ``[listeners] concurrency`` is by default.
_CONCURRENCY = 64


@dataclass(frozen=True, kw_only=True)
class _Size:
    """How much is done."""

    turns: int
    listeners: int
    events: int
    #: Listeners that want an event.
    each: int

    @property
    def deliveries(self) -> int:
        """How many deliveries there are in a turn."""
        return self.events * self.each


_FULL = _Size(turns=3, listeners=200, events=10_000, each=20)
_QUICK = _Size(turns=2, listeners=50, events=400, each=10)

_AIMS = {
    "vs_aiohttp": Aim(least=0.5, text="deliveries a second against bare posts of the same bodies"),
    "cpu_vs_aiohttp": Aim(text="processor time of a delivery against that of a bare post"),
    "memory_end_vs_middle": Aim(most=1.1, text="memory in the second half against the first one"),
}


@contextmanager
def _receiver() -> Iterator[int]:
    """Run the receiver while the block runs; give its port."""
    command = [sys.executable, "-m", "bench._webhook_receiver"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _sent(*arguments: object) -> dict[str, float]:
    """Run a sender and return what it has measured."""
    command = [sys.executable, "-m", "bench._webhook_senders", *map(str, arguments)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    values: dict[str, float] = json.loads(told.stdout)
    return values


def measure(quick: bool) -> Measured:  # noqa: FBT001 - as the command line has it
    """Deliver, post, and return what that took."""
    size = _QUICK if quick else _FULL
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    with _receiver() as port:
        for _ in range(size.turns):
            with TemporaryDirectory() as name:
                folder = Path(name)
                counts = size.listeners, size.events, size.each, _CONCURRENCY
                ours.append(_sent("pulpit", folder, port, *counts))
                bare.append(_sent("aiohttp", folder, port, size.deliveries, _CONCURRENCY))

    def median(values: list[dict[str, float]], key: str) -> float:
        return statistics.median(value[key] for value in values)

    count = size.deliveries
    start, middle, end = (median(ours, key) for key in ("start", "middle", "end"))
    return Measured(
        ratios={
            "vs_aiohttp": median(bare, "seconds") / median(ours, "seconds"),
            "cpu_vs_aiohttp": median(ours, "cpu") / median(bare, "cpu"),
            "memory_end_vs_middle": end / middle,
        },
        figures={
            "deliveries": count,
            "deliveries_a_second": count / median(ours, "seconds"),
            "posts_of_aiohttp_a_second": count / median(bare, "seconds"),
            "cpu_of_a_delivery_us": median(ours, "cpu") / count * 1e6,
            "cpu_of_a_post_us": median(bare, "cpu") / count * 1e6,
            "memory_at_start_mib": start,
            "memory_first_half_mib": middle,
            "memory_second_half_mib": end,
        },
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the outcome."""
    run("listeners", "Deliveries by http, and bare posts of aiohttp's", measure, _AIMS, arguments)


if __name__ == "__main__":
    main()
