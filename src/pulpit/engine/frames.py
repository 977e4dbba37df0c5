"""What a task's process and its supervisor say to each other: length, then MessagePack."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from pulpit.domain.outcomes import Failed, Finished, Progress

__all__ = ["FrameReader", "Told", "frame"]

#: What a child tells; that it is lost is for its supervisor to see.
Told = Progress | Finished | Failed

_LENGTH = struct.Struct(">I")
_TAGS: dict[str, type[Progress | Finished | Failed]] = {
    "progress": Progress,
    "finished": Finished,
    "failed": Failed,
}
_NAMES = {kind: name for name, kind in _TAGS.items()}


def frame(news: Told) -> bytes:
    """Return the news as bytes for the pipe."""
    payload = msgspec.msgpack.encode((_NAMES[type(news)], news))
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Puts together what comes in pieces; never blocks on a half one."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Told]:
        """Yield the news that are whole now.

        Raises:
            msgspec.DecodeError: a frame is not what a child of ours sends.
        """
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            yield _told(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]


def _told(payload: bytes) -> Told:
    """Return the news of one frame."""
    name, content = msgspec.msgpack.decode(payload, type=tuple[str, msgspec.Raw])
    return msgspec.msgpack.decode(content, type=_TAGS[name])
