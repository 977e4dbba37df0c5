"""Frames of AMQP 0-9-1 on the wire: splitting what arrives, encoding what leaves."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from pamqp import base, commands, exceptions

from pulpit.events.door.refusals import ConnectionRefusal
from pulpit.events.reply_codes import ReplyCode

__all__ = [
    "FRAME_OVERHEAD",
    "HEARTBEAT",
    "PROTOCOL_HEADER",
    "Frame",
    "FrameSplitter",
    "FrameType",
    "decode_method",
    "encode_frame",
    "encode_method",
    "short_string",
]

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
#: Octets of a frame beside its payload.
FRAME_OVERHEAD: Final = 8

_HEADER = struct.Struct(">BHI")
_INDEX = struct.Struct(">I")
_END = 0xCE


class FrameType(IntEnum):
    """The first octet of a frame."""

    METHOD = 1
    HEADER = 2
    BODY = 3
    HEARTBEAT = 8


_CONTENT = (FrameType.HEADER, FrameType.BODY)


class Frame(NamedTuple):
    """A frame that has arrived whole; the payload of content is left out, nobody reads it."""

    type: int
    channel: int
    payload: bytes


class FrameSplitter:
    """Cuts a stream into frames, checking limits as soon as a frame's header is there.

    It holds at most one method frame and what was fed since the last frame was taken.
    """

    def __init__(self, *, frame_max: int, method_bytes: int) -> None:
        #: Of a whole frame; the negotiated one once it is known.
        self.frame_max = frame_max
        #: Of a method frame's payload.
        self.method_bytes = method_bytes
        self._data = b""
        self._at = 0
        self._skipped: tuple[int, int] | None = None
        self._to_skip = 0
        self._broken = False

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Append what has arrived; after an error nothing more can be understood."""
        if self._broken:
            return
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def take(self, size: int) -> bytes | None:
        """Return the next *size* octets outside of any frame, or None when they are not there."""
        if len(self) < size:
            return None
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def next(self) -> Frame | None:
        """Return the next whole frame, or None.

        Raises:
            ConnectionRefusal: the stream holds no frame here, or one past the limits.
        """
        try:
            return self._next()
        except ConnectionRefusal:
            self._broken = True
            self._data, self._at = b"", 0
            raise

    def _next(self) -> Frame | None:
        """Return the next whole frame, or None where more must arrive."""
        if self._broken:
            return None
        if self._skipped is not None:
            return self._skip(*self._skipped)
        data, at = self._data, self._at
        if len(data) - at < _HEADER.size:
            return None
        kind, channel, size = _HEADER.unpack_from(data, at)
        self._check(kind, channel, size)
        if kind in _CONTENT:
            self._at = at + _HEADER.size
            self._skipped, self._to_skip = (kind, channel), size
            return self._skip(kind, channel)
        end = at + _HEADER.size + size
        if len(data) <= end:
            return None
        if data[end] != _END:
            raise ConnectionRefusal(ReplyCode.FRAME_ERROR, "a frame does not end with 0xCE")
        self._at = end + 1
        return Frame(kind, channel, data[at + _HEADER.size : end])

    def _check(self, kind: int, channel: int, size: int) -> None:
        """Refuse a header that no good frame can have."""
        if kind == FrameType.METHOD:
            if size > self.method_bytes:
                raise ConnectionRefusal(
                    ReplyCode.FRAME_ERROR,
                    f"a method frame of {size} octets; at most {self.method_bytes} are read",
                )
        elif kind in _CONTENT:
            if size + FRAME_OVERHEAD > self.frame_max:
                raise ConnectionRefusal(
                    ReplyCode.FRAME_ERROR,
                    f"a frame of {size + FRAME_OVERHEAD} octets; frame_max is {self.frame_max}",
                )
        elif kind != FrameType.HEARTBEAT:
            raise ConnectionRefusal(ReplyCode.FRAME_ERROR, f"unknown frame type {kind}")
        elif channel:
            raise ConnectionRefusal(ReplyCode.UNEXPECTED_FRAME, "a heartbeat goes on channel 0")
        elif size:
            raise ConnectionRefusal(ReplyCode.FRAME_ERROR, "a heartbeat has no payload")

    def _skip(self, kind: int, channel: int) -> Frame | None:
        """Leave out the payload of a content frame, as much of it as has arrived."""
        step = min(self._to_skip, len(self))
        self._at += step
        self._to_skip -= step
        if self._to_skip or not len(self):
            return None
        if self._data[self._at] != _END:
            raise ConnectionRefusal(ReplyCode.FRAME_ERROR, "a frame does not end with 0xCE")
        self._at += 1
        self._skipped = None
        return Frame(kind, channel, b"")


def decode_method(payload: bytes) -> base.Frame:
    """Return the method that a method frame carries.

    Raises:
        ConnectionRefusal: it is not one of AMQP 0-9-1, or its arguments can't be read.
    """
    if len(payload) < _INDEX.size:
        raise ConnectionRefusal(ReplyCode.FRAME_ERROR, "a method frame without a method")
    index = _INDEX.unpack_from(payload)[0]
    kind = commands.INDEX_MAPPING.get(index)
    if kind is None:
        raise ConnectionRefusal(
            ReplyCode.COMMAND_INVALID, f"unknown method {index >> 16}, {index & 0xFFFF}"
        )
    # all arguments are read below, and some constructors warn that a method is old
    method: base.Frame = object.__new__(kind)
    try:
        method.unmarshal(payload[_INDEX.size :])
    # a hostile table makes the codec raise more than its own errors
    except (
        exceptions.PAMQPException,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        RecursionError,
        OSError,
        struct.error,
    ) as error:
        raise ConnectionRefusal(
            ReplyCode.FRAME_ERROR, f"the arguments of {method.name} can't be read"
        ) from error
    return method


def encode_frame(kind: FrameType, channel: int, payload: bytes) -> bytes:
    """Return a frame."""
    return _HEADER.pack(kind, channel, len(payload)) + payload + b"\xce"


def encode_method(channel: int, method: base.Frame) -> bytes:
    """Return the frame of *method*."""
    return encode_frame(FrameType.METHOD, channel, _INDEX.pack(method.index) + method.marshal())


def short_string(text: str) -> bytes:
    """Return *text* with its length before it; at most 255 octets."""
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded
