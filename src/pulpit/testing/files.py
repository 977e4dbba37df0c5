"""A file store that makes nothing durable."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

__all__ = ["MemoryFileStore"]


class MemoryFileStore:
    """Implements ``pulpit.ports.FileStore`` in a temporary folder, which goes with ``close``.

    Who asks for a path wants to open it, so there is a folder even here; nothing is synced.
    """

    def __init__(self) -> None:
        # not TemporaryDirectory, which warns when a test forgets to close
        self._root = Path(tempfile.mkdtemp(prefix="pulpit-"))
        self._kept, self._new, self._published, self._uploads = (
            self._root / name for name in ("kept", "new", "published", "uploads")
        )
        for folder in (self._kept, self._new, self._published, self._uploads):
            folder.mkdir()

    def path(self, digest: str) -> Path:
        return self._kept / digest

    def temporary(self) -> Path:
        return self._new / uuid4().hex

    def keep(self, temporary: Path, digest: str) -> Path:
        return temporary.replace(self.path(digest))

    def keep_many(self, temporaries: Mapping[str, Path]) -> None:
        for digest, temporary in temporaries.items():
            self.keep(temporary, digest)

    def remove(self, digests: Collection[str], *, before: datetime | None = None) -> int:
        there = {self.path(digest) for digest in digests}
        old = [path for path in _old(self._kept, before) if path in there]
        for path in old:
            path.unlink()
        return len(old)

    def set_aside(
        self, digests: Collection[str], *, before: datetime | None = None
    ) -> Sequence[Path]:
        there = {self.path(digest) for digest in digests}
        old = [path for path in _old(self._kept, before) if path in there]
        return [path.rename(self.temporary()) for path in old]

    def discard(self, paths: Collection[Path]) -> None:
        for path in paths:
            path.unlink()

    def kept(self, *, before: datetime) -> Iterator[str]:
        yield from (path.name for path in _old(self._kept, before))

    def remove_temporary(self, *, before: datetime | None = None) -> int:
        old = _old(self._new, before)
        for path in old:
            path.unlink()
        return len(old)

    def upload(self, upload_id: str) -> Path:
        return self._uploads / upload_id

    def begin_upload(self, upload_id: str) -> None:
        self.upload(upload_id).touch(exist_ok=False)

    def uploads(self, *, before: datetime) -> Collection[str]:
        return {path.name for path in _old(self._uploads, before)}

    def remove_upload(self, upload_id: str) -> None:
        self.upload(upload_id).unlink(missing_ok=True)

    def publication_folder(self, name: str) -> Path:
        return self._published / name

    def keep_publication(self, name: str) -> None:
        """Do nothing: what is here need not outlive the test."""

    def publication_folders(self) -> Collection[str]:
        return {path.name for path in self._published.iterdir()}

    def remove_publication(self, name: str) -> None:
        shutil.rmtree(self._published / name, ignore_errors=True)

    def close(self) -> None:
        """Delete all files."""
        shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _old(folder: Path, before: datetime | None) -> list[Path]:
    """Return the files of a folder that were last written before the time (None: all)."""
    return [
        path
        for path in folder.iterdir()
        if before is None or path.stat().st_mtime < before.timestamp()
    ]
