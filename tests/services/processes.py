"""Processes of a running server, as the kernel lists them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["children"]


def children(pid: int) -> list[int]:
    """Return the processes that run tasks for the server: its fork server's children."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(entry.parent.name), int(fields[1])))
    direct = {child for child, parent in found if parent == pid}
    return [child for child, parent in found if parent in direct]
