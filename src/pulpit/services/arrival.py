"""A file while it arrives: written and verified once, read by all who wait for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from io import FileIO
from pathlib import Path
from typing import Any

from pulpit.domain.units import MAX_FILE, UnitFile
from pulpit.errors import DownloadFailed, PulpitError

__all__ = ["Arrival", "Signal"]

_PIECE = 256 << 10


class Signal:
    """Wakes all who wait for a change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next change."""
        await self._event.wait()


class Arrival:
    """One attempt to get a file; any number of readers follow it.

    Until the file is verified, what is read is at least one byte short of the whole.

    Args:
        path: where it is written; not there yet.
        expected: size and checksum that it must have, as far as they are known.
    """

    def __init__(self, path: Path, expected: UnitFile) -> None:
        self.path = path
        self._expected = expected
        self._received = 0
        self._readable = 0
        self._is_complete = False
        self._failure: PulpitError | None = None
        self._changed = Signal()

    @property
    def size(self) -> int:
        """Bytes that it must have; where they are not known, those that came."""
        return self._received if self._expected.size is None else self._expected.size

    async def begin(self) -> None:
        """Wait until there is something to read.

        Raises:
            DownloadFailed: there will be nothing.
        """
        while not self._failure and not self._readable and not self._is_complete:
            await self._changed.wait()
        if self._failure:
            raise self._failure

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the content as it comes.

        Raises:
            DownloadFailed: it is not what it should be; what was yielded is worthless.
        """
        await self.begin()
        sent = 0
        with await self._open() as file:
            while sent < self.size:
                if self._failure:
                    raise self._failure
                if sent == self._readable:
                    await self._changed.wait()
                    continue
                piece = file.read(min(self._readable - sent, _PIECE))
                sent += len(piece)
                yield piece

    async def _open(self) -> FileIO:
        """Open the file for a reader."""
        try:
            return self.path.open("rb", buffering=0)
        except FileNotFoundError:
            # it is on its way to its place, or gone
            while not self._is_complete:
                if self._failure:
                    raise self._failure from None
                await self._changed.wait()
            return self.path.open("rb", buffering=0)

    async def receive(self, url: str, pieces: AsyncGenerator[bytes, None]) -> str:
        """Write the pieces down, verify the whole, and return its SHA-256.

        Raises:
            DownloadFailed: it has another size or checksum, or can't be had.
        """
        kind = self._expected.checksum_type or "sha256"
        checksum = _hasher(url, kind)
        digest = checksum if kind == "sha256" else hashlib.sha256()
        with self.path.open("xb", buffering=0) as file:
            async for piece in pieces:
                checksum.update(piece)
                if digest is not checksum:
                    digest.update(piece)
                self._take(url, file, piece)
        self._verify(url, checksum.hexdigest())
        return str(digest.hexdigest())

    def _take(self, url: str, file: FileIO, piece: bytes) -> None:
        """Write a piece and let readers have what may be had."""
        self._received += len(piece)
        most = MAX_FILE if self._expected.size is None else self._expected.size
        if self._received > most:
            reason = f"it has more than the {most} bytes that it should have"
            raise DownloadFailed(url, reason, error_code="size_mismatch")
        view = memoryview(piece)
        while view:
            view = view[file.write(view) :]
        self._readable = max(0, min(self._received, self.size - 1))
        self._changed.tell()

    def _verify(self, url: str, checksum: str) -> None:
        """Compare with what it must be."""
        expected = self._expected
        if self._received != self.size:
            reason = f"it has {self._received} bytes and not {self.size}"
            raise DownloadFailed(url, reason, error_code="size_mismatch")
        if expected.checksum and checksum != expected.checksum:
            reason = f"its {expected.checksum_type} checksum is {checksum}"
            raise DownloadFailed(url, reason, error_code="checksum_mismatch")

    def complete(self, path: Path) -> None:
        """Let readers have the rest, now that the file is verified and kept at *path*."""
        self.path = path
        self._is_complete = True
        self._readable = self.size
        self._changed.tell()

    def fail(self, error: PulpitError) -> None:
        """End the readers and remove what came."""
        self._failure = error
        self.path.unlink(missing_ok=True)
        self._changed.tell()


def _hasher(url: str, checksum_type: str) -> Any:
    """Return a new hash object, or say that there is none."""
    try:
        return hashlib.new(checksum_type, usedforsecurity=False)
    except ValueError as error:
        reason = f"the checksum type {checksum_type} is not known"
        raise DownloadFailed(url, reason, error_code="checksum_type_unknown") from error
