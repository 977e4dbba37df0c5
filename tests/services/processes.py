"""Processes of a running server, as the kernel lists them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["children", "family"]


def children(pid: int) -> list[int]:
    """Return the processes that run tasks for the server: its fork server's children."""
    parents = _parents()
    direct = {child for child, parent in parents.items() if parent == pid}
    return [child for child, parent in parents.items() if parent in direct]


def family(pid: int) -> list[int]:
    """Return all processes that come from this one, by however many others."""
    parents = _parents()
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _parents() -> dict[int, int]:
    """Return each process and its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(entry.parent.name)] = int(fields[1])
    return found
