"""The publisher's thread, with links that fail on purpose."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition
from threading import Event as Flag
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from pulpit.domain.events import Event
from pulpit.errors import ConfigurationError, DatabaseUnavailable, Fenced
from pulpit.events.amqp import Publisher, PublisherSettings, Reason
from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.connecting import always
from pulpit.events.amqp.frames import Confirm
from pulpit.events.amqp.link import Link, LinkError, LinkOptions
from pulpit.events.amqp.wake import Wake
from pulpit.events.message import Message
from tests.services import PATIENCE, until
from tests.services.journal import MemoryCursors, MemoryJournal, make_event


class FakeBroker:
    """Opens links as its script says: an error is raised, a number confirms so many, then fails."""

    def __init__(self, *script: LinkError | Exception | int) -> None:
        self._script = list(script)
        self._changed = Condition()
        self.tried: list[str] = []
        self.received: list[Message] = []
        self.blocked = False
        self.links: list[FakeLink] = []

    def connect(self, address: Address, options: LinkOptions) -> FakeLink:
        """Open the next link; after the script, good ones."""
        with self._changed:
            self.tried.append(address.host)
            act = self._script.pop(0) if self._script else 1 << 30
            self._changed.notify_all()
        if isinstance(act, Exception):
            raise act
        self.links.append(FakeLink(self, act))
        return self.links[-1]

    def take(self, messages: list[Message]) -> None:
        """Keep what was published."""
        with self._changed:
            self.received += messages
            self._changed.notify_all()

    def await_tries(self, count: int) -> None:
        """Wait until so many connections were tried."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.tried) >= count, PATIENCE)

    def await_received(self, count: int) -> list[str]:
        """Wait for so many messages; return the ids of all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, PATIENCE)
            return [message.message_id for message in self.received]


class FakeLink:
    """A link that confirms at once."""

    backed_up = False

    def __init__(self, broker: FakeBroker, confirms: int) -> None:
        self._broker, self._left = broker, confirms
        self._tag = 0
        self._confirms: list[Confirm] = []
        self._news = Wake()
        self.closed = self.dropped = False

    @property
    def blocked(self) -> bool:
        """As the broker is."""
        return self._broker.blocked

    def publish(self, messages: list[Message]) -> None:
        """Take messages; confirm as many as the script allows."""
        self._broker.take(messages)
        for _ in messages:
            self._tag += 1
            if self._left:
                self._left -= 1
                self._confirms.append(Confirm(tag=self._tag, multiple=False, taken=True))
        self._news.ring()

    def receive(self) -> list[Confirm]:
        """Return the confirms, then fail if the script says so."""
        self._news.hear()
        confirms, self._confirms = self._confirms, []
        if not confirms and not self._left:
            raise LinkError("cut off")
        return confirms

    def wait(self, *wakers: Any, timeout: float) -> None:
        """Wait for confirms or wakers."""
        select.select([self._news, *wakers], [], [], timeout)

    def drop(self) -> None:
        """Remember it."""
        self.dropped = True
        self.close()

    def close(self) -> None:
        """Remember it."""
        self.closed = True
        self._news.close()


class FailingJournal(MemoryJournal):
    """Fails at the first two reads."""

    failures = 2

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        if self.failures:
            self.failures -= 1
            raise OSError("database is locked")
        return super().read(after, limit, most_bytes=most_bytes)


@contextmanager
def _running(
    broker: FakeBroker, journal: MemoryJournal, cursors: MemoryCursors, **settings: Any
) -> Iterator[tuple[Publisher, LogCapture]]:
    """Yield a started publisher; stop it in the end."""
    logged = LogCapture()
    may_publish = settings.pop("may_publish", always)
    quick = {"retry_first": 0.001, "retry_longest": 0.002, "retry_refused": 0.01}
    publisher = Publisher(
        PublisherSettings(**({"urls": "amqp://me:secret@a"} | quick | settings)),
        source=journal,
        cursors=cursors,
        event_source_uri="urn:x",
        log=structlog.wrap_logger(None, processors=[logged]),
        may_publish=may_publish,
        connect=broker.connect,
    )
    publisher.start()
    try:
        yield publisher, logged
    finally:
        publisher.stop()


def _journal(count: int) -> MemoryJournal:
    """Return a journal of status events."""
    return MemoryJournal([make_event(number) for number in range(1, count + 1)])


def _ids(*numbers: int) -> list[str]:
    """Return the message ids of these events."""
    return [f"event-{number}" for number in numbers]


class AwayCursors(MemoryCursors):
    """Cursors whose database is away for some calls."""

    calls = 2

    def load(self, name: str) -> int | None:
        if self.calls:
            self.calls -= 1
            raise DatabaseUnavailable("gone")
        return super().load(name)


def test_a_publisher_that_starts_while_the_database_is_away_goes_on_once_it_is_back() -> None:
    """Else a change of the settings at the wrong moment would end publishing for good."""
    broker, journal, cursors = FakeBroker(), _journal(7), AwayCursors(amqp_publisher=3)
    with _running(broker, journal, cursors) as (publisher, logged):
        assert broker.await_received(4) == _ids(4, 5, 6, 7)
        assert publisher.status().connected
    told = [entry["event"] for entry in logged.entries if entry["log_level"] == "warning"]
    assert told == ["Events are not published until the database can be read again"]


def test_events_arrive_in_order_and_the_cursor_follows() -> None:
    """What is there and what comes is published; stopping saves how far it came."""
    broker, journal, cursors = FakeBroker(), _journal(200), MemoryCursors(amqp_publisher=0)
    with _running(broker, journal, cursors) as (publisher, _):
        broker.await_received(200)
        journal.append(make_event(201))
        assert broker.await_received(201) == _ids(*range(1, 202))
    assert cursors.load("amqp-publisher") == 201
    status = publisher.status()
    assert (status.connected, status.published, status.confirmed) == (False, 201, 201)
    assert status.lag == 0
    assert broker.links[0].closed


def test_stopping_sends_what_was_written_before() -> None:
    """Events committed just before the end still go out."""
    broker, journal, cursors = FakeBroker(), MemoryJournal(), MemoryCursors()
    with _running(broker, journal, cursors):
        broker.await_tries(1)
        journal.append(*[make_event(number) for number in range(1, 1001)])
    assert len(broker.received) == 1000
    assert cursors.load("amqp-publisher") == 1000


def test_a_lost_connection_is_opened_again_and_nothing_is_lost() -> None:
    """Unconfirmed messages come again, the same, before newer ones."""
    broker = FakeBroker(3, 2)
    with _running(broker, _journal(6), MemoryCursors(amqp_publisher=0)) as (publisher, logged):
        received = broker.await_received(6 + 3 + 1)
    assert received == _ids(1, 2, 3, 4, 5, 6, 4, 5, 6, 6)
    assert broker.received[3] == broker.received[6]
    assert publisher.status().resent == 4
    assert publisher.status().last_error == "cut off"
    warnings = [entry for entry in logged.entries if entry["log_level"] == "warning"]
    assert "cut off" in warnings[0]["event"]


def test_a_connection_that_ends_in_disorder_loses_nothing() -> None:
    """Whatever comes of its end, tags count anew on the next one: no confirm settles another."""

    class Messy(FakeLink):
        """Fails in its end too."""

        def close(self) -> None:
            super().close()
            raise KeyError("frame of a channel that is not there")

    class MessyBroker(FakeBroker):
        """Its first link is messy."""

        def connect(self, address: Address, options: LinkOptions) -> FakeLink:
            link = super().connect(address, options)
            if len(self.links) == 1:
                self.links[0] = link = Messy(self, 2)
            return link

    broker, cursors = MessyBroker(2), MemoryCursors(amqp_publisher=0)
    with _running(broker, _journal(6), cursors):
        assert broker.await_received(6 + 4) == _ids(1, 2, 3, 4, 5, 6, 3, 4, 5, 6)
    assert cursors.load("amqp-publisher") == 6


def test_the_end_of_a_connection_raises_nothing() -> None:
    """Half a frame, already read, breaks the library in ways of its own."""

    class Connection:
        """As the library's; its peer is out of step."""

        frame_max, heartbeat, collected = 131_072, 0, False

        def __init__(self) -> None:
            self.sock = socket.socket()

        def close(self) -> None:
            """Fail as the library does for a channel that it does not know."""
            raise KeyError(7)

        def collect(self) -> None:
            """Let go of the socket."""
            self.collected = True
            self.sock.close()

    connection = Connection()
    Link(connection, Address(host="a", port=5672), who="guest").close()
    assert connection.collected


