"""Splitting a hostile stream into frames, and reading the methods in them."""

from __future__ import annotations

import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from pulpit.events.door.frames import (
    Frame,
    FrameSplitter,
    FrameType,
    decode_method,
    encode_frame,
    encode_method,
)
from pulpit.events.door.refusals import ConnectionRefusal


def splitter() -> FrameSplitter:
    """Return a splitter with the limits that a connection has after its login."""
    return FrameSplitter(frame_max=131_072, method_bytes=16_384)


def drain(frames: FrameSplitter) -> list[Frame]:
    """Return all whole frames."""
    found = []
    while (frame := frames.next()) is not None:
        found.append(frame)
    return found


def sent(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


FRAMES = st.one_of(
    st.tuples(st.just(1), st.integers(0, 65_535), st.binary(max_size=300)),
    st.tuples(st.sampled_from([2, 3]), st.integers(0, 65_535), st.binary(max_size=3_000)),
    st.just((8, 0, b"")),
)


@given(st.lists(FRAMES, max_size=12), st.data())
def test_frames_arrive_whole_wherever_the_stream_is_cut(
    frames: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    """The same frames come out, in order, however the stream is cut; content is left out."""
    stream = b"".join(sent(*frame) for frame in frames)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    split, found = splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        split.feed(stream[start:end])
        found += drain(split)
    assert found == [
        Frame(kind, channel, payload if kind == FrameType.METHOD else b"")
        for kind, channel, payload in frames
    ]
    assert len(split) == 0


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_random_octets_never_break_the_splitter(chunks: list[bytes]) -> None:
    """Whatever comes, there are frames, a refusal, or a wait for more; and little is held."""
    split = splitter()
    for chunk in chunks:
        split.feed(chunk)
        with suppress(ConnectionRefusal):
            for kind, _, payload in drain(split):
                if kind == FrameType.METHOD:
                    decode_method(payload)
    assert len(split) <= 16_384 + 8


@given(st.sampled_from(sorted(commands.INDEX_MAPPING)), st.binary(max_size=400))
def test_random_arguments_are_read_or_refused(index: int, arguments: bytes) -> None:
    """The arguments of any method are read, or refused; nothing else is raised."""
    with suppress(ConnectionRefusal):
        decode_method(struct.pack(">I", index) + arguments)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (struct.pack(">BHI", 1, 1, 16_385), 501),
        (struct.pack(">BHI", 1, 1, 0xFFFFFFFF), 501),
        (struct.pack(">BHI", 2, 1, 131_065), 501),
        (struct.pack(">BHI", 3, 1, 0xFFFFFFFF), 501),
        (struct.pack(">BHI", 8, 0, 1), 501),
        (struct.pack(">BHI", 8, 1, 0), 505),
        (struct.pack(">BHI", 0, 0, 0), 501),
        (struct.pack(">BHI", 4, 0, 0), 501),
        (struct.pack(">BHI", 8, 0, 0) + b"\0", 501),
        (struct.pack(">BHI", 1, 1, 1) + b"ab", 501),
        (struct.pack(">BHI", 3, 1, 1) + b"ab", 501),
    ],
)
def test_bad_frames_are_refused_as_soon_as_their_header_shows(octets: bytes, code: int) -> None:
    """A limit is checked before the payload is there; nothing is read after an error."""
    split = splitter()
    split.feed(octets)
    with pytest.raises(ConnectionRefusal) as refused:
        split.next()
    assert refused.value.code == code
    split.feed(b"x" * 100)
    assert split.next() is None
    assert len(split) == 0


def test_content_is_not_held() -> None:
    """A large body is left out as it arrives."""
    split = splitter()
    split.feed(struct.pack(">BHI", 3, 1, 100_000))
    for _ in range(100):
        assert split.next() is None
        split.feed(b"x" * 1_000)
        assert split.next() is None
        assert len(split) == 0
    split.feed(b"\xce")
    assert split.next() == Frame(3, 1, b"")


def test_deep_tables_are_refused() -> None:
    """A table nested past the interpreter's depth is refused, not an error of ours."""
    table = b""
    for _ in range(2_000):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    arguments = struct.pack(">HBB", 0, 0, 0) + struct.pack(">I", len(table)) + table
    with pytest.raises(ConnectionRefusal):
        decode_method(struct.pack(">HH", 50, 10) + arguments)


def test_the_largest_table_is_read_quickly() -> None:
    """The cap of a method frame keeps the codec's quadratic arrays short."""
    array = b"A" + struct.pack(">I", 16_300) + b"V" * 16_300
    table = b"\x01a" + array
    arguments = struct.pack(">HBB", 0, 0, 0) + struct.pack(">I", len(table)) + table
    started = time.process_time()
    decode_method(struct.pack(">HH", 50, 10) + arguments)
    assert time.process_time() - started < 0.5


def test_methods_are_encoded_as_they_are_read() -> None:
    """A method that is encoded and split is the same one."""
    split = splitter()
    split.feed(encode_method(7, commands.Basic.Qos(prefetch_count=9)))
    frame = split.next()
    assert frame is not None
    assert frame.channel == 7
    assert dict(decode_method(frame.payload))["prefetch_count"] == 9
    assert encode_frame(FrameType.HEARTBEAT, 0, b"") == b"\x08\0\0\0\0\0\0\xce"
