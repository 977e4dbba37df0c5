"""What is sent, in which order, and where the cursor stands meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from pulpit.domain.events import EventKind
from pulpit.errors import DatabaseUnavailable
from pulpit.events.amqp import CURSOR, PublisherSettings
from pulpit.events.amqp.delivery import Delivery
from pulpit.events.amqp.frames import Confirm
from tests.services.journal import MemoryCursors, MemoryJournal, make_event


class _Setting:
    """A delivery with a clock that is set by hand."""

    def __init__(self, journal: MemoryJournal, cursors: MemoryCursors, **settings: Any) -> None:
        self.now = 100.0
        self.logged = LogCapture()
        self.journal, self.cursors = journal, cursors
        self.delivery = Delivery(
            PublisherSettings(urls="amqp://h", **settings),
            source=journal,
            cursors=cursors,
            event_source_uri="urn:x",
            log=structlog.wrap_logger(None, processors=[self.logged]),
            clock=lambda: self.now,
        )

    def send(self, most: int = 64) -> list[int]:
        """Return the numbers of the events that are sent now."""
        batch = self.delivery.next_batch(most)
        return [int(str(message.headers["cloudEvents:sequence"])) for message in batch]

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Confirm."""
        self.delivery.settle([Confirm(tag=tag, multiple=multiple, taken=True)])

    def nack(self, tag: int) -> None:
        """Refuse."""
        self.delivery.settle([Confirm(tag=tag, multiple=False, taken=False)])


def _statuses(*numbers: int) -> MemoryJournal:
    """Return a journal of status events."""
    return MemoryJournal([make_event(number) for number in numbers])


def test_without_a_cursor_it_begins_at_the_head() -> None:
    """Turned on, it replays no history."""
    setting = _Setting(_statuses(1, 2, 3), MemoryCursors())
    assert setting.send() == []
    setting.journal.append(make_event(4))
    setting.delivery.events_came()
    assert setting.send() == [4]


def test_with_a_cursor_it_goes_on_there() -> None:
    """After a restart the rest of the journal is sent."""
    assert _Setting(_statuses(1, 2, 3), MemoryCursors(amqp_publisher=1)).send() == [2, 3]


def test_the_cursor_stands_below_the_lowest_unconfirmed() -> None:
    """Confirms that come out of order move it no further than it may go."""
    setting = _Setting(_statuses(10, 20, 30, 40), MemoryCursors(amqp_publisher=0))
    assert setting.send(3) == [10, 20, 30]
    assert setting.delivery.cursor == 9
    setting.ack(2)
    assert setting.delivery.cursor == 9
    setting.ack(1)
    assert setting.delivery.cursor == 29
    setting.ack(3)
    assert setting.delivery.cursor == 39
    setting.send()
    assert setting.delivery.drained is False
    setting.ack(4)
    assert setting.delivery.cursor == 40
    assert setting.delivery.drained is True


def test_the_cursor_counts_what_was_folded() -> None:
    """Progress told by a message that is unconfirmed is not behind the cursor."""
    events = [make_event(n, revision=n, kind=EventKind.PROGRESS) for n in range(1, 6)]
    setting = _Setting(
        MemoryJournal([*events, make_event(6, task=1)]),
        MemoryCursors(amqp_publisher=0),
        fold_above=2,
    )
    assert setting.send() == [5, 6]
    setting.ack(2)
    assert (setting.delivery.cursor, setting.delivery.folded) == (0, 4)


def test_the_cursor_is_saved_at_its_interval() -> None:
    """It is written when time is up and it has moved, not before."""
    setting = _Setting(_statuses(1, 2, 3), MemoryCursors(amqp_publisher=0), cursor_interval=0.1)
    setting.send()
    for tag in (1, 2):
        setting.ack(tag)
        setting.delivery.save_cursor()
    assert setting.cursors.history == []
    assert setting.delivery.due(9.0, sending=True) == pytest.approx(0.1)
    setting.now += 0.2
    setting.delivery.save_cursor()
    setting.delivery.save_cursor(now=True)
    assert setting.cursors.history == [2]
    assert setting.delivery.due(9.0, sending=True) == 9.0


def test_a_cursor_that_can_not_be_saved_is_told_once() -> None:
    """A database that refuses stops no events, and is asked again."""

    class Refusing(MemoryCursors):
        """Refuses twice."""

        refusals = 2

        def save(self, name: str, sequence: int) -> None:
            if self.refusals:
                self.refusals -= 1
                raise OSError("disk full")
            super().save(name, sequence)

    setting = _Setting(_statuses(1), Refusing(amqp_publisher=0))
    setting.send()
    setting.ack(1)
    for _ in range(3):
        setting.now += 1
        setting.delivery.save_cursor()
    assert setting.cursors.history == [1]
    assert len(setting.logged.entries) == 1


def test_repository_events_stay_at_home_and_move_the_cursor() -> None:
    """Only what tells of tasks goes to the exchange."""
    journal = MemoryJournal([make_event(1), make_event(2, kind=EventKind.LISTENER), make_event(3)])
    setting = _Setting(journal, MemoryCursors(amqp_publisher=0))
    assert setting.send() == [1, 3]
    setting.ack(2, multiple=True)
    journal.append(make_event(4, kind=EventKind.LISTENER))
    setting.delivery.events_came()
    assert setting.send() == []
    assert setting.delivery.cursor == 4


