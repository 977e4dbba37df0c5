"""The file store in a folder: every file once, named by its content."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

__all__ = ["FolderFileStore"]

#: Threads that wait for the disk; it writes many files at once faster than one after another.
_SYNCERS = 8


class FolderFileStore:
    """Implements ``pulpit.ports.FileStore`` in a data folder.

    ``content/ab/cdef…`` holds the file of SHA-256 ``abcdef…``, ``tmp`` what is being written and
    ``publications/<name>`` the generated files of publications.

    Args:
        data: the data folder; what is missing in it is made.
        owner: begins the names of the temporary files, so that they can be told apart.
    """

    def __init__(self, data: Path, *, owner: str = "server") -> None:
        self._owner = owner
        self._content = data / "content"
        self._temporary = data / "tmp"
        self._publications = data / "publications"
        for folder in (self._content, self._temporary, self._publications):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        return self._content / digest[:2] / digest[2:]

    def temporary(self) -> Path:
        return self._temporary / f"{self._owner}.{secrets.token_hex(16)}"

    def keep(self, temporary: Path, digest: str) -> Path:
        target = self.path(digest)
        _sync(temporary)
        self._place({digest: temporary})
        _sync(target.parent)
        return target

    def keep_many(self, temporaries: Mapping[str, Path]) -> None:
        _each(_sync, temporaries.values())
        self._place(temporaries)
        _each(_sync, {self.path(digest).parent for digest in temporaries})

    def _place(self, temporaries: Mapping[str, Path]) -> None:
        """Move durable files to their places; of equal files the new one stays."""
        fresh = False
        for digest, temporary in temporaries.items():
            target = self.path(digest)
            try:
                temporary.replace(target)
            except FileNotFoundError:
                target.parent.mkdir(exist_ok=True)
                fresh = True
                temporary.replace(target)
        if fresh:
            _sync(self._content)

    def remove(self, digests: Collection[str], *, before: datetime | None = None) -> int:
        removed = 0
        for digest in digests:
            path = self.path(digest)
            with contextlib.suppress(FileNotFoundError):
                if _is_older(path, before):
                    path.unlink()
                    removed += 1
        return removed

    def kept(self, *, before: datetime) -> Iterator[str]:
        for folder in self._content.iterdir():
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if _is_older(path, before):
                        yield f"{folder.name}{path.name}"

    def remove_temporary(self, *, before: datetime | None = None) -> int:
        removed = 0
        for path in self._temporary.iterdir():
            # whoever wrote it may be moving it to its place right now
            with contextlib.suppress(FileNotFoundError):
                if _is_older(path, before):
                    path.unlink()
                    removed += 1
        return removed

    def remove_temporary_of(self, owner: str) -> None:
        """Delete what an owner that is gone has left."""
        for path in self._temporary.glob(f"{owner}.*"):
            path.unlink(missing_ok=True)

    def publication_folder(self, name: str) -> Path:
        return self._publications / name

    def keep_publication(self, name: str) -> None:
        folder = self._publications / name
        _each(_sync, [folder, *folder.rglob("*")])
        _sync(self._publications)

    def publication_folders(self) -> Collection[str]:
        return {path.name for path in self._publications.iterdir()}

    def remove_publication(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._publications / name)


def _is_older(path: Path, moment: datetime | None) -> bool:
    """Tell whether a file was last written before the time (None: it was)."""
    return moment is None or path.stat().st_mtime < moment.timestamp()


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _each(act: Callable[[Path], None], paths: Iterable[Path]) -> None:
    """Do it to every path, several at a time."""
    with ThreadPoolExecutor(_SYNCERS) as pool:
        for _ in pool.map(act, paths):
            pass
