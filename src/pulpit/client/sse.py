"""Reading ``text/event-stream``, byte for byte as the HTML standard defines it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["Frame", "frames"]

#: A longer line, or more data in one event, is an attack or a mistake.
MAX_BYTES = 64 << 20
# not str.splitlines: that would also split at characters which JSON may hold as they are
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One event of the stream."""

    #: None when the event has no id of its own.
    id: str | None
    event: str
    data: bytes


@dataclass(slots=True)
class _Pending:
    """The event that is being read."""

    id: str | None = None
    event: str = "message"
    data: list[bytes] = field(default_factory=list)
    size: int = 0

    def take(self, line: bytes) -> None:
        """Take in one line that is neither empty nor a comment."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self.size += len(value)
            _check(self.size)
            self.data.append(value)
        elif name == b"event":
            self.event = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self.id = value.decode(errors="replace")


def _check(size: int) -> None:
    """Refuse what is too long to be an event."""
    if size > MAX_BYTES:
        raise ValueError(f"an event of more than {MAX_BYTES} bytes")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of the stream without their ends; an unfinished last one is dropped."""
    rest: list[bytes] = []
    size = 0
    after_cr = False
    for received in chunks:
        chunk = received[1:] if after_cr and received.startswith(b"\n") else received
        if not received:
            continue
        after_cr = chunk.endswith(b"\r") if chunk else False
        *complete, last = _LINE_END.split(chunk)
        for line in complete:
            yield b"".join([*rest, line])
            rest, size = [], 0
        rest.append(last)
        size += len(last)
        _check(size)


def frames(chunks: Iterable[bytes]) -> Iterator[Frame | None]:
    """Yield the events of a stream, and None for each comment (a heartbeat).

    Args:
        chunks: what is received, cut anywhere.

    Raises:
        ValueError: an event is longer than any server of ours sends.
    """
    pending = _Pending()
    for line in _lines(chunks):
        if line.startswith(b":"):
            yield None
        elif line:
            pending.take(line)
        else:
            if pending.data:
                yield Frame(id=pending.id, event=pending.event, data=b"\n".join(pending.data))
            pending = _Pending()