def test_the_window_bounds_what_is_in_flight() -> None:
    """No more than the window is sent before confirms come."""
    setting = _Setting(_statuses(*range(1, 10)), MemoryCursors(amqp_publisher=0), window=3)
    assert setting.send() == [1, 2, 3]
    assert setting.send() == []
    setting.ack(2, multiple=True)
    assert setting.send() == [4, 5]


def test_memory_is_bounded() -> None:
    """However long the journal, one read of it is held; large bodies make it smaller."""
    large = b"x" * (1 << 20)
    journal = MemoryJournal([make_event(n, body=large) for n in range(1, 60)])
    setting = _Setting(
        journal, MemoryCursors(amqp_publisher=0), window=2, read_ahead=4, fold_above=None
    )
    setting.send()
    assert journal.reads == [(0, 4)]
    assert setting.send() == []
    for tag in range(1, 20):
        setting.ack(tag)
        setting.send()
    assert all(limit <= 8 for _, limit in journal.reads)


def test_a_nack_is_sent_again_after_a_while() -> None:
    """What the broker refused goes out again unchanged, not at once, and is told once."""
    setting = _Setting(_statuses(1, 2), MemoryCursors(amqp_publisher=0), resend_first=1.0)
    first = setting.delivery.next_batch(64)
    setting.nack(1)
    setting.nack(2)
    assert setting.delivery.next_batch(64) == []
    assert 0.0 < setting.delivery.due(9.0, sending=True) <= 2.0
    setting.now += 2.0
    assert setting.delivery.next_batch(64) == first[:1]
    setting.ack(3)
    assert setting.delivery.next_batch(64) == first[1:]
    assert (setting.delivery.published, setting.delivery.resent) == (2, 2)
    assert [entry["log_level"] for entry in setting.logged.entries] == ["warning"]


def test_nothing_overtakes_what_a_broker_refuses_that_takes_none() -> None:
    """A cluster without a quorum gets one message at a time, the oldest, until it takes that."""
    setting = _Setting(_statuses(1, 2, 3), MemoryCursors(amqp_publisher=0), resend_first=1.0)
    assert setting.send(2) == [1, 2]
    setting.nack(1)
    setting.nack(2)
    setting.now += 2.0
    assert setting.send() == [1]
    # it is in flight: there is nothing to do until it is settled
    assert setting.send() == []
    setting.delivery.save_cursor(now=True)
    assert setting.delivery.due(9.0, sending=True) == 9.0
    setting.nack(3)
    setting.now += 4.0
    assert setting.send() == [1]
    setting.ack(4)
    assert [setting.send(), setting.send()] == [[2], [3]]


def test_a_queue_that_refuses_holds_others_up_for_a_while_only() -> None:
    """A broker that takes nothing for long may have one full queue: then the rest goes on."""
    setting = _Setting(_statuses(1, 2, 3, 4), MemoryCursors(amqp_publisher=0), resend_first=9.0)
    assert setting.send(2) == [1, 2]
    setting.nack(1)
    setting.nack(2)
    assert setting.send() == []
    setting.now += 31.0
    assert setting.send() == [1, 2]
    setting.nack(3)
    setting.nack(4)
    assert setting.send() == [3, 4]


def test_a_queue_that_refuses_holds_nobody_up_where_others_are_taken() -> None:
    """A full queue is its consumer's trouble, not that of the others."""
    setting = _Setting(_statuses(1, 2, 3), MemoryCursors(amqp_publisher=0), resend_first=99.0)
    assert setting.send(2) == [1, 2]
    setting.ack(1)
    setting.nack(2)
    assert setting.send() == [3]


def test_a_resend_after_a_lost_connection_is_the_same_message() -> None:
    """Sent once, a folded message is never folded again, though newer progress has come."""
    events = [make_event(n, revision=n, kind=EventKind.PROGRESS) for n in range(1, 6)]
    setting = _Setting(MemoryJournal(events), MemoryCursors(amqp_publisher=0), fold_above=2)
    first = setting.delivery.next_batch(64)
    setting.journal.append(make_event(6, revision=6))
    setting.delivery.events_came()
    setting.delivery.connection_lost()
    assert setting.delivery.next_batch(64) == first
    assert setting.send() == [6]


def test_status_is_all_there_when_folding() -> None:
    """A channel that is behind skips progress only, and says which revisions it stands for."""
    journal = MemoryJournal(
        [
            make_event(n, revision=n, kind=EventKind.PROGRESS if n % 10 else EventKind.STATUS)
            for n in range(1, 101)
        ]
    )
    setting = _Setting(journal, MemoryCursors(amqp_publisher=0), fold_above=50)
    batch = setting.delivery.next_batch(64)
    assert [message.message_id for message in batch] == [f"event-{n}" for n in range(10, 101, 10)]
    assert [m.headers["pulpit-previous"] for m in batch] == list(range(0, 100, 10))
    assert setting.delivery.folded == 90


