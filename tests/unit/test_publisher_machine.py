"""What is sent and where the cursor stands, under confirms, losses and kills in any order."""

from __future__ import annotations

from typing import Any

import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pulpit.domain.events import Event, EventKind
from pulpit.events.amqp import CURSOR, PublisherSettings
from pulpit.events.amqp.delivery import Delivery
from pulpit.events.amqp.frames import Confirm
from pulpit.events.message import Message
from tests.services.journal import MemoryCursors, MemoryJournal, make_event

_KINDS = [EventKind.STATUS, EventKind.PROGRESS, EventKind.PROGRESS, EventKind.PROGRESS]
_TASKS = 2
#: What tasks tell at once: mostly enough to be folded.
_EVENTS = st.lists(
    st.tuples(st.integers(0, _TASKS - 1), st.sampled_from(_KINDS)), min_size=1, max_size=16
) | st.lists(st.tuples(st.integers(0, _TASKS - 1), st.sampled_from(_KINDS)), min_size=5, max_size=9)
_RARELY = st.sampled_from([False, False, False, True])


class _Cursors(MemoryCursors):
    """A cursor store that refuses as long as it is told to."""

    refuses = False

    def save(self, name: str, sequence: int) -> None:
        if self.refuses:
            raise OSError("no room")
        super().save(name, sequence)


def _sequence(message: Message) -> int:
    return int(str(message.headers["cloudEvents:sequence"]))


def _interval(message: Message) -> range:
    """Return the revisions that a message tells of."""
    previous, revision = message.headers["pulpit-previous"], message.headers["pulpit-revision"]
    return range(int(previous) + 1, int(revision) + 1)


