"""A message in the form in which every consumer gets it: encoded once, shared by all."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from pulpit.domain.events import Event, EventKind
from pulpit.events.door.frames import FRAME_OVERHEAD, FrameType, encode_frame, short_string
from pulpit.events.message import EXCHANGE, Message

__all__ = ["Content"]

_BASIC: Final = 60
# bits of the properties that every message has, in the order in which their values follow
_FLAGS: Final = (
    1 << 15  # content_type
    | 1 << 14  # content_encoding
    | 1 << 13  # headers
    | 1 << 12  # delivery_mode
    | 1 << 7  # message_id
    | 1 << 6  # timestamp
    | 1 << 5  # type
    | 1 << 3  # app_id
)
_CACHED_FORMS: Final = 4
_INT32 = range(-(1 << 31), 1 << 31)


def _table(headers: Mapping[str, str | int]) -> bytes:
    """Return *headers* as a field table, with the types that py-amqp writes to a broker."""
    parts = []
    for name, value in headers.items():
        if isinstance(value, str):
            encoded = value.encode()
            field = b"S" + struct.pack(">I", len(encoded)) + encoded
        elif value in _INT32:
            field = b"I" + struct.pack(">i", value)
        else:
            field = b"l" + struct.pack(">q", value)
        parts.append(short_string(name) + field)
    table = b"".join(parts)
    return struct.pack(">I", len(table)) + table


def _header(message: Message, headers: Mapping[str, str | int]) -> bytes:
    """Return the payload of the content header frame."""
    return b"".join(
        (
            struct.pack(">HHQH", _BASIC, 0, len(message.body), _FLAGS),
            short_string(message.content_type),
            short_string(message.content_encoding),
            _table(headers),
            bytes((message.delivery_mode,)),
            short_string(message.message_id),
            struct.pack(">Q", message.timestamp),
            short_string(message.type),
            short_string(message.app_id),
        )
    )


class Content:
    """A message, what folding needs to know of its event, and its frames."""

    __slots__ = ("_frames", "message", "previous", "progress", "route", "size", "task")

    def __init__(
        self, message: Message, *, task: str | None, progress: bool, previous: int
    ) -> None:
        self.message = message
        self.task = task
        #: May be folded into the next event of its task.
        self.progress = progress
        #: It stands for the task's revisions after this one, before anything folded into it.
        self.previous = previous
        self.size = len(message.body)
        #: Exchange and routing key, as basic.deliver and basic.get-ok carry them.
        self.route = short_string(EXCHANGE) + short_string(message.routing_key)
        self._frames: dict[tuple[int, int, int], bytes] = {}

    @classmethod
    def of(cls, message: Message, event: Event) -> Content:
        """Return the content of *message*, which tells of *event*."""
        return cls(
            message,
            task=event.task_id,
            progress=event.kind is EventKind.PROGRESS,
            previous=event.previous,
        )

    def frames(self, channel: int, frame_max: int, previous: int) -> bytes:
        """Return the content header frame and the body frames for *channel*.

        Args:
            channel: number of the channel.
            frame_max: size of a whole frame.
            previous: the revision that the message goes back to, after what folded into it.
        """
        # whoever has room for the body in one frame gets the same frames
        limit = frame_max if self.size + FRAME_OVERHEAD > frame_max else 0
        form = (channel, limit, previous)
        frames = self._frames.get(form)
        if frames is None:
            if len(self._frames) >= _CACHED_FORMS:
                self._frames.clear()
            frames = self._frames[form] = self._encode(channel, frame_max, previous)
        return frames

    def _encode(self, channel: int, frame_max: int, previous: int) -> bytes:
        message, step = self.message, frame_max - FRAME_OVERHEAD
        headers = message.headers
        if previous != self.previous:
            folded = int(headers["pulpit-revision"]) - previous - 1
            headers = {**headers, "pulpit-previous": previous, "pulpit-folded": folded}
        return encode_frame(FrameType.HEADER, channel, _header(message, headers)) + b"".join(
            encode_frame(FrameType.BODY, channel, message.body[start : start + step])
            for start in range(0, len(message.body), step)
        )
