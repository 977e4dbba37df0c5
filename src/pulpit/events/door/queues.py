"""A queue of one connection: what waits, what is folded or dropped, and whose turn it is."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pulpit.events.door.contents import Content
from pulpit.events.door.settings import DoorSettings

__all__ = ["Counts", "Entry", "Queue", "QueueConsumer", "QueueTraits"]


@dataclass(slots=True)
class Counts:
    """What the door has done since it started."""

    delivered: int = 0
    folded: int = 0
    dropped: int = 0
    refused: int = 0
    behind: int = 0


class Entry:
    """A place in a queue; it never changes, so that a resend is the same."""

    __slots__ = ("content", "number", "previous", "sent")

    def __init__(self, number: int, content: Content, previous: int) -> None:
        self.number = number
        self.content = content
        #: It stands for the task's revisions after this one.
        self.previous = previous
        self.sent = False

    def __lt__(self, other: Entry) -> bool:
        return self.number < other.number


class QueueConsumer(Protocol):
    """Who takes entries of a queue."""

    @property
    def ready(self) -> bool:
        """True while it may be given an entry."""

    def deliver(self, entry: Entry) -> None:
        """Send *entry*; it is ready and does not refuse."""


@dataclass(frozen=True, kw_only=True)
class QueueTraits:
    """How a queue was declared; a second declaration must be the same.

    Whether it is durable says nothing: an exclusive queue ends with its connection.
    """

    auto_delete: bool = False
    exclusive: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Queue:
    """Entries in journal order, for the consumers of one connection in turn.

    Progress is folded only while the queue is behind, and only into the next event of its task.
    A status change is never dropped: *on_overflow* is called once when too many wait.
    """

    def __init__(
        self,
        name: str,
        traits: QueueTraits,
        *,
        channel: int = 0,
        settings: DoorSettings,
        counts: Counts,
        on_overflow: Callable[[Queue], None],
    ) -> None:
        self.name = name
        self.traits = traits
        #: Number of the channel that declared it.
        self.channel = channel
        #: Patterns and the key of their arguments, as they were bound.
        self.bindings: set[tuple[str, str]] = set()
        self.consumers: deque[QueueConsumer] = deque()
        #: Its consumer wants to be the only one.
        self.exclusively_consumed = False
        self._settings = settings
        self._counts = counts
        self._on_overflow = on_overflow
        self._number = 0
        self._waiting: OrderedDict[int, Entry] = OrderedDict()
        self._returned: list[Entry] = []
        #: Task to the number of its last waiting entry, where that is progress.
        self._progress: OrderedDict[str, int] = OrderedDict()
        #: Task to the revision that its next event must go back to, for dropped progress.
        self._carried: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        #: How many of the waiting entries are status changes.
        self._status = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._returned)

    def push(self, content: Content) -> None:
        """Give *content* to a consumer, or keep it until one is ready."""
        if self._closed:
            return
        previous = content.previous
        if self._carried or self._progress:
            previous = self._fold(content)
        self._number += 1
        entry = Entry(self._number, content, previous)
        if not self._waiting and not self._returned:
            consumer = self._next_consumer()
            if consumer is not None:
                self._send(consumer, entry)
                return
        self._keep(entry)

    def pump(self) -> None:
        """Give away what waits, as long as somebody is ready."""
        while self._waiting or self._returned:
            consumer = self._next_consumer()
            if consumer is None:
                return
            entry = self.take()
            assert entry is not None
            self._send(consumer, entry)

    def take(self) -> Entry | None:
        """Take the first entry, or None; its number is that of its place."""
        if self._returned:
            entry = heapq.heappop(self._returned)
        elif self._waiting:
            _, entry = self._waiting.popitem(last=False)
            self._forget_progress(entry)
        else:
            return None
        self._count(entry, -1)
        return entry

    def put_back(self, entry: Entry) -> None:
        """Return *entry*, which was sent, to its place before all that was never sent."""
        if self._closed:
            return
        heapq.heappush(self._returned, entry)
        self._count(entry, 1)
        self._check_bounds()

    def purge(self) -> int:
        """Drop all that waits and return how many entries that were."""
        count = len(self)
        self._waiting.clear()
        self._returned.clear()
        self._progress.clear()
        self._bytes = self._status = 0
        return count

    def close(self) -> None:
        """Drop all that waits and take no more."""
        self._closed = True
        self.purge()
        self.consumers.clear()

    def _next_consumer(self) -> QueueConsumer | None:
        """Return the next consumer that is ready, in turn."""
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.ready:
                return consumer
        return None

    def _send(self, consumer: QueueConsumer, entry: Entry) -> None:
        self._counts.delivered += 1
        consumer.deliver(entry)
        entry.sent = True

    def _fold(self, content: Content) -> int:
        """Take out the progress that *content* replaces; return the revision it goes back to."""
        task = content.task
        if task is None:
            return content.previous
        previous = self._carried.pop(task, content.previous)
        number = self._progress.get(task)
        if number is not None and len(self._waiting) >= self._settings.fold_after:
            entry = self._waiting.pop(number)
            self._forget_progress(entry)
            self._count(entry, -1)
            self._counts.folded += 1
            previous = min(previous, entry.previous)
        return min(previous, content.previous)

    def _keep(self, entry: Entry) -> None:
        content = entry.content
        self._waiting[entry.number] = entry
        self._count(entry, 1)
        if content.task is not None:
            self._progress.pop(content.task, None)
            if content.progress:
                self._progress[content.task] = entry.number
        self._check_bounds()

    def _count(self, entry: Entry, step: int) -> None:
        """Add *entry* to what waits, or take it away with a step of -1."""
        self._bytes += step * entry.content.size
        if not entry.content.progress:
            self._status += step

    def _forget_progress(self, entry: Entry) -> None:
        task = entry.content.task
        if task is not None and self._progress.get(task) == entry.number:
            del self._progress[task]

    def _check_bounds(self) -> None:
        """Drop the oldest progress that may be dropped; without enough of it, give up."""
        limits = self._settings
        while self._progress and (
            len(self._progress) > limits.queue_progress_limit
            or self._bytes > limits.queue_bytes_limit
        ):
            self._drop_oldest_progress()
        if self._status >= limits.queue_status_limit or self._bytes > limits.queue_bytes_limit:
            self._closed = True
            self._on_overflow(self)

    def _drop_oldest_progress(self) -> None:
        task, number = self._progress.popitem(last=False)
        entry = self._waiting.pop(number)
        self._count(entry, -1)
        self._counts.dropped += 1
        self._carried[task] = entry.previous
        if len(self._carried) > self._settings.queue_status_limit:
            self._carried.popitem(last=False)