class Publishing(RuleBasedStateMachine):
    """Events come, the broker does what it likes, and the process dies at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.journal, self.cursors = MemoryJournal(), _Cursors()
        self.revisions = [0] * _TASKS
        self.written: dict[int, Event] = {}
        #: (task, revision) of all that a confirmed message told.
        self.confirmed: set[tuple[str, int]] = set()
        #: What was sent on this connection, by tag, and not settled yet.
        self.flying: dict[int, Message] = {}
        self.tag = 0
        #: What the broker has got so far: first arrivals by message id, in order.
        self.arrived: dict[str, Message] = {}
        #: The newest revision of each task that a consumer knows.
        self.known: dict[str, int] = {}
        #: Messages of this process, by id.
        self.sent: dict[str, Message] = {}
        self.delivery = self._begin()

    def _begin(self) -> Delivery:
        """Start a process, as the publisher does."""
        delivery = Delivery(
            PublisherSettings(
                urls="amqp://h",
                window=6,
                fold_above=4,
                read_ahead=9,
                cursor_interval=1.0,
                resend_first=0.1,
            ),
            source=self.journal,
            cursors=self.cursors,
            event_source_uri="urn:x",
            log=structlog.wrap_logger(None, processors=[_drop]),
            clock=lambda: self.now,
        )
        delivery.save_cursor(now=True)
        return delivery

    @rule(events=_EVENTS)
    def write(self, events: list[tuple[int, EventKind]]) -> None:
        """Tasks tell."""
        for task, kind in events:
            self.revisions[task] += 1
            number = self.journal.head() + 1
            self.written[number] = make_event(
                number, task=task, revision=self.revisions[task], kind=kind
            )
            self.journal.append(self.written[number])
        self.delivery.events_came()

    @rule(most=st.integers(1, 8), refuses=_RARELY)
    def send(self, most: int, *, refuses: bool) -> None:
        """The publisher sends what it may, whatever the database lets it keep."""
        self.cursors.refuses = refuses
        batch = self.delivery.next_batch(most)
        self.cursors.refuses = False
        for message in batch:
            # within one process a resend is byte for byte the same
            assert self.sent.setdefault(message.message_id, message) == message
            self.tag += 1
            self.flying[self.tag] = message

    @rule(
        back=st.integers(0, 7), multiple=st.booleans(), taken=st.sampled_from([True] * 4 + [False])
    )
    def settle(self, back: int, *, multiple: bool, taken: bool) -> None:
        """The broker confirms or refuses messages, in any order; those before have arrived too."""
        tag = max(self.tag - back, 0)
        settled = [t for t in self.flying if t == tag or (multiple and (t <= tag or not tag))]
        if settled:
            # a refused one has reached those queues that have room
            self._arrive(max(settled))
        for each in settled:
            message = self.flying.pop(each)
            if taken:
                task = str(message.headers["cloudEvents:subject"])
                self.confirmed |= {(task, revision) for revision in _interval(message)}
        self.delivery.settle([Confirm(tag=tag, multiple=multiple, taken=taken)])

    def _arrive(self, up_to: int) -> None:
        """Let what was sent reach the broker up to a tag: a connection has one order."""
        for tag, message in self.flying.items():
            if tag <= up_to and message.message_id not in self.arrived:
                self.arrived[message.message_id] = message
                self._judge(message)

    def _judge(self, message: Message) -> None:
        """A consumer that drops repeats sees each task grow, and is told of every revision."""
        task, told = str(message.headers["cloudEvents:subject"]), _interval(message)
        known = self.known.get(task, 0)
        assert told.start <= known + 1 < told.stop
        self.known[task] = told[-1]

    @rule(arrived=st.integers(0, 8))
    def lose(self, arrived: int) -> None:
        """The connection is lost; the broker had got some of what it did not confirm."""
        self._cut(arrived)
        self.delivery.connection_lost()

    @rule(arrived=st.integers(0, 8))
    def kill(self, arrived: int) -> None:
        """The process is killed and another one started."""
        self._cut(arrived)
        self.sent.clear()
        self.delivery = self._begin()

    def _cut(self, arrived: int) -> None:
        self._arrive(self.tag - 8 + arrived)
        self.flying.clear()
        self.tag = 0

    @rule(seconds=st.floats(0.05, 3.0), refuses=_RARELY)
    def pass_time(self, seconds: float, *, refuses: bool) -> None:
        """Time goes on, and the cursor is saved when it is due, if the database lets it."""
        self.now += seconds
        self.cursors.refuses = refuses
        self.delivery.save_cursor()
        self.cursors.refuses = False

    @invariant()
    def the_cursor_passes_nothing_unconfirmed(self) -> None:
        """All up to the cursor was told in a confirmed message, and more so up to the saved one."""
        saved = self.cursors.load(CURSOR) or 0
        assert saved <= self.delivery.cursor <= self.journal.head()
        for number in range(1, self.delivery.cursor + 1):
            event = self.written[number]
            assert (event.task_id, event.revision) in self.confirmed

    @invariant()
    def what_arrives_is_in_order(self) -> None:
        """First arrivals are in the order of the journal."""
        numbers = [_sequence(message) for message in self.arrived.values()]
        assert numbers == sorted(numbers)

    def teardown(self) -> None:
        """Whatever has happened, in the end all is confirmed, and no status change is missing."""
        self.kill(0)
        for _ in range(1_000):
            if self.delivery.drained:
                break
            self.now += 10
            self.send(8, refuses=False)
            self.settle(0, multiple=True, taken=True)
        assert self.delivery.drained
        statuses = [e.id for e in self.written.values() if e.kind is EventKind.STATUS]
        assert [name for name in self.arrived if name in set(statuses)] == statuses
        self.the_cursor_passes_nothing_unconfirmed()
        self.what_arrives_is_in_order()


def _drop(_logger: Any, _name: str, _event: Any) -> str:
    """Log nothing."""
    raise structlog.DropEvent


def test_whatever_the_broker_does_no_status_is_lost() -> None:
    """However confirms, refusals, losses and kills interleave, the cursor never lies."""
    run_state_machine_as_test(
        Publishing,
        settings=settings(
            max_examples=200, stateful_step_count=30, deadline=None, report_multiple_bugs=False
        ),
    )
