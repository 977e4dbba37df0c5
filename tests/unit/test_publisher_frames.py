"""Frames: out as py-amqp would write them, in from anybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace

import amqp
import pamqp.frame
import pytest
from amqp import spec
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st
from pamqp.header import ContentHeader

from pulpit.domain.events import Event, EventKind
from pulpit.domain.tasks import TaskState
from pulpit.events.amqp.frames import (
    HEARTBEAT,
    Blocked,
    Closed,
    Confirm,
    FrameReader,
    MalformedFrame,
    PublishEncoder,
)
from pulpit.events.message import EXCHANGE, Message, message_of
from tests.services.journal import make_event

FRAME_MAX = 4096


def _written_by_the_library(message: Message, frame_max: int) -> bytes:
    """Return what py-amqp writes for the same message."""
    written = bytearray()
    content = amqp.Message(
        message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        application_headers=dict(message.headers),
        delivery_mode=message.delivery_mode,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )
    connection = SimpleNamespace(frame_max=frame_max, bytes_sent=0)
    write = frame_writer(connection, SimpleNamespace(write=written.extend))
    arguments = dumps("Bssbb", (0, EXCHANGE, message.routing_key, False, False))
    write(1, 1, spec.Basic.Publish, arguments, content)
    return bytes(written)


@pytest.mark.parametrize(
    "size",
    [0, 1, 1500, FRAME_MAX - 9, FRAME_MAX - 8, FRAME_MAX - 7, 3 * (FRAME_MAX - 8), 100_000],
)
def test_frames_are_those_of_the_library(size: int) -> None:
    """Bodies of every size are framed byte for byte alike."""
    message = message_of(make_event(7, body=b"x" * size), source="https://pulp.example.com/")
    encoder = PublishEncoder(exchange=EXCHANGE, frame_max=FRAME_MAX)
    assert encoder.encode(message) == _written_by_the_library(message, FRAME_MAX)


def _texts(longest: int) -> st.SearchStrategy[str]:
    """Return texts of any alphabet, and with what a format might stumble on."""
    return st.text(max_size=longest) | st.sampled_from(["", "%", "%b%%s", "\x00", "{}"])


_EVENTS = st.builds(
    Event,
    sequence=st.integers(0, 2**63 - 1),
    id=_texts(60),
    kind=st.sampled_from(EventKind),
    type=_texts(60),
    task_id=st.none() | _texts(60),
    revision=st.integers(0, 2**31 - 1),
    previous=st.integers(0, 2**31 - 1),
    state=st.none() | st.sampled_from(TaskState),
    tags=st.just(()),
    time=st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    body=st.binary(max_size=5000),
)


@given(st.lists(st.tuples(_EVENTS, _texts(40)), min_size=1, max_size=6))
def test_any_events_are_framed_alike(told: list[tuple[Event, str]]) -> None:
    """One encoder writes event after event, of any types and sources, as the library does."""
    encoder = PublishEncoder(exchange=EXCHANGE, frame_max=FRAME_MAX)
    for event, source in told:
        message = message_of(event, source=source)
        assert encoder.encode(message) == _written_by_the_library(message, FRAME_MAX)


@given(_EVENTS, _EVENTS, _texts(40))
def test_events_of_one_type_share_nothing_that_differs(
    first: Event, second: Event, source: str
) -> None:
    """What is kept of an event for the next one of its type is the same for both."""
    encoder = PublishEncoder(exchange=EXCHANGE, frame_max=FRAME_MAX)
    for event in (first, replace(second, type=first.type, kind=first.kind)):
        message = message_of(event, source=source)
        assert encoder.encode(message) == _written_by_the_library(message, FRAME_MAX)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_revisions_of_any_size_arrive(revision: int, previous: int) -> None:
    """Beyond 31 bits, where the library writes type L, it is RabbitMQ's type for 64 bits, l."""
    event = replace(make_event(7, body=b""), revision=revision, previous=previous)
    message = message_of(event, source="urn:x")
    data = PublishEncoder(exchange=EXCHANGE, frame_max=FRAME_MAX).encode(message)
    used, _, _ = pamqp.frame.unmarshal(data)
    _, _, header = pamqp.frame.unmarshal(data[used:])
    assert isinstance(header, ContentHeader)
    assert header.properties.headers == message.headers


def _method(channel: int, payload: bytes) -> bytes:
    """Return a method frame."""
    return (
        b"\x01" + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + b"\xce"
    )


ACK = _method(1, bytes.fromhex("003c0050") + (7).to_bytes(8, "big") + b"\x01")
NACK = _method(1, bytes.fromhex("003c0078") + (8).to_bytes(8, "big") + b"\x02")
CLOSE = _method(1, bytes.fromhex("00140028") + b"\x01\x94\x09NOT_FOUND" + b"\x00\x3c\x00\x28")
BLOCKED = _method(0, bytes.fromhex("000a003c") + b"\x03low")
UNBLOCKED = _method(0, bytes.fromhex("000a003d"))
OTHER = _method(1, bytes.fromhex("00140014") + b"\x01")
STREAM = HEARTBEAT + ACK + NACK + BLOCKED + OTHER + UNBLOCKED + CLOSE
NEWS = [
    Confirm(tag=7, multiple=True, taken=True),
    Confirm(tag=8, multiple=False, taken=False),
    Blocked(blocked=True),
    Blocked(blocked=False),
    Closed(code=404, text="NOT_FOUND"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_frames_may_come_in_any_pieces(cuts: list[int]) -> None:
    """However the network cuts the stream, it tells the same."""
    reader = FrameReader(frame_max=FRAME_MAX)
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(places)]
    assert [news for piece in pieces for news in reader.feed(piece)] == NEWS


@given(st.lists(st.binary(max_size=200) | st.sampled_from([ACK, CLOSE, HEARTBEAT]), max_size=8))
def test_rubbish_is_refused_as_such(pieces: list[bytes]) -> None:
    """A peer that speaks something else makes no other error."""
    reader = FrameReader(frame_max=FRAME_MAX)
    try:
        for piece in pieces:
            reader.feed(piece)
    except MalformedFrame:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x00\x01\x7f\xff\xff\xff\x00",
        ACK[:-1] + b"\x00",
        _method(1, bytes.fromhex("003c0050") + b"\x00"),
        _method(1, bytes.fromhex("000a0032")),
    ],
    ids=["too long", "no end", "short ack", "short close"],
)
def test_malformed_frames(data: bytes) -> None:
    """Frames that are too long, not ended or cut short are refused."""
    with pytest.raises(MalformedFrame):
        FrameReader(frame_max=FRAME_MAX).feed(data)
