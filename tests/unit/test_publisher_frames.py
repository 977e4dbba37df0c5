"""Frames: out as py-amqp would write them, in from anybody."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import amqp
import pytest
from amqp import spec
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

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


_TEXT = st.text(max_size=60)
_HEADERS = st.dictionaries(_TEXT, _TEXT | st.integers(-(2**31) + 1, 2**31 - 1), max_size=6)


@given(key=_TEXT, body=st.binary(max_size=200), identity=_TEXT, headers=_HEADERS)
def test_any_text_is_framed_alike(
    key: str, body: bytes, identity: str, headers: dict[str, str | int]
) -> None:
    """Names and values of all alphabets are written as the library writes them."""
    base = message_of(make_event(7), source="urn:x")
    message = replace(base, routing_key=key, body=body, message_id=identity, headers=headers)
    encoder = PublishEncoder(exchange=EXCHANGE, frame_max=131_072)
    assert encoder.encode(message) == _written_by_the_library(message, 131_072)


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
