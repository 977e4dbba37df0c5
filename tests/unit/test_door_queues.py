"""What a queue keeps, folds, drops and gives away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame

from pulpit.domain.events import Event
from pulpit.events.door.contents import Content
from pulpit.events.door.queues import Counts, Entry, Queue, QueueTraits
from pulpit.events.door.settings import DoorSettings
from tests.door_server import progress, status, task_message


class FakeConsumer:
    """Takes as many entries as it is allowed to."""

    def __init__(self, allowance: int = 0) -> None:
        self.allowance = allowance
        self.entries: list[Entry] = []
        #: Previous, revision and body of each entry, and whether it was sent before.
        self.seen: list[tuple[int, int, bytes, bool]] = []

    @property
    def ready(self) -> bool:
        return self.allowance > 0

    def deliver(self, entry: Entry) -> None:
        self.allowance -= 1
        self.entries.append(entry)
        self.seen.append((*revisions(entry), entry.content.message.body, entry.sent))


def revisions(entry: Entry) -> tuple[int, int]:
    """Return the two revisions that the message tells, as they stand in its frames."""
    frames = entry.content.frames(1, 131_072, entry.previous)
    headers: Any = frame.unmarshal(frames)[2].properties.headers  # type: ignore[union-attr]
    previous, revision = headers["pulpit-previous"], headers["pulpit-revision"]
    assert isinstance(previous, int)
    assert isinstance(revision, int)
    return previous, revision


def content(event: Event) -> Content:
    return Content.of(task_message(event), event)


def make_queue(
    counts: Counts | None = None,
    on_overflow: Callable[[Queue], None] = lambda _: None,
    **settings: int,
) -> Queue:
    """Return a queue that folds at once."""
    return Queue(
        "q",
        QueueTraits(),
        settings=DoorSettings(**{"fold_after": 1, **settings}),  # type: ignore[arg-type]
        counts=counts or Counts(),
        on_overflow=on_overflow,
    )


def waiting(queue: Queue) -> list[tuple[int, int]]:
    """Empty the queue and return the revisions of what was in it."""
    found = []
    while (entry := queue.take()) is not None:
        found.append(revisions(entry))
    return found


def test_a_ready_consumer_gets_everything() -> None:
    """Nothing is folded for a consumer that keeps up."""
    queue, consumer = make_queue(), FakeConsumer(10)
    queue.consumers.append(consumer)
    for revision in range(1, 6):
        queue.push(content(progress("t", revision)))
    assert [seen[:2] for seen in consumer.seen] == [(n - 1, n) for n in range(1, 6)]


def test_progress_folds_into_later_progress() -> None:
    """Progress that waits gives way to the next, which stands for it."""
    counts = Counts()
    queue = make_queue(counts)
    for revision in range(1, 6):
        queue.push(content(progress("t", revision)))
    assert waiting(queue) == [(0, 5)]
    assert counts.folded == 4


def test_progress_folds_into_a_status_change() -> None:
    """A change of status stands for the progress before it, and is not folded itself."""
    queue = make_queue()
    for event in (
        status("t", 1),
        progress("t", 2),
        progress("t", 3),
        status("t", 4),
        progress("t", 5),
    ):
        queue.push(content(event))
    assert waiting(queue) == [(0, 1), (1, 4), (4, 5)]


def test_progress_never_overtakes() -> None:
    """What stands for others comes at its own place, behind the other tasks' events."""
    queue = make_queue()
    for event in (progress("t", 1), status("u", 1), progress("t", 2)):
        queue.push(content(event))
    entries = [queue.take(), queue.take()]
    assert [entry.content.task for entry in entries if entry] == ["u", "t"]


def test_tasks_fold_apart() -> None:
    """Progress of one task is never folded into that of another."""
    queue = make_queue()
    for revision in (1, 2, 3):
        queue.push(content(progress("t", revision)))
        queue.push(content(progress("u", revision)))
    assert waiting(queue) == [(0, 3), (0, 3)]


def test_a_short_backlog_is_kept_whole() -> None:
    """Nothing is folded until the queue is behind."""
    queue = make_queue(fold_after=5)
    for revision in range(1, 6):
        queue.push(content(progress("t", revision)))
    assert len(queue) == 5
    queue.push(content(progress("t", 6)))
    assert waiting(queue) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 6)]


def test_what_was_sent_is_never_folded() -> None:
    """An entry that comes back is sent again as it was, before all that was never sent."""
    counts = Counts()
    queue, consumer = make_queue(counts), FakeConsumer(1)
    queue.consumers.append(consumer)
    queue.push(content(progress("t", 1)))
    queue.put_back(consumer.entries[0])
    for revision in (2, 3):
        queue.push(content(progress("t", revision)))
    assert counts.folded == 1
    consumer.allowance = 10
    queue.pump()
    assert [(*seen[:2], seen[3]) for seen in consumer.seen] == [
        (0, 1, False),
        (0, 1, True),
        (1, 3, False),
    ]
    first, again = consumer.entries[:2]
    assert first is again


def test_redelivery_counts_no_fold_twice() -> None:
    """Going back and forth folds and drops nothing."""
    counts = Counts()
    queue, consumer = make_queue(counts), FakeConsumer(1)
    queue.consumers.append(consumer)
    queue.push(content(progress("t", 1)))
    for _ in range(5):
        queue.put_back(consumer.entries[-1])
        consumer.allowance = 1
        queue.pump()
    assert (counts.folded, counts.dropped) == (0, 0)
    assert len(queue) == 0


