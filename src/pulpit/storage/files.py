"""The file store in a folder, which may be one of NFS: every file once, named by its content."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

__all__ = ["FolderFileStore"]

#: Threads that wait for the disk; it writes many files at once faster than one after another.
_SYNCERS = 8
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: What NFS says where another machine was faster, or still reads what it lets go later.
_BUSY = {errno.ENOENT, errno.ESTALE, errno.EBUSY, errno.ENOTEMPTY}


class FolderFileStore:
    """Implements ``pulpit.ports.FileStore`` in a data folder.

    ``content/ab/cdef…`` holds the file of SHA-256 ``abcdef…``, ``tmp`` what is being written,
    ``uploads/<id>`` what clients send and ``publications/<name>`` the generated files of
    publications. Processes on many machines may
    share it: a file gets its name once it is whole and durable, and keeps it; nothing is locked.

    Args:
        data: the data folder; what is missing in it is made.
        owner: begins the names of the temporary files, so that those of a process that is gone can
            be told from others'.
    """

    def __init__(self, data: Path, *, owner: str = "server") -> None:
        self._owner = owner
        self._content = data / "content"
        self._temporary = data / "tmp"
        self._publications = data / "publications"
        self._uploads = data / "uploads"
        for folder in (self._content, self._temporary, self._publications, self._uploads):
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
        """Move durable files to their places; of equal files the old one stays, as if new."""
        fresh = False
        for digest, temporary in temporaries.items():
            target = self.path(digest)
            if _is_there(target, temporary):
                _unlink(temporary)
                continue
            if not target.parent.exists():
                target.parent.mkdir(exist_ok=True)
                fresh = True
            try:
                temporary.replace(target)
            except FileNotFoundError:
                # NFS may do it twice, when the answer to the first time is lost
                if not target.exists():
                    raise
        if fresh:
            _sync(self._content)

    def remove(self, digests: Collection[str], *, before: datetime | None = None) -> int:
        removed = 0
        for digest in digests:
            path = self.path(digest)
            with _others_at_it():
                if _is_older(path, before):
                    path.unlink()
                    removed += 1
        return removed

    def set_aside(
        self, digests: Collection[str], *, before: datetime | None = None
    ) -> Sequence[Path]:
        aside = []
        for digest in digests:
            path, target = self.path(digest), self.temporary()
            with _others_at_it():
                if _is_older(path, before):
                    path.rename(target)
                    aside.append(target)
        return aside

    def discard(self, paths: Collection[Path]) -> None:
        _each(_unlink, paths)

    def kept(self, *, before: datetime) -> Iterator[str]:
        for folder in self._content.iterdir():
            for path in folder.iterdir():
                digest = f"{folder.name}{path.name}"
                # NFS keeps under names of its own what is deleted and still read
                if _DIGEST.fullmatch(digest):
                    with _others_at_it():
                        if _is_older(path, before):
                            yield digest

    def remove_temporary(self, *, before: datetime | None = None) -> int:
        removed = 0
        for path in self._temporary.iterdir():
            # whoever wrote it may be moving it to its place right now
            with _others_at_it():
                if _is_older(path, before):
                    path.unlink()
                    removed += 1
        return removed

    def remove_temporary_of(self, owner: str) -> None:
        """Delete what an owner that is gone has left."""
        for path in self._temporary.glob(f"{owner}.*"):
            _unlink(path)

    def upload(self, upload_id: str) -> Path:
        return self._uploads / upload_id

    def begin_upload(self, upload_id: str) -> None:
        self.upload(upload_id).touch(mode=0o640, exist_ok=False)
        _sync(self._uploads)

    def uploads(self, *, before: datetime) -> Collection[str]:
        return _named_before(self._uploads, before)

    def remove_upload(self, upload_id: str) -> None:
        _unlink(self.upload(upload_id))

    def publication_folder(self, name: str) -> Path:
        return self._publications / name

    def keep_publication(self, name: str) -> None:
        folder = self._publications / name
        _each(_sync, [folder, *folder.rglob("*")])
        _sync(self._publications)

    def publication_folders(self) -> Collection[str]:
        return {path.name for path in self._publications.iterdir()}

    def remove_publication(self, name: str) -> None:
        # what is still read on another machine goes the next time
        with _others_at_it():
            shutil.rmtree(self._publications / name)


def _is_there(target: Path, fresh: Path) -> bool:
    """Tell whether an equal file is there, which from now on is as young as the fresh one.

    A machine that reads it over NFS would lose it if another one took its place.
    """
    try:
        if target.stat().st_size != fresh.stat().st_size:
            return False
        os.utime(target)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _others_at_it() -> Iterator[None]:
    """Go on where another process has deleted something, or still reads it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _BUSY:
            raise


def _unlink(path: Path) -> None:
    """Delete a file that may be gone."""
    with _others_at_it():
        path.unlink()


def _is_older(path: Path, moment: datetime | None) -> bool:
    """Tell whether a file was last written before the time (None: it was)."""
    return moment is None or path.stat().st_mtime < moment.timestamp()


def _named_before(folder: Path, moment: datetime) -> Collection[str]:
    """Return the names of files that were last written before the time."""
    names: set[str] = set()
    for path in folder.iterdir():
        with _others_at_it():
            if _is_older(path, moment):
                names.add(path.name)
    return names


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