def test_brokers_are_tried_in_turn() -> None:
    """With several URLs the next one is tried at once."""
    down = LinkError("no connection")
    broker = FakeBroker(down, down, down)
    settings = {"urls": "amqp://a;amqp://b", "retry_first": 0.001}
    with _running(broker, _journal(1), MemoryCursors(amqp_publisher=0), **settings) as (pub, _):
        broker.await_received(1)
        assert broker.tried == ["a", "b", "a", "b"]
        assert pub.status().url == "amqp://b:5672/"


def test_a_refusal_is_told_once_and_tried_again() -> None:
    """Wrong credentials make one line in the log, without the password, and no end of tries."""
    refused = LinkError("wrong password", refused=True)
    broker = FakeBroker(*[refused] * 5)
    with _running(broker, _journal(1), MemoryCursors(amqp_publisher=0)) as (_, logged):
        broker.await_received(1)
    errors = [entry for entry in logged.entries if entry["log_level"] == "error"]
    assert len(errors) == 1
    assert errors[0]["url"] == "amqp://me@a:5672/"
    assert "secret" not in repr(logged.entries)


def test_the_own_door_ends_the_publisher() -> None:
    """It says so, and tries no more."""
    broker = FakeBroker(LinkError("that is our own door", reason=Reason.OWN_DOOR, refused=True))
    with _running(broker, _journal(1), MemoryCursors(amqp_publisher=0)) as (publisher, logged):
        broker.await_tries(1)
        publisher.stop()
    assert broker.tried == ["a"]
    assert publisher.status().last_error == "that is our own door"
    assert [entry["log_level"] for entry in logged.entries] == ["error"]