def test_what_a_killed_run_folded_is_not_unfolded() -> None:
    """After a kill no progress arrives late under an id of its own; the next event tells it."""
    events = [make_event(n, revision=n, kind=EventKind.PROGRESS) for n in range(1, 5)]
    journal = MemoryJournal([*events, make_event(5, revision=5)])
    cursors = MemoryCursors(amqp_publisher=0)
    assert _Setting(journal, cursors, fold_above=2).send() == [5]
    # the next run has a smaller part to catch up, and would not fold it
    cursors.save(CURSOR, 2)
    journal.append(make_event(6, revision=6, kind=EventKind.PROGRESS))
    after = _Setting(journal, cursors, fold_above=20)
    batch = after.delivery.next_batch(64)
    assert [(m.message_id, m.headers["pulpit-previous"]) for m in batch] == [
        ("event-5", 2),
        ("event-6", 5),
    ]


def test_held_progress_keeps_the_cursor_below_it() -> None:
    """Progress that waits for the next event of its task is not behind the cursor."""
    events = [make_event(n, revision=n, kind=EventKind.PROGRESS) for n in range(1, 5)]
    journal, cursors = MemoryJournal([*events]), MemoryCursors(amqp_publisher=0)
    assert _Setting(journal, cursors, fold_above=2).send() == [4]
    setting = _Setting(journal, cursors, fold_above=2)
    assert setting.send() == []
    assert (setting.delivery.cursor, setting.delivery.drained) == (0, True)
    journal.append(make_event(5, revision=5))
    setting.delivery.events_came()
    (message,) = setting.delivery.next_batch(64)
    assert (message.message_id, message.headers["pulpit-previous"]) == ("event-5", 0)
    setting.ack(1)
    assert setting.delivery.cursor == 5


def test_nothing_is_folded_when_that_can_not_be_kept() -> None:
    """A run whose folding nobody would know of sends all as it is."""

    class Refusing(MemoryCursors):
        """Refuses everything."""

        def save(self, name: str, sequence: int) -> None:
            raise OSError("disk full")

    events = [make_event(n, revision=n, kind=EventKind.PROGRESS) for n in range(1, 5)]
    setting = _Setting(MemoryJournal(events), Refusing(amqp_publisher=0), fold_above=2)
    assert setting.send() == [1, 2, 3, 4]
    assert setting.delivery.folded == 0


def test_large_bodies_are_folded_though_reads_are_short() -> None:
    """Reads that are cut short for the sake of memory show that the channel is behind, too."""
    events = [
        make_event(n, revision=n, kind=EventKind.PROGRESS, body=b"x" * (1 << 20))
        for n in range(1, 30)
    ]
    setting = _Setting(
        MemoryJournal(events), MemoryCursors(amqp_publisher=0), fold_above=20, read_ahead=8
    )
    assert setting.send() == [8]
    assert setting.send() == [16]


def test_a_channel_that_keeps_up_folds_nothing() -> None:
    """As long as reads are short, each progress event is a message."""
    events = [make_event(n, revision=n, kind=EventKind.PROGRESS) for n in range(1, 11)]
    setting = _Setting(MemoryJournal(events), MemoryCursors(amqp_publisher=0), fold_above=10)
    assert setting.send() == list(range(1, 11))


def test_a_journal_that_can_not_be_read_is_told_once_and_read_later() -> None:
    """Events wait while the database is away; the connection to the broker is none the worse."""

    class Away(MemoryJournal):
        """Is read once it may be."""

        away = True

        def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Any:
            if self.away:
                raise DatabaseUnavailable("refused")
            return super().read(after, limit, most_bytes=most_bytes)

    journal = Away([make_event(1), make_event(2)])
    setting = _Setting(journal, MemoryCursors(amqp_publisher=0))
    assert setting.send() == setting.send() == []
    assert not setting.delivery.drained
    assert [entry["error"] for entry in setting.logged.entries] == [
        "The database can't be used now: refused"
    ]
    journal.away = False
    assert setting.send() == [1, 2]


def test_a_gap_is_told_and_skipped() -> None:
    """Events deleted before they were sent: the log says which, and it goes on at the oldest."""
    journal = _statuses(*range(1, 10))
    setting = _Setting(journal, MemoryCursors(amqp_publisher=2))
    journal.forget(6)
    assert setting.send() == [7, 8, 9]
    (entry,) = setting.logged.entries
    assert (entry["log_level"], entry["after"], entry["up_to"]) == ("error", 2, 6)


def test_a_cursor_ahead_of_the_journal_is_told() -> None:
    """A database that was restored from a copy: what is new is sent."""
    setting = _Setting(_statuses(1, 2), MemoryCursors(amqp_publisher=50))
    assert setting.send() == [1, 2]
    assert setting.logged.entries[0]["after"] == 50


def test_the_saved_cursor_is_under_its_documented_name() -> None:
    """The part that turns the publisher off must find the cursor to drop it."""
    setting = _Setting(_statuses(1), MemoryCursors())
    setting.delivery.save_cursor(now=True)
    assert setting.cursors.load(CURSOR) == 1
