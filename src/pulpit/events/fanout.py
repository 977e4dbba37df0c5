"""The journal for many readers at once: read once, each event encoded once, woken together.

A reader holds a number, not events. Who is at the journal's head takes what is kept of it in
memory; who is behind reads the journal, a bounded part at a time, in threads that serve nothing
else. What a reader is behind by more than a part is folded for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pulpit.domain.events import Event
from pulpit.domain.folding import fold
from pulpit.errors import EventsGone
from pulpit.events.live import wake_loop
from pulpit.ports import EventSource

__all__ = ["Encode", "Fanout", "Reader", "Wanted"]

#: Returns an event's bytes on the wire; the same function for all readers of one format.
Encode = Callable[[Event], bytes]
#: Tells whether a reader wants an event.
Wanted = Callable[[Event], bool]

#: Events, and bytes of their bodies, that a reader gets at once.
_PART, _PART_BYTES = 500, 256 << 10
#: Events, and bytes of their bodies, that are kept for those at the head.
_KEPT, _KEPT_BYTES = 2_000, 4 << 20
#: Threads that read the journal for those who are behind.
_CATCHING_UP = 2
#: Seconds between two wakings at the least, so that busy writers keep most of the processor.
_PACE = 0.01
#: Seconds in which readers get what was written last, once the server stops.
_LAST_WORDS = 2.0


class _Entry:
    """An event with what it is on the wire, made when first needed."""

    __slots__ = ("_encoded", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._encoded: dict[Encode, bytes] = {}

    def encoded(self, encode: Encode) -> bytes:
        """Return the bytes of the event in a format."""
        found = self._encoded.get(encode)
        if found is None:
            found = self._encoded[encode] = encode(self.event)
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """What a reader gets at once."""

    #: What is wanted of it, encoded; may be empty.
    data: bytes
    #: The number to go on after.
    after: int
    #: How many events that is, and how many were folded into them.
    told: int = 0
    folded: int = 0


class Fanout:
    """Feeds all readers in one event loop.

    Args:
        source: the journal.
        part: events that a reader gets at once at the most.
        part_bytes: bytes of bodies after which it gets no more at once.
        kept: events kept in memory for readers at the head, at the most.
        kept_bytes: of their bodies, at the most.
    """

    def __init__(
        self,
        source: EventSource,
        *,
        part: int = _PART,
        part_bytes: int = _PART_BYTES,
        kept: int = _KEPT,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self.source = source
        self._part, self._part_bytes = part, part_bytes
        self._kept, self._kept_bytes = kept, kept_bytes
        self._entries: list[_Entry] = []
        #: Their numbers, in the same places.
        self._numbers: list[int] = []
        self._bytes = 0
        #: The number after which nothing is missing in what is kept, and the newest one read.
        self._since = self._position = 0
        self._readers: set[Reader] = set()
        self._pump: asyncio.Task[None] | None = None
        self._at_head = ThreadPoolExecutor(1, "events-head")
        self._behind = ThreadPoolExecutor(_CATCHING_UP, "events-behind")
        #: The number up to which readers still get events, once the server stops.
        self._last: int | None = None
        self._ended = False
        self._sent = self._folded = self._stale = self._dead = 0

    def figures(self) -> dict[str, int]:
        """Return counts: what is there now, and what happened since the start."""
        return {
            "readers": len(self._readers),
            "sent": self._sent,
            "folded": self._folded,
            "stale": self._stale,
            "dead": self._dead,
        }

    def attach(
        self, after: int, *, encode: Encode, wanted: Wanted | None, heartbeat: float
    ) -> Reader:
        """Return a new reader; call its ``leave`` in the end.

        Args:
            after: the number to go on from.
            encode: what makes the bytes of an event.
            wanted: which events; None for all.
            heartbeat: seconds of silence after which it is given no bytes.
        """
        reader = Reader(self, after, encode=encode, wanted=wanted, heartbeat=heartbeat)
        self._readers.add(reader)
        self.run()
        return reader

    def run(self) -> None:
        """Read what comes into the journal, if nobody does."""
        if self._pump is None or self._pump.done():
            self._forget(self.source.head())
            self._pump = asyncio.create_task(self._read_on())

    def count(self, part: _Part) -> None:
        """Take notice of what a reader is given."""
        self._sent += part.told
        self._folded += part.folded

    def count_stale(self) -> None:
        """Take notice of a reader that is told of a gap."""
        self._stale += 1

    def detach(self, reader: Reader, *, is_dead: bool) -> None:
        """Forget a reader; without any, nothing is read."""
        if reader not in self._readers:
            return
        self._readers.discard(reader)
        self._dead += is_dead
        if not self._readers and self._pump:
            self._pump.cancel()
            self._pump = None
            self._forget(self._position)

    def close(self) -> None:
        """Let all readers go once they have what was written last; called when the loop runs."""
        self._last = self.source.head()
        asyncio.get_running_loop().call_later(_LAST_WORDS, self._end)
        self._wake_all()

    def _end(self) -> None:
        self._ended = True
        self._wake_all()
        for threads in (self._at_head, self._behind):
            threads.shutdown(wait=False, cancel_futures=True)

    def _wake_all(self) -> None:
        for reader in self._readers:
            reader.wake()

    def has_ended(self, after: int) -> bool:
        """Tell whether a reader that came so far is to be let go."""
        return self._ended or (self._last is not None and after >= self._last)

    def keeps(self, after: int) -> bool:
        """Tell whether nothing after a number is missing in what is kept."""
        return after >= self._since

    def take(self, reader: Reader) -> _Part:
        """Return a reader's next part of what is kept."""
        start = bisect_right(self._numbers, reader.after)
        stop, size, end = start, 0, len(self._entries)
        while stop < end and stop - start < self._part and size < self._part_bytes:
            size += len(self._entries[stop].event.body)
            stop += 1
        if start == stop:
            return _Part(b"", reader.after)
        entries, wanted, encode = self._entries[start:stop], reader.wanted, reader.encode
        if stop < end:
            return _folded([entry.event for entry in entries], reader)
        frames = [
            entry.encoded(encode) for entry in entries if wanted is None or wanted(entry.event)
        ]
        return _Part(b"".join(frames), self._numbers[stop - 1], len(frames))

    async def read(self, reader: Reader) -> _Part:
        """Return a reader's next part of the journal.

        Raises:
            EventsGone: what comes next is past retention.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._behind, self._read, reader)

    def _read(self, reader: Reader) -> _Part:
        """Read the journal for one who is behind; in a thread."""
        events = self.source.read(reader.after, self._part, most_bytes=self._part_bytes)
        if not events:
            return _Part(b"", reader.after)
        size = sum(len(event.body) for event in events)
        if len(events) >= self._part or size >= self._part_bytes:
            return _folded(events, reader)
        wanted = reader.wanted
        frames = [reader.encode(event) for event in events if wanted is None or wanted(event)]
        return _Part(b"".join(frames), events[-1].sequence, len(frames))

    async def _read_on(self) -> None:
        """Read the journal at its head, and wake who waits for what comes."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        unsubscribe = self.source.subscribe(lambda: wake_loop(loop, news))
        try:
            while True:
                # before reading: whoever writes meanwhile sets it again
                news.clear()
                while await self._read_head():
                    pass
                await news.wait()
        except Exception as error:  # noqa: BLE001 - who listens ends by it, and may come again
            for reader in self._readers:
                reader.fail(error)
        finally:
            unsubscribe()

    async def _read_head(self) -> bool:
        """Read the next events and tell them; return whether there were any."""
        loop = asyncio.get_running_loop()
        read = partial(self.source.read, self._position, self._part, most_bytes=self._part_bytes)
        try:
            events = await loop.run_in_executor(self._at_head, read)
        except EventsGone as gone:
            # those who waited for what is gone read the journal, and are told of the gap
            self._forget(gone.resume)
            self._wake_all()
            return True
        if not events:
            return False
        self._keep(events)
        begun = loop.time()
        for reader in self._readers:
            reader.hear(events)
        # once to let the readers write, once to let the loop send it
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(max(_PACE, (loop.time() - begun) / 2))
        return True

    def _keep(self, events: Sequence[Event]) -> None:
        """Keep new events, and of all that is kept the newest."""
        self._entries += map(_Entry, events)
        self._numbers += [event.sequence for event in events]
        self._bytes += sum(len(event.body) for event in events)
        self._position = self._numbers[-1]
        surplus = 0
        while len(self._entries) - surplus > self._kept or self._bytes > self._kept_bytes:
            self._bytes -= len(self._entries[surplus].event.body)
            surplus += 1
        if surplus:
            self._since = self._numbers[surplus - 1]
            del self._entries[:surplus], self._numbers[:surplus]

    def _forget(self, position: int) -> None:
        """Keep nothing, and go on after a number."""
        self._entries, self._numbers, self._bytes = [], [], 0
        self._since = self._position = position


