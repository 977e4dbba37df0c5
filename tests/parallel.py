"""How tests are shared out among the processes of ``pytest -n``: by file, the longest first."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

__all__ = ["Scheduling", "longest_first"]

#: Folders by how long their files take, so that no process is left with a long one in the end.
_FOLDERS = ("faults", "acceptance", "integration", "contract", "unit")
_TESTS = Path(__file__).parent


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """Gives a file as a whole to one process, for the servers that its tests share."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "cluster" if _needs_cluster(file) else file


def longest_first(item: pytest.Item) -> tuple[bool, int]:
    """Return the place of a test among those that are shared out; in it, order is kept."""
    file = item.nodeid.partition("::")[0]
    folder = file.split("/")[1]
    return not _needs_cluster(file), _FOLDERS.index(folder) if folder in _FOLDERS else 0


@functools.cache
def _needs_cluster(file: str) -> bool:
    """Return whether tests of the file need a cluster of brokers, which one process starts."""
    text = _TESTS.parent.joinpath(file).read_text()
    return "rabbitmq_cluster" in text or "cluster_session" in text
