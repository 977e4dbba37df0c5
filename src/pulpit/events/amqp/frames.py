"""AMQP 0-9-1 frames of a channel in confirm mode: publishing out, confirms in.

A whole message is packed in one go, so that many of them leave in one write; a client library
packs, copies and writes each one by itself, and asks the socket for news in between.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from pulpit.domain.clock import render_time
from pulpit.domain.events import Event, EventKind
from pulpit.events.message import Message

__all__ = [
    "CHANNEL",
    "HEARTBEAT",
    "Blocked",
    "Closed",
    "Confirm",
    "FrameReader",
    "MalformedFrame",
    "PublishEncoder",
    "publish_frames",
]

#: The one channel in use on a connection.
CHANNEL = 1
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"

_METHOD, _HEADER, _BODY = 1, 2, 3
_FRAME_END = 0xCE
_END = bytes([_FRAME_END])
#: What stands around a frame's payload: type, channel and size before, the end octet after.
_OVERHEAD = 8
_FRAME = struct.Struct(">BHI")
_CONTENT = struct.Struct(">HHQH")
_CONFIRM = struct.Struct(">QB")
_STRING, _INT, _LONG = struct.Struct(">cI"), struct.Struct(">ci"), struct.Struct(">cq")
#: The first integer that does not fit into 32 bits.
_INT_END = 1 << 31
_BASIC = 60
_BASIC_PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
_BASIC_ACK, _BASIC_NACK = b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78"
_CHANNEL_CLOSE, _CONNECTION_CLOSE = b"\x00\x14\x00\x28", b"\x00\x0a\x00\x32"
_BLOCKED, _UNBLOCKED = b"\x00\x0a\x00\x3c", b"\x00\x0a\x00\x3d"
# content-type, content-encoding, headers, delivery-mode, message-id, timestamp, type, app-id
_PROPERTY_FLAGS = 0xF0E8
#: The headers that differ between events of one type, in their order.
_VARYING = (
    "cloudEvents:id",
    "cloudEvents:subject",
    "cloudEvents:time",
    "cloudEvents:sequence",
    "pulpit-revision",
    "pulpit-previous",
    "pulpit-folded",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """The broker has taken over messages, or refuses them."""

    tag: int
    #: All unconfirmed ones up to the tag, too.
    multiple: bool
    #: False for a nack.
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The broker takes no messages for now (True), or takes them again (False)."""

    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The broker has closed the channel or the connection."""

    code: int
    text: str


class MalformedFrame(Exception):
    """The peer sent something that is no frame of AMQP 0-9-1."""


def _short(raw: bytes) -> bytes:
    """Return a short string; at most 255 bytes."""
    return bytes((len(raw),)) + raw


def _string(raw: bytes) -> bytes:
    """Return a string as the value of a field."""
    return _STRING.pack(b"S", len(raw)) + raw


def _integer(value: int) -> bytes:
    """Return an integer as the value of a field: of 32 bits if they hold it, else of 64."""
    return _INT.pack(b"I", value) if value < _INT_END else _LONG.pack(b"l", value)


def _field(value: str | int) -> bytes:
    """Return the value of a field."""
    return _string(value.encode()) if isinstance(value, str) else _integer(value)


@lru_cache(maxsize=16)
def _time(seconds: int) -> bytes:
    """Return the time of all events of that second as the value of a field."""
    return _field(render_time(datetime.fromtimestamp(seconds, UTC)) or "")


class _Template:
    """What the content headers of one type of event share, and how the rest is put in.

    Args:
        message: any one of these messages.
    """

    def __init__(self, message: Message) -> None:
        #: The field table, as a format with a place for the value of each varying header.
        self._table = b"".join(
            _constant(_short(name.encode()))
            + (b"%b" if name in _VARYING else _constant(_field(value)))
            for name, value in message.headers.items()
        )
        self._first = b"".join(
            _short(text.encode()) for text in (message.content_type, message.content_encoding)
        )
        self._mode = bytes((message.delivery_mode,))
        self._last = b"".join(_short(text.encode()) for text in (message.type, message.app_id))

    def properties(self, event: Event, seconds: int) -> bytes:
        """Return the values of the properties that _PROPERTY_FLAGS names, in its order.

        Args:
            event: of the type that the template is of.
            seconds: its time, in whole seconds since 1970.
        """
        identity = event.id.encode()
        table = self._table % (
            _string(identity),
            _string((event.task_id or "").encode()),
            _time(seconds),
            _string(b"%020d" % event.sequence),
            _integer(event.revision),
            _integer(event.previous),
            _integer(event.folded),
        )
        return b"".join(
            (
                self._first,
                len(table).to_bytes(4, "big"),
                table,
                self._mode,
                _short(identity),
                seconds.to_bytes(8, "big"),
                self._last,
            )
        )


def _constant(raw: bytes) -> bytes:
    """Return *raw* as a part of a format."""
    return raw.replace(b"%", b"%%")


class PublishEncoder:
    """Packs messages for one exchange.

    What the messages of a type have in common is packed once: a backlog is sent in half the time.

    Args:
        exchange: where they go.
        frame_max: the largest frame that the connection allows, in bytes.
    """

    def __init__(self, *, exchange: str, frame_max: int) -> None:
        self._exchange, self._frame_max = exchange.encode(), frame_max
        self._templates: dict[tuple[str, str, EventKind], _Template] = {}

    def encode(self, message: Message) -> bytes:
        """Return the frames of basic.publish with the message; equal ones for equal messages."""
        event, body = message.event, message.body
        kept = (message.source, event.type, event.kind)
        template = self._templates.get(kept)
        if template is None:
            template = self._templates[kept] = _Template(message)
        header = _CONTENT.pack(_BASIC, 0, len(body), _PROPERTY_FLAGS) + template.properties(
            event, message.timestamp
        )
        return publish_frames(
            self._exchange,
            message.routing_key.encode(),
            header=header,
            body=body,
            frame_max=self._frame_max,
        )


def publish_frames(
    exchange: bytes, key: bytes, *, header: bytes, body: bytes, frame_max: int
) -> bytes:
    """Return the frames of basic.publish with a message.

    Args:
        exchange: where it goes; at most 255 bytes, as the key.
        key: its routing key.
        header: the payload of the frame of its properties.
        body: its body.
        frame_max: the largest frame that the connection allows, in bytes.
    """
    method = b"%b%c%b%c%b\x00" % (_BASIC_PUBLISH, len(exchange), exchange, len(key), key)
    frames = [
        _FRAME.pack(_METHOD, CHANNEL, len(method)),
        method,
        _END,
        _FRAME.pack(_HEADER, CHANNEL, len(header)),
        header,
        _END,
    ]
    largest = frame_max - _OVERHEAD
    for start in range(0, len(body), largest):
        part = body[start : start + largest]
        frames += _FRAME.pack(_BODY, CHANNEL, len(part)), part, _END
    return b"".join(frames)


class FrameReader:
    """Takes what a socket gives, in pieces of any size, and tells what the broker says.

    Args:
        frame_max: the largest frame that the connection allows, in bytes.
    """

    def __init__(self, *, frame_max: int) -> None:
        self._frame_max = frame_max
        self._rest = b""

    def feed(self, data: bytes) -> list[Confirm | Blocked | Closed]:
        """Return what the frames tell that are complete by now; heartbeats tell nothing.

        Raises:
            MalformedFrame: the peer does not speak AMQP 0-9-1.
        """
        buffer = self._rest + data if self._rest else data
        told: list[Confirm | Blocked | Closed] = []
        start, size = 0, len(buffer)
        while start + _OVERHEAD <= size:
            kind, _, length = _FRAME.unpack_from(buffer, start)
            if length + _OVERHEAD > self._frame_max:
                raise MalformedFrame(f"a frame of {length} bytes is larger than agreed")
            end = start + _OVERHEAD + length
            if end > size:
                break
            if buffer[end - 1] != _FRAME_END:
                raise MalformedFrame("a frame does not end where it says")
            if kind == _METHOD:
                news = _read_method(buffer[start + 7 : end - 1])
                if news is not None:
                    told.append(news)
            start = end
        self._rest = buffer[start:]
        return told


def _read_method(payload: bytes) -> Confirm | Blocked | Closed | None:
    """Return what a method tells; None for one that is of no concern."""
    name, arguments = payload[:4], payload[4:]
    try:
        if name in (_BASIC_ACK, _BASIC_NACK):
            tag, bits = _CONFIRM.unpack_from(arguments)
            return Confirm(tag=tag, multiple=bool(bits & 1), taken=name == _BASIC_ACK)
        if name in (_CHANNEL_CLOSE, _CONNECTION_CLOSE):
            code, length = struct.unpack_from(">HB", arguments)
            return Closed(code=code, text=arguments[3 : 3 + length].decode(errors="replace"))
    except struct.error as error:
        raise MalformedFrame("a method is shorter than its arguments") from error
    if name in (_BLOCKED, _UNBLOCKED):
        return Blocked(blocked=name == _BLOCKED)
    return None