class Reader:
    """One who reads all events after a number; made by ``Fanout.attach``."""

    def __init__(
        self,
        fanout: Fanout,
        after: int,
        *,
        encode: Encode,
        wanted: Wanted | None,
        heartbeat: float,
    ) -> None:
        self._fanout = fanout
        #: The number that it goes on after.
        self.after = after
        self.encode, self.wanted = encode, wanted
        self._loop = asyncio.get_running_loop()
        self._heartbeat = heartbeat
        #: When it was last given something.
        self._told = self._loop.time()
        self._timer = self._loop.call_later(heartbeat, self._beat)
        self._waiting: asyncio.Future[None] | None = None
        self._has_left = False
        #: Whether it asks for what may be of another journal, which only reading tells.
        self._is_ahead = after > fanout.source.head()

    async def next(self) -> bytes | None:
        """Return the next events, encoded; no bytes after silence; None at the end.

        Raises:
            EventsGone: what comes next is past retention; call ``skip`` to go on.
        """
        while not self._has_left and not self._fanout.has_ended(self.after):
            part = await self._read()
            if part.data:
                self.after = part.after
                self._told = self._loop.time()
                self._fanout.count(part)
                return part.data
            if part.after > self.after:
                self.after = part.after
            else:
                await self._wait()
            # what others want is no sign of life for this reader
            if self._loop.time() - self._told >= self._heartbeat:
                self._told = self._loop.time()
                return b""
        return None

    def skip(self, gone: EventsGone) -> None:
        """Go on with what is left."""
        self.after = gone.resume
        self._fanout.count_stale()

    def leave(self, *, is_dead: bool = False) -> None:
        """End, whether it waits or not; a second time does nothing.

        Args:
            is_dead: whether it was given up, since nothing was heard of it any longer.
        """
        self._has_left = True
        self._timer.cancel()
        self._fanout.detach(self, is_dead=is_dead)
        self.wake()

    def hear(self, events: Sequence[Event]) -> None:
        """Take notice of new events, which are kept already."""
        if self._waiting is None:
            return
        if (
            self.wanted is None
            or any(map(self.wanted, events))
            or self._fanout.has_ended(events[-1].sequence)
        ):
            self.wake()
        else:
            self.after = max(self.after, events[-1].sequence)

    def wake(self) -> None:
        """Look again, if it waits."""
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def fail(self, error: Exception) -> None:
        """End by an error, if it waits."""
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(error)

    async def _read(self) -> _Part:
        """Return the next part, from where it is to be had."""
        self._fanout.run()
        if self._fanout.keeps(self.after) and not self._is_ahead:
            return self._fanout.take(self)
        part = await self._fanout.read(self)
        self._is_ahead = False
        return part

    async def _wait(self) -> None:
        """Wait until there may be something."""
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _beat(self) -> None:
        """Let a reader look that was told nothing for long, and look after it again."""
        due = self._told + self._heartbeat
        now = self._loop.time()
        if now >= due:
            self.wake()
            due = now + self._heartbeat
        self._timer = self._loop.call_at(due, self._beat)


def _folded(events: Sequence[Event], reader: Reader) -> _Part:
    """Return the part of a reader that is behind by more than this."""
    wanted = reader.wanted
    ours = [event for event in events if wanted is None or wanted(event)]
    told = fold(ours)
    data = b"".join([reader.encode(each.event) for each in told])
    return _Part(data, events[-1].sequence, len(told), len(ours) - len(told))
