"""Reading ``text/event-stream``, byte for byte as the HTML standard defines it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Frame", "Frames"]

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


class Frames:
    """Turns what is received, cut anywhere, into events; one for each connection."""

    def __init__(self) -> None:
        self._pending = _Pending()
        self._rest: list[bytes] = []
        self._size = 0
        self._after_cr = False

    def feed(self, received: bytes) -> Iterator[Frame | None]:
        """Yield the events that *received* completes, and None for each comment (a heartbeat).

        Raises:
            ValueError: an event is longer than any server of ours sends.
        """
        for line in self._lines(received):
            if line.startswith(b":"):
                yield None
            elif line:
                self._pending.take(line)
            else:
                done, self._pending = self._pending, _Pending()
                if done.data:
                    yield Frame(id=done.id, event=done.event, data=b"\n".join(done.data))

    def _lines(self, received: bytes) -> Iterator[bytes]:
        """Yield the lines that are complete, without their ends."""
        if not received:
            return
        chunk = received[1:] if self._after_cr and received.startswith(b"\n") else received
        self._after_cr = chunk.endswith(b"\r")
        *complete, last = _LINE_END.split(chunk)
        for line in complete:
            whole = b"".join([*self._rest, line])
            self._rest, self._size = [], 0
            yield whole
        self._rest.append(last)
        self._size += len(last)
        _check(self._size)
