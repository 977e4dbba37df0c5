"""The memory of a process and all that descend from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

__all__ = ["Memory", "resident", "shared_once", "tree"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEGABYTE = 1024 * 1024


class Memory:
    """The peak memory of a process and all that descend from it, while a block runs.

    Args:
        pid: the first process.
        measure: what is summed over the processes, in bytes: :func:`resident` costs nothing;
            :func:`shared_once` is exact but slows the measured processes down.
    """

    def __init__(self, pid: int, measure: Callable[[int], int] | None = None) -> None:
        self._pid = pid
        self._measure = measure or resident
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        #: Bytes at the highest point so far.
        self.peak = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    @property
    def peak_mb(self) -> float:
        """Return the peak in MiB."""
        return self.peak / _MEGABYTE

    def _sample(self) -> None:
        """Look every 20 ms."""
        while not self._stop.wait(0.02):
            self._look()

    def _look(self) -> None:
        """Keep the sum over all processes if it is the highest so far."""
        self.peak = max(self.peak, sum(map(self._measure, tree(self._pid))))


def resident(pid: int) -> int:
    """Return the bytes that are resident; what processes share counts in each of them."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def shared_once(pid: int) -> int:
    """Return the bytes that are resident, what n processes share counting an nth in each."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def tree(pid: int) -> list[int]:
    """Return *pid* and the numbers of all that descend from it."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, path.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
