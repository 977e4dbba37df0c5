"""The journal for many readers at once: read once, each event encoded once, woken together.

A reader holds a number, not events. Who is at the journal's head takes what is kept of it in
memory; who is behind reads the journal, a bounded part at a time, in threads that serve nothing
else. What a reader is behind by more than a part is folded for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pulpit.domain.events import Event
from pulpit.errors import DatabaseFailed, EventsGone
from pulpit.events.live import DATABASE_REST, wake_loop
from pulpit.events.parts import Alter, Bounds, Encode, Part, Recent, Wanted, part_of
from pulpit.events.resuming import Resumed
from pulpit.ports import EventHistory, ToldBefore

__all__ = ["Fanout", "Reader"]

#: What a reader gets at once at the most, and a little more: the last event counts whole.
_PART = Bounds(count=500, size=256 << 10)
#: What is kept for those at the head.
_KEPT = Bounds(count=2_000, size=4 << 20)
#: Threads that read the journal for those who are behind.
_CATCHING_UP = 2
#: Seconds between two wakings at the least, so that busy writers keep most of the processor.
_PACE = 0.01
#: Seconds in which readers get what was written last, once the server stops.
_LAST_WORDS = 2.0


class Fanout:
    """Feeds all readers in one event loop.

    Args:
        source: the journal.
        part: what a reader gets at once; the event that goes beyond is the last one.
        kept: what is kept in memory for readers at the head.
        rest: seconds before the journal is read again while the database is away.
    """

    def __init__(
        self,
        source: EventHistory,
        *,
        part: Bounds = _PART,
        kept: Bounds = _KEPT,
        rest: float = DATABASE_REST,
    ) -> None:
        self.source = source
        self._rest = rest
        self._part = part
        self._recent = Recent(kept, part=part)
        self._readers: set[Reader] = set()
        self._pump: asyncio.Task[None] | None = None
        self._at_head = ThreadPoolExecutor(1, "events-head")
        self._behind = ThreadPoolExecutor(_CATCHING_UP, "events-behind")
        #: The number up to which readers still get events, once the server stops.
        self._last: int | None = None
        self._ended = False
        #: A number that somebody has resumed from, and the progress up to there.
        self._resumed: tuple[int, Mapping[str, ToldBefore]] = (0, {})
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
        self,
        after: int,
        *,
        encode: Encode,
        wanted: Wanted | None,
        heartbeat: float,
        task_ids: Collection[str] = (),
        resumes: bool = False,
    ) -> Reader:
        """Return a new reader; call its ``leave`` in the end.

        Args:
            after: the number to go on from.
            encode: what makes the bytes of an event.
            wanted: which events; None for all.
            heartbeat: seconds of silence after which it is given no bytes.
            task_ids: the tasks of all events that are wanted, if these are known.
            resumes: whether it may have lost a connection, looks at what events stand for, and
                wants progress.
        """
        reader = Reader(
            self,
            after,
            encode=encode,
            wanted=wanted,
            heartbeat=heartbeat,
            task_ids=task_ids,
            resumes=resumes,
        )
        self._readers.add(reader)
        self._run()
        return reader

    def _run(self) -> None:
        """Read what comes into the journal, if nobody does."""
        if self._pump is None or self._pump.done():
            self._recent.forget(self.source.head())
            self._pump = asyncio.create_task(self._read_on())

    def count(self, part: Part) -> None:
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
            self._recent.forget(self._recent.position)

    def close(self) -> None:
        """Let all readers go once they have what was written last; called when the loop runs."""
        self._last = self.source.head()
        asyncio.get_running_loop().call_later(_LAST_WORDS, self._end)
        self._wake_all()

    def _end(self) -> None:
        self._ended = True
        for reader in tuple(self._readers):
            reader.end()
        for threads in (self._at_head, self._behind):
            # who waits for a turn gets it, with nothing: a cancelled one would be a defect
            threads.shutdown(wait=False)

    def _wake_all(self) -> None:
        for reader in self._readers:
            reader.wake()

    def has_ended(self, after: int) -> bool:
        """Tell whether a reader that came so far is to be let go."""
        return self._ended or (self._last is not None and after >= self._last)

    def keeps(self, after: int) -> bool:
        """Tell whether all that there is after a number is kept."""
        self._run()
        return after >= self._recent.since

    def take(self, reader: Reader) -> Part:
        """Return a reader's next part of what is kept."""
        return self._recent.take(
            reader.after, encode=reader.encode, wanted=reader.wanted, alter=reader.alter
        )

    async def read(self, reader: Reader) -> Part:
        """Return a reader's next part of the journal.

        Raises:
            EventsGone: what comes next is past retention.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._behind, self._read, reader)

    def _read(self, reader: Reader) -> Part:
        """Read the journal for one who is behind; in a thread."""
        part, after, task_ids = self._part, reader.after, reader.task_ids
        if self._ended:
            return Part(b"", after)
        # asked before, so that all up to there is seen
        head = self.source.head()
        if task_ids:
            events = self.source.read_tasks(after, part.count, task_ids, most_bytes=part.size)
        else:
            events = self.source.read(after, part.count, most_bytes=part.size)
        if not events:
            return Part(b"", max(after, head))
        return part_of(events, part, encode=reader.encode, wanted=reader.wanted, alter=reader.alter)

    async def resumed(self, after: int) -> Resumed:
        """Return what makes up for what a reader may have missed that resumes from a number."""
        place, before = self._resumed
        if place != after:
            loop = asyncio.get_running_loop()
            before = await loop.run_in_executor(self._behind, self.source.progress_before, after)
            # after a restart many come with the same number
            self._resumed = after, before
        return Resumed(before)

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
        recent, part = self._recent, self._part
        read = partial(self.source.read, recent.position, part.count, most_bytes=part.size)
        try:
            events = await loop.run_in_executor(self._at_head, read)
        except EventsGone as gone:
            # those who waited for what is gone read the journal, and are told of the gap
            self._recent.forget(gone.resume)
            self._wake_all()
            return True
        except DatabaseFailed:
            # readers keep their connections, and get what comes once it is back
            await asyncio.sleep(self._rest)
            return True
        if not events:
            return False
        recent.keep(events)
        begun = time.thread_time()
        for reader in self._readers:
            reader.hear(events)
        # once to let the readers write, once to let the loop send it
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(max(_PACE, (time.thread_time() - begun) / 2))
        return True


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
        task_ids: Collection[str],
        resumes: bool,
    ) -> None:
        self._fanout = fanout
        #: The number that it goes on after.
        self.after = after
        self.encode, self.wanted, self.task_ids = encode, wanted, task_ids
        self._loop = asyncio.get_running_loop()
        self._heartbeat = heartbeat
        #: When it was last given something.
        self._told = self._loop.time()
        self._timer = self._loop.call_later(heartbeat, self._beat)
        self._waiting: asyncio.Future[None] | None = None
        self._has_left = False
        #: Ends its connection, whatever is still to be sent there; None: nothing does.
        self.cut_off: Callable[[], object] | None = None
        self._resumes = resumes
        self._resumed: Resumed | None = None
        #: Whether it asks for what may be of another journal, which only reading tells.
        self._is_ahead = after > fanout.source.head()

    @property
    def alter(self) -> Alter | None:
        """What makes of an event what this reader is to be told, if that is not the same."""
        return self._resumed or None

    async def next(self) -> bytes | None:
        """Return the next events, encoded; no bytes after silence; None at the end.

        Raises:
            EventsGone: what comes next is past retention; call ``skip`` to go on.
        """
        fanout = self._fanout
        behind = not self._is_ahead and self.after < fanout.source.head()
        if self._resumes and behind and not fanout.has_ended(self.after):
            self._resumed = await fanout.resumed(self.after)
        self._resumes = False
        while not self._has_left and not fanout.has_ended(self.after):
            at_head = fanout.keeps(self.after) and not self._is_ahead
            part = fanout.take(self) if at_head else await fanout.read(self)
            self._is_ahead = False
            before, self.after = self.after, part.after
            if part.data:
                self._told = self._loop.time()
                fanout.count(part)
                return part.data
            if at_head and self.after == before:
                await self._wait()
            # what others want is no sign of life for this reader
            if self._loop.time() - self._told >= self._heartbeat:
                self._told = self._loop.time()
                return b""
        return None

    def skip(self, gone: EventsGone) -> None:
        """Go on with what is left."""
        self.after, self._resumed = gone.resume, None
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

    def end(self) -> None:
        """Let it end now, even if it takes nothing."""
        if self._waiting is None and self.cut_off is not None:
            self.cut_off()
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
