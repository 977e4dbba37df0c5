"""The frames of a message at the door: those that the publisher sends to a broker."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame

from pulpit.domain.events import Event
from pulpit.events.amqp.frames import PublishEncoder
from pulpit.events.door.contents import Content
from pulpit.events.message import EXCHANGE
from tests.door_server import progress, status, task_message


def content(event: Event) -> Content:
    return Content.of(task_message(event), event)


def published(event: Event, frame_max: int) -> bytes:
    """Return what the publisher writes on channel 1, without basic.publish before it."""
    data = PublishEncoder(exchange=EXCHANGE, frame_max=frame_max).encode(task_message(event))
    return data[struct.unpack_from(">I", data, 3)[0] + 8 :]


@given(
    st.binary(max_size=9_000),
    st.integers(1, (1 << 31) - 1),
    st.sampled_from([4_096, 131_072]),
    st.booleans(),
)
def test_both_ways_tell_the_same(
    body: bytes, revision: int, frame_max: int, is_status: bool
) -> None:
    """Properties, headers and body are octet for octet those that go to a broker."""
    event = (status if is_status else progress)("t", revision, body)
    told = content(event)
    assert told.frames(1, frame_max, told.previous) == published(event, frame_max)


@given(st.integers(1, 65_535), st.integers(4_096, 131_072), st.integers(0, 20_000))
def test_frames_fit_and_add_up(channel: int, frame_max: int, size: int) -> None:
    """Each frame is on its channel and within the size; the bodies add up."""
    data = content(status("t", 1, b"x" * size)).frames(channel, frame_max, 0)
    body = b""
    while data:
        used, on, value = frame.unmarshal(data)
        assert used <= frame_max
        assert on == channel
        body += getattr(value, "value", None) or b""
        data = data[used:]
    assert body == b"x" * size or (size == 0 and body.startswith(b"{"))


def test_frames_are_shared() -> None:
    """Consumers on the same channel number share one encoding, whatever frames they allow."""
    told = content(status("t", 1, b"x" * 1_500))
    assert told.frames(1, 4_096, 0) is told.frames(1, 131_072, 0)


def test_few_encodings_are_kept() -> None:
    """Clients of many channels and sizes can't multiply what a message takes."""
    told = content(status("t", 1, b"x" * 5_000))
    for number in range(100):
        told.frames(number + 1, 4_096 + number, 0)
    assert len(told._frames) <= 4
