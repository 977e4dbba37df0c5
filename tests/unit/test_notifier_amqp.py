"""The notifier of type amqp without a broker: configurations, frames, and what a carrier holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from threading import Condition
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from pulpit.config.settings import Messaging
from pulpit.domain.deliveries import Parcel
from pulpit.errors import InvalidValue, UnsupportedValue
from pulpit.events.amqp.addresses import Address, parse_addresses
from pulpit.events.amqp.frames import Confirm
from pulpit.events.amqp.reasons import LinkError
from pulpit.events.amqp.settings import PublisherSettings
from pulpit.events.amqp.turns import Turns
from pulpit.events.notifiers.amqp import AmqpNotifier
from pulpit.events.notifiers.amqp_carrier import BOUNDS, Bounds, Carrier, Job
from pulpit.events.notifiers.amqp_messages import frames_of
from tests.services import PATIENCE, until

PARCEL = Parcel(
    id="d1",
    event_type="task.error",
    sequence=7,
    event_id="j:7",
    task_id="t",
    time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    body=b"{}",
)
URL = "amqp://one/"


class FakeLink:
    """A connection that takes everything and confirms what the test has it confirm."""

    def __init__(self) -> None:
        self.blocked = self.backed_up = self.closed = False
        self.frame_max = 4096
        self.sent: list[bytes] = []
        self.lost: LinkError | None = None
        self._confirms: list[Confirm] = []
        self._news = Condition()

    def confirm(self, tag: int, *, multiple: bool = False, taken: bool = True) -> None:
        """Let the broker say of messages that it has taken them."""
        with self._news:
            self._confirms.append(Confirm(tag=tag, multiple=multiple, taken=taken))
            self._news.notify_all()

    def send(self, data: bytes) -> None:
        self.sent += data.split()

    def receive(self) -> list[Confirm]:
        if self.lost:
            raise self.lost
        with self._news:
            told, self._confirms = self._confirms, []
        return told

    def wait(self, *wakers: Any, timeout: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self._confirms or self.lost, min(timeout, 0.005))

    def close(self) -> None:
        self.closed = True


@contextmanager
def _carrying(*links: FakeLink | LinkError, bounds: Bounds = BOUNDS) -> Iterator[Carrier]:
    """Yield a carrier that is given these connections in turn."""
    given_out = iter(links)

    def connect(address: Address) -> FakeLink:
        link = next(given_out)
        if isinstance(link, LinkError):
            raise link
        return link

    settings = PublisherSettings(urls=URL, retry_first=0.01, retry_longest=0.02)
    carrier = Carrier(
        Turns(parse_addresses(URL), settings), connect=connect, log=None, bounds=bounds
    )
    try:
        yield carrier
    finally:
        carrier.stop()
        carrier.join(PATIENCE)


def _jobs(carrier: Carrier, *names: bytes) -> list[Job]:
    """Hand messages in; each is its name and a space on the wire."""
    jobs = [Job(frames=lambda _, name=name: name + b" ", size=10) for name in names]  # type: ignore[misc]
    assert all(map(carrier.take, jobs))
    return jobs


def _reason(job: Job) -> str:
    return job.done.result(PATIENCE).reason


def test_what_is_confirmed_is_delivered_and_what_is_refused_is_not() -> None:
    link = FakeLink()
    with _carrying(link) as carrier:
        jobs = _jobs(carrier, b"a", b"b", b"c", b"d")
        until(lambda: len(link.sent) == 4)
        link.confirm(2, multiple=True)
        link.confirm(4, taken=False)
        assert [_reason(jobs[number]) for number in (0, 1)] == ["", ""]
        assert "(nack)" in _reason(jobs[3])
        assert not jobs[2].done.done()
    assert _reason(jobs[2]) == "the server ends"
    assert link.closed


@pytest.mark.parametrize("bounds", [replace(BOUNDS, window=2), replace(BOUNDS, window_bytes=20)])
def test_no_more_than_the_window_is_under_way(bounds: Bounds) -> None:
    link = FakeLink()
    with _carrying(link, bounds=bounds) as carrier:
        _jobs(carrier, b"a", b"b", b"c")
        until(lambda: len(link.sent) == 2)
        link.confirm(1)
        until(lambda: link.sent == [b"a", b"b", b"c"])
        link.confirm(3, multiple=True)
        until(lambda: carrier.idle)


def test_what_nobody_waits_for_any_more_never_leaves() -> None:
    link = FakeLink()
    link.blocked = True
    with _carrying(link) as carrier:
        first, second = _jobs(carrier, b"a", b"b")
        until(lambda: carrier.trouble)
        first.done.cancel()
        link.blocked = False
        until(lambda: link.sent == [b"b"])
        link.confirm(1)
        assert not _reason(second)
        assert "memory and disk alarms" not in carrier.trouble


def test_what_was_sent_fails_with_the_connection_and_what_was_not_goes_by_the_next() -> None:
    first, second = FakeLink(), FakeLink()
    with _carrying(first, second, bounds=replace(BOUNDS, window=1)) as carrier:
        sent, waiting = _jobs(carrier, b"a", b"b")
        until(lambda: first.sent)
        first.lost = LinkError("the connection is lost")
        assert _reason(sent) == "the connection is lost"
        until(lambda: second.sent == [b"b"])
        second.confirm(1)
        assert not _reason(waiting)


def test_all_fail_while_there_is_no_connection() -> None:
    link = FakeLink()
    with _carrying(LinkError("nobody there"), link) as carrier:
        jobs = _jobs(carrier, b"a")
        assert _reason(jobs[0]) == "nobody there"
        (later,) = _jobs(carrier, b"c")
        until(lambda: link.sent == [b"c"])
        link.confirm(1)
        assert not _reason(later)


def test_it_ends_when_it_is_idle() -> None:
    link = FakeLink()
    with _carrying(link, bounds=replace(BOUNDS, idle=0.05)) as carrier:
        (job,) = _jobs(carrier, b"a")
        until(lambda: link.sent)
        link.confirm(1)
        assert not _reason(job)
        carrier.join(PATIENCE)
        assert link.closed
        assert not carrier.take(Job(frames=bytes, size=0))


@given(size=st.sampled_from([0, 1, 4087, 4088, 4089, 10_000]), exchange=st.text(max_size=40))
def test_any_exchange_and_size_of_body_makes_frames_that_are_read_again(
    size: int, exchange: str
) -> None:
    parcel = replace(PARCEL, body=b"x" * size)
    data = frames_of(parcel, exchange=exchange, source="urn:x", frame_max=4096)
    values: list[Any] = []
    while data:
        length, _, value = pamqp.frame.unmarshal(data)
        assert length <= 4096
        values.append(value)
        data = data[length:]
    publish, header, *bodies = values
    assert isinstance(publish, Basic.Publish)
    assert (publish.exchange, publish.routing_key) == (exchange, "pulp.server.task.error")
    assert isinstance(header, ContentHeader)
    assert header.body_size == size
    assert all(isinstance(body, ContentBody) for body in bodies)
    assert b"".join(body.value for body in bodies) == parcel.body


def _check(config: Any) -> None:
    AmqpNotifier(Messaging(), timeout=1, event_source="urn:x", log=None).check(config)


@pytest.mark.parametrize(
    "config", [{}, {"exchange": None}, {"exchange": ""}, {"exchange": "ü" * 63 + "x"}]
)
def test_a_configuration_that_can_be_used_passes(config: Any) -> None:
    _check(config)


@pytest.mark.parametrize("exchange", [3, ["a"], "a\n", "\x00", "ü" * 64, "\ud800"])
def test_an_exchange_that_cannot_be_one_is_refused(exchange: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        _check({"exchange": exchange})
    assert caught.value.names == ("exchange",)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(UnsupportedValue):
        _check({"exchange": "a", "excange": "b"})
