"""One of several processes that write progress at a random, on average even rate.

Run by ``bench.scale``. The command line has a number, the URL, updates a second and seconds. It
says ``ready``, begins with a line on its input, and prints a JSON list of milliseconds from each
update to its commit.
"""

from __future__ import annotations

import json
import random
import sys
import time

from bench._unit_costs import Plane
from pulpit.storage.postgresql import PostgresStorage

__all__ = ["main"]

_GROUPING = 0.005
_TASKS = 200


def main() -> None:
    """Write for so many seconds, grouped as the supervisor does."""
    number, url, per_second, seconds = sys.argv[1:]
    arrivals = random.Random(int(number))
    with PostgresStorage(url) as storage:
        plane = Plane(storage, count=_TASKS, name=f"load-{number}")
        print("ready", flush=True)
        sys.stdin.readline()
        print(
            json.dumps(_latencies(plane, arrivals, float(per_second), float(seconds))), flush=True
        )


def _latencies(
    plane: Plane, arrivals: random.Random, per_second: float, seconds: float
) -> list[float]:
    """Return the milliseconds from each update to its commit."""
    found: list[float] = []
    began = written = time.monotonic()
    due = began + arrivals.expovariate(per_second)
    while due < began + seconds:
        time.sleep(max(max(due, written + _GROUPING) - time.monotonic(), 0))
        now = time.monotonic()
        told: list[float] = []
        while due <= now and len(told) < plane.count:
            told.append(due)
            due += arrivals.expovariate(per_second)
        plane.progress(len(told))
        written = time.monotonic()
        found += [(written - made) * 1000 for made in told]
    return found
