"""The processor time of processes and all that descend from them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from bench._memory import tree

__all__ = ["processor_seconds"]

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pids: Iterable[int]) -> float:
    """Return what the processes have taken so far, those of their children that ended included."""
    return sum(_of_one(pid) for first in pids for pid in tree(first)) / _TICKS


def _of_one(pid: int) -> int:
    """Return the ticks of one process and of its children that it has seen end."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15]))