def test_an_error_of_the_journal_does_not_end_it() -> None:
    """A database that fails for a moment is asked again."""
    broker, journal = FakeBroker(), FailingJournal([make_event(1)])
    with _running(broker, journal, MemoryCursors(amqp_publisher=0)) as (_, logged):
        assert broker.await_received(1) == _ids(1)
    assert any("database is locked" in repr(entry) for entry in logged.entries)


def test_a_blocked_broker_is_told_and_gets_nothing() -> None:
    """Nothing is sent while the broker has an alarm, and stopping does not wait for its end."""
    broker, journal, cursors = FakeBroker(), _journal(3), MemoryCursors(amqp_publisher=0)
    broker.blocked = True
    with _running(broker, journal, cursors) as (publisher, logged):
        broker.await_tries(1)
        journal.append(*[make_event(number) for number in range(4, 5001)])
    assert broker.received == []
    # what waits does so in the journal, not in memory
    assert journal.reads == []
    assert cursors.load("amqp-publisher") == 0
    assert any("memory and disk alarms" in entry["event"] for entry in logged.entries)
    assert "alarm" in (publisher.status().last_error or "")


def test_wrong_urls_are_refused_at_once() -> None:
    """Configuration errors come before the thread does."""
    with pytest.raises(ConfigurationError):
        Publisher(
            PublisherSettings(urls="http://x"),
            source=MemoryJournal(),
            cursors=MemoryCursors(),
            event_source_uri="urn:x",
            log=structlog.wrap_logger(None, processors=[LogCapture()]),
        )


def test_pulp_2_spellings_make_a_note() -> None:
    """qpid:// is read as AMQP and the log says so."""
    with _running(FakeBroker(), MemoryJournal(), MemoryCursors(), urls="qpid://a") as (_, logged):
        pass
    assert logged.entries[0]["note"] == "qpid:// is read as amqp:// (AMQP 0-9-1)"


def test_turned_on_it_keeps_its_start() -> None:
    """The head at the start is saved, so that a crash before the first confirm loses nothing."""
    cursors = MemoryCursors()
    with _running(FakeBroker(LinkError("down")), _journal(7), cursors):
        assert cursors.history == [7]


def test_the_own_door_among_others_is_left_out() -> None:
    """It is told once and never tried again; the other brokers are used."""
    door = LinkError("that is our own door", reason=Reason.OWN_DOOR, refused=True)
    down = LinkError("down", reason=Reason.UNREACHABLE)
    broker = FakeBroker(door, down, down, 1)
    urls = "amqp://door;amqp://a;amqp://b"
    with _running(broker, _journal(2), MemoryCursors(amqp_publisher=0), urls=urls):
        broker.await_received(3)
    assert broker.tried[:4] == ["door", "a", "b", "a"]
    assert "door" not in broker.tried[1:]


