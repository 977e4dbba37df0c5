"""Writing primary, filelists and other: three files at once, a few packages at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice

import zstandard

from pulpit.content.rpm.layout import relocated
from pulpit.content.rpm.repodata import MetadataFile, Repodata
from pulpit.domain.units import Unit

__all__ = ["write_packages"]

_NAMESPACES = "http://linux.duke.edu/metadata"
#: Type in repomd.xml, root element and its attributes, in the order of a package's chunks.
_FILES = (
    ("primary", "metadata", f'xmlns="{_NAMESPACES}/common" xmlns:rpm="{_NAMESPACES}/rpm"'),
    ("filelists", "filelists", f'xmlns="{_NAMESPACES}/filelists"'),
    ("other", "otherdata", f'xmlns="{_NAMESPACES}/other"'),
)
#: Packages that are handed on at once.
_BATCH = 200
#: Batches that may wait for a thread; the database is faster than compression.
_AHEAD = 2

_Batch = Sequence[tuple[Unit, str]]


def write_packages(
    repodata: Repodata,
    packages: Iterable[tuple[Unit, str]],
    *,
    count: int,
    written: Callable[[_Batch], None],
) -> None:
    """Write the three files that list packages.

    Args:
        repodata: the folder that they go to.
        packages: each package with its path.
        count: how many there are; the files say so before they list them.
        written: called with each batch that has been handed on, in the caller's thread.
    """
    total = 0
    with ExitStack() as stack:
        lanes = [stack.enter_context(_lane(repodata, index, count)) for index in range(len(_FILES))]
        iterator = iter(packages)
        while batch := list(islice(iterator, _BATCH)):
            for lane in lanes:
                lane.put(batch)
            total += len(batch)
            written(batch)
        if total != count:
            raise RuntimeError(f"the repository has {total} packages where {count} were counted")


class _Lane:
    """One of the files; its thread compresses and hashes, which frees the interpreter."""

    def __init__(self, file: MetadataFile, index: int, executor: Executor) -> None:
        self._file = file
        self._index = index
        self._executor = executor
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._waiting: deque[Future[None]] = deque()

    def put(self, batch: _Batch) -> None:
        """Hand a batch to the thread; wait for it when it is far behind."""
        while len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._executor.submit(self._write, batch))

    def drain(self) -> None:
        """Wait until everything is written."""
        while self._waiting:
            self._waiting.popleft().result()

    def _write(self, batch: _Batch) -> None:
        """Write the packages' elements."""
        index, decompress = self._index, self._decompress
        if index == 0:
            self._file.write_all(
                relocated(decompress(unit.chunks[0]), path) for unit, path in batch
            )
        else:
            self._file.write_all(decompress(unit.chunks[index]) for unit, _ in batch)


@contextmanager
def _lane(repodata: Repodata, index: int, count: int) -> Iterator[_Lane]:
    """Write one of the files in a thread of its own."""
    kind, root, attributes = _FILES[index]
    with repodata.document(kind, f"{kind}.xml") as file:
        head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {attributes} packages="{count}">\n'
        file.write(head.encode())
        with ThreadPoolExecutor(max_workers=1) as executor:
            lane = _Lane(file, index, executor)
            yield lane
            lane.drain()
        file.write(f"</{root}>\n".encode())
