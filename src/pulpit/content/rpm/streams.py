"""Reading metadata files: decompressed within limits, and checked against what repomd.xml says."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import zstandard

from pulpit.content.checksums import Digest, hasher
from pulpit.errors import Unparsable

__all__ = ["read_document", "read_stream"]

_READ = 64 << 10
_PIECE = 256 << 10
#: Few bytes at a time: one block of zstd may grow 30,000 times, and its size can't be capped.
_ZSTD_READ = 256
#: A window beyond this is refused; ``zstd --long`` makes 128 MiB.
_ZSTD_WINDOW = 128 << 20
_XZ_MEMORY = 256 << 20
#: So much may come of every compressed byte once the first megabytes are out.
_MAX_RATIO = 1000
_RATIO_FREE = 64 << 20


class _Decoder(Protocol):
    """What the decompressors have in common."""

    def pieces(self, data: bytes) -> Iterator[bytes]: ...
    @property
    def complete(self) -> bool: ...


class _Plain:
    """No compression."""

    complete = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Gzip:
    """Members of gzip, one after another."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self.complete = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                data = data.lstrip(b"\0")  # padding may follow a member
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=31)
            piece = self._member.decompress(data, _PIECE)
            self.complete = self._member.eof
            data = self._member.unused_data if self.complete else self._member.unconsumed_tail
            yield piece


class _Blocks:
    """Streams of xz or bzip2, whose decompressors work alike."""

    def __init__(self, fresh: Callable[[], Any]) -> None:
        self._fresh = fresh
        self._stream = fresh()
        self.complete = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._stream.needs_input or self._stream.eof):
            if self._stream.eof:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._stream = self._fresh()
            piece = self._stream.decompress(data, _PIECE)
            self.complete = self._stream.eof
            data = self._stream.unused_data if self.complete else b""
            yield piece


class _Zstd:
    """Frames of zstd, one after another."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._context.decompressobj()
        self.complete = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            head, data = data[:_ZSTD_READ], data[_ZSTD_READ:]
            while head:
                if self._frame.eof:
                    self._frame = self._context.decompressobj()
                yield self._frame.decompress(head)
                self.complete = self._frame.eof
                head = self._frame.unused_data if self.complete else b""


def _decoder(head: bytes) -> _Decoder:
    """Choose by the first bytes; names and types lie more often."""
    if head.startswith(b"\x1f\x8b"):
        return _Gzip()
    if head.startswith(b"\xfd7zXZ\0"):
        return _Blocks(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))
    if head.startswith(b"BZh"):
        return _Blocks(bz2.BZ2Decompressor)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _Zstd()
    return _Plain()


def read_stream(
    path: Path, *, url: str, limit: int, expected: Digest | None = None, start: int = 0
) -> Iterator[bytes]:
    """Yield the file's content, decompressed, in pieces.

    Args:
        path: the file; gzip, xz, bzip2, zstd or plain, told by its first bytes.
        url: where it came from, for messages.
        limit: bytes of content beyond which it is refused.
        expected: checksum of the content, checked at the end.
        start: bytes of the file that are passed over.

    Raises:
        Unparsable: it is damaged, cut off, too large, or not what *expected* says.
    """
    digest = hasher(expected[0]) if expected else None
    read = written = 0
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(_READ)
        decoder = _decoder(data)
        while data:
            read += len(data)
            for piece in _guarded(decoder, data, url):
                written += len(piece)
                if written > limit or written > _RATIO_FREE + read * _MAX_RATIO:
                    raise Unparsable(f"{url} grows beyond {limit} bytes or any sane ratio", url=url)
                if digest:
                    digest.update(piece)
                if piece:
                    yield piece
            data = file.read(_READ)
    if read and not decoder.complete:
        raise Unparsable(f"{url} is cut off", url=url)
    if digest and expected and digest.hexdigest() != expected[1]:
        raise Unparsable(f"{url} does not have its open-checksum", url=url)


def _guarded(decoder: _Decoder, data: bytes, url: str) -> Iterator[bytes]:
    """Decompress, and say it in one way if that fails."""
    try:
        yield from decoder.pieces(data)
    except (
        zlib.error,
        lzma.LZMAError,
        OSError,
        EOFError,
        ValueError,
        zstandard.ZstdError,
    ) as error:
        raise Unparsable(f"{url} can't be decompressed: {error}", url=url) from error


def read_document(path: Path, *, url: str, limit: int, expected: Digest | None = None) -> bytes:
    """Return the whole content of a file that is parsed at once; errors as read_stream."""
    return b"".join(read_stream(path, url=url, limit=limit, expected=expected))