def test_a_failure_is_told_once_until_messages_are_confirmed() -> None:
    """Connections that are lost before they confirm anything add no lines; each is counted."""
    broker = FakeBroker(1, 0, 0, 0)
    with _running(broker, _journal(2), MemoryCursors(amqp_publisher=0)) as (publisher, logged):
        broker.await_received(2 + 1)
        publisher.stop()
        status = publisher.status()
    told = [entry["event"] for entry in logged.entries]
    assert told == [
        "Events are published to the broker",
        "Events can't be published: cut off",
        "Events are published to the broker",
    ]
    assert status.failures[Reason.LOST] == 4
    assert status.reason is None
    assert status.last_error == "cut off"


def test_reasons_that_take_turns_are_each_told_once() -> None:
    """Two brokers with troubles of their own don't fill the log."""
    one = LinkError("wrong password", reason=Reason.REFUSED_CREDENTIALS, refused=True)
    two = LinkError("no route", reason=Reason.UNREACHABLE)
    broker = FakeBroker(*[one, two] * 5)
    urls = {"urls": "amqp://a;amqp://b"}
    with _running(broker, _journal(1), MemoryCursors(amqp_publisher=0), **urls) as (_, logged):
        broker.await_received(1)
    assert [entry["log_level"] for entry in logged.entries] == ["error", "warning", "info"]


def test_the_journal_is_no_fault_of_a_broker() -> None:
    """After an error of the database the same broker is used again."""
    broker, journal = FakeBroker(), FailingJournal([make_event(1)])
    urls = {"urls": "amqp://a;amqp://b"}
    with _running(broker, journal, MemoryCursors(amqp_publisher=0), **urls) as (publisher, _):
        broker.await_received(1)
    assert broker.tried == ["a", "a", "a"]
    assert publisher.status().failures[Reason.DEFECT] == 2


def test_a_thread_that_hangs_in_a_connection_is_left_to_itself() -> None:
    """Stopping takes its time and no more; what hung saves no cursor and publishes nothing."""
    broker, cursors, hangs, goes_on = FakeBroker(), MemoryCursors(), Flag(), Flag()

    def connect(address: Address, options: LinkOptions) -> FakeLink:
        """Answer when the test says so."""
        hangs.set()
        assert goes_on.wait(PATIENCE)
        return broker.connect(address, options)

    logged = LogCapture()
    publisher = Publisher(
        PublisherSettings(urls="amqp://a"),
        source=_journal(3),
        cursors=cursors,
        event_source_uri="urn:x",
        log=structlog.wrap_logger(None, processors=[logged]),
        connect=connect,
    )
    cursors.save("amqp-publisher", 0)
    publisher.start()
    assert hangs.wait(PATIENCE)
    (thread,) = [each for each in threading.enumerate() if each.name == "amqp-publisher"]
    publisher.stop(timeout=0.1)
    assert "did not stop in time" in logged.entries[-1]["event"]
    # meanwhile another one, at another broker, has come further
    cursors.save("amqp-publisher", 3)
    goes_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert cursors.load("amqp-publisher") == 3
    assert broker.received == []


def test_who_may_publish_no_longer_sends_and_saves_nothing() -> None:
    """Another process publishes by now: what is unconfirmed is left to it, with the connection."""
    broker, journal, cursors = FakeBroker(), _journal(3), MemoryCursors(amqp_publisher=0)
    may = Flag()
    may.set()
    with _running(broker, journal, cursors, may_publish=may.is_set) as (publisher, logged):
        broker.await_received(3)
        until(lambda: publisher.status().lag == 0)
        saved = list(cursors.history)
        may.clear()
        journal.append(*[make_event(number) for number in range(4, 10)])
        until(lambda: broker.links and broker.links[0].dropped)
    assert len(broker.received) == 3
    assert cursors.history == saved
    assert [entry["log_level"] for entry in logged.entries] == ["info"]


def test_a_cursor_that_another_process_has_ends_it() -> None:
    """The database knows better who publishes; nothing more is sent."""

    class Fencing(MemoryCursors):
        """Refuses every save but the first."""

        def save(self, name: str, sequence: int) -> None:
            if self.history:
                raise Fenced
            super().save(name, sequence)

    broker, cursors = FakeBroker(), Fencing()
    journal = _journal(1)
    with _running(broker, journal, cursors):
        broker.await_tries(1)
        journal.append(make_event(2))
        until(lambda: broker.links and broker.links[0].dropped)
        journal.append(make_event(3))
    assert [message.message_id for message in broker.received] == _ids(2)
    assert cursors.history == [1]