def test_the_oldest_progress_is_dropped_first() -> None:
    """Too many tasks at once: the oldest progress goes, the task's next event tells of it."""
    counts = Counts()
    queue = make_queue(counts, queue_progress_limit=2)
    queue.push(content(status("t0", 1)))
    for task in ("t1", "t2", "t3", "t4"):
        queue.push(content(progress(task, 1)))
    assert counts.dropped == 2
    assert waiting(queue) == [(0, 1), (0, 1), (0, 1)]
    queue.push(content(status("t1", 2)))
    queue.push(content(progress("t2", 2)))
    assert waiting(queue) == [(0, 2), (0, 2)]


def test_too_many_status_changes_are_told() -> None:
    """The limit is told once, and nothing more is kept."""
    told: list[Queue] = []
    queue = make_queue(on_overflow=told.append, queue_status_limit=10)
    for number in range(9):
        queue.push(content(status(f"t{number}", 1)))
        queue.push(content(progress(f"t{number}", 2)))
    assert told == []
    for number in range(9, 30):
        queue.push(content(status(f"t{number}", 1)))
    assert told == [queue]


def test_too_many_octets_are_told() -> None:
    """Large results end a queue as well, after all progress was dropped."""
    counts, told = Counts(), list[Queue]()
    queue = make_queue(counts, told.append, queue_bytes_limit=10_000)
    queue.push(content(progress("p", 1, b"x" * 4_000)))
    queue.push(content(status("t", 1, b"x" * 9_000)))
    assert (counts.dropped, told) == (1, [])
    queue.push(content(status("t", 2, b"x" * 9_000)))
    assert told == [queue]


def test_a_closed_queue_keeps_nothing() -> None:
    """What comes for a queue that is gone, or comes back to it, is forgotten."""
    queue = make_queue()
    queue.push(content(status("t", 1)))
    entry = queue.take()
    assert entry is not None
    queue.close()
    queue.put_back(entry)
    queue.push(content(status("t", 2)))
    assert len(queue) == 0


def test_what_comes_never_overtakes_what_waits() -> None:
    """A consumer that has become ready meanwhile gets the entries in their order."""
    queue, consumer = make_queue(), FakeConsumer()
    queue.consumers.append(consumer)
    queue.push(content(status("t", 1)))
    consumer.allowance = 9
    queue.push(content(status("t", 2)))
    queue.pump()
    assert [seen[:2] for seen in consumer.seen] == [(0, 1), (1, 2)]


def test_consumers_take_turns() -> None:
    """Those who are ready get one each, in turn; others are passed over."""
    queue = make_queue()
    consumers = [FakeConsumer(9), FakeConsumer(0), FakeConsumer(9)]
    queue.consumers.extend(consumers)
    for revision in range(1, 5):
        queue.push(content(status("t", revision)))
    assert [len(consumer.seen) for consumer in consumers] == [2, 0, 2]


class History:
    """Everything that happens to a queue, and what must hold of it."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.consumer = FakeConsumer()
        queue.consumers.append(self.consumer)
        self.published: dict[str, list[Event]] = {}
        self.sequence = 0
        self.outstanding: list[Entry] = []

    def publish(self, task: str, *, is_status: bool) -> None:
        events = self.published.setdefault(task, [])
        self.sequence += 1
        body = str(self.sequence).encode()
        events.append((status if is_status else progress)(task, len(events) + 1, body))
        self.queue.push(content(events[-1]))

    def allow(self, count: int) -> None:
        self.consumer.allowance = count
        self.queue.pump()

    def give_back(self, count: int) -> None:
        """Give back the last entries that were sent, as a nack does."""
        kept = {id(entry): entry for entry in self.consumer.entries}
        for entry in list(kept.values())[-count:]:
            self.consumer.entries = [each for each in self.consumer.entries if each is not entry]
            self.queue.put_back(entry)

    def check(self) -> None:
        """Check order, completeness and chains of what was delivered first."""
        self.allow(1_000_000)
        first = [seen for seen in self.consumer.seen if not seen[3]]
        order = [int(body) for _, _, body, _ in first]
        assert order == sorted(order)
        by_body = {event.body: event for events in self.published.values() for event in events}
        for task, events in self.published.items():
            mine = [seen for seen in first if by_body[seen[2]].task_id == task]
            told = 0
            for previous, revision, body, _ in mine:
                assert previous == told
                assert by_body[body].revision == revision
                assert all(each.kind == "progress" for each in events[previous : revision - 1])
                told = revision
            assert all(each.kind == "progress" for each in events[told:])


OPERATIONS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from("abcd"), st.booleans()),
    st.tuples(st.just("allow"), st.integers(0, 4)),
    st.tuples(st.just("give back"), st.integers(1, 3)),
)


@given(st.lists(OPERATIONS, max_size=60), st.integers(0, 5), st.integers(1, 4))
def test_chains_hold_whatever_happens(
    operations: list[tuple[Any, ...]], fold_after: int, progress_limit: int
) -> None:
    """First arrivals are in order, miss no status change, and tell of all they stand for."""
    queue = make_queue(fold_after=fold_after, queue_progress_limit=progress_limit)
    history = History(queue)
    for name, *arguments in operations:
        if name == "publish":
            history.publish(arguments[0], is_status=arguments[1])
        elif name == "allow":
            history.allow(arguments[0])
        else:
            history.give_back(arguments[0])
    history.check()
