"""The channels and queues of a connection that has logged in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pamqp import base, commands

from pulpit.events.door.channel import Channel
from pulpit.events.door.frames import FrameType, decode_method
from pulpit.events.door.log import Log
from pulpit.events.door.methods import handle
from pulpit.events.door.outgoing import Outgoing
from pulpit.events.door.queues import Counts, Queue, QueueTraits
from pulpit.events.door.refusals import ChannelRefusal, ConnectionRefusal
from pulpit.events.door.settings import DoorSettings
from pulpit.events.door.topology import Topology
from pulpit.events.reply_codes import ReplyCode

__all__ = ["Session", "Shared"]

_ACK: Final = b"\x00\x3c\x00\x50"
_ACK_ARGUMENTS: Final = struct.Struct(">4xQB")
_NO_METHOD: Final = b"\0\0\0\0"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all connections of a door have in common."""

    settings: DoorSettings
    topology: Topology
    counts: Counts
    log: Log


class Session:
    """Owns channels and queues, from connection.open-ok to the close.

    Args:
        shared: the door's.
        outgoing: of the connection.
        host: address of the peer, for the log.
        frame_max: negotiated size of a whole frame.
        channel_max: how many channels may be open.
        cancel_notify: the client understands basic.cancel from a server.
        refuse: closes the connection.
    """

    def __init__(
        self,
        shared: Shared,
        outgoing: Outgoing,
        *,
        host: str,
        frame_max: int,
        channel_max: int,
        cancel_notify: bool,
        refuse: Callable[[ConnectionRefusal], None],
    ) -> None:
        self.frame_max = frame_max
        self.unacknowledged = 0
        self.consumers = 0
        self.cancel_notify = cancel_notify
        self.write = outgoing.write
        self.reply = outgoing.reply
        self._shared = shared
        self._outgoing = outgoing
        self._host = host
        self._channel_max = channel_max
        self._refuse = refuse
        self._channels: dict[int, Channel] = {}
        self._touched: set[Queue] = set()

    @property
    def writable(self) -> bool:
        return self._outgoing.writable

    def touch(self, queue: Queue) -> None:
        self._touched.add(queue)

    def pump_touched(self) -> None:
        """Deliver what has become deliverable in this turn."""
        touched, self._touched = self._touched, set()
        for queue in touched:
            queue.pump()

    def pump_all(self) -> None:
        """Deliver what waits, now that the peer reads again."""
        for queue in self._shared.topology.owned(self):
            queue.pump()

    def end(self) -> None:
        """Give up all queues; nothing more is delivered."""
        self._shared.topology.forget(self)
        self._touched.clear()
        self.consumers = 0

    def handle(self, kind: int, number: int, payload: bytes) -> None:
        """Handle a frame on channel *number*, which is not 0.

        Raises:
            ConnectionRefusal: the connection must be closed.
        """
        channel = self._channels.get(number)
        if kind != FrameType.METHOD:
            if channel is None or not channel.closing:
                raise ConnectionRefusal(
                    ReplyCode.UNEXPECTED_FRAME, "content without basic.publish before it"
                )
        elif channel is None:
            self._open(number, decode_method(payload))
        elif channel.closing:
            self._handle_closing(channel, decode_method(payload))
        elif len(payload) == _ACK_ARGUMENTS.size and payload.startswith(_ACK):
            # by hand: every delivery brings one
            tag, multiple = _ACK_ARGUMENTS.unpack(payload)
            try:
                channel.acknowledge(tag, multiple=bool(multiple & 1))
            except ChannelRefusal as refusal:
                self._close(channel, refusal, payload)
        else:
            self._handle_open(channel, payload)

    def new_queue(self, name: str, traits: QueueTraits, channel: int) -> Queue:
        queue = Queue(
            name,
            traits,
            channel=channel,
            settings=self._shared.settings,
            counts=self._shared.counts,
            on_overflow=self._queue_is_behind,
        )
        self._shared.topology.add(queue, self)
        return queue

    def delete_queue(self, queue: Queue) -> None:
        self._shared.topology.remove(queue)
        for channel in self._channels.values():
            channel.cancel_deleted(queue)

    def _open(self, number: int, method: base.Frame) -> None:
        if not isinstance(method, commands.Channel.Open):
            raise ConnectionRefusal(
                ReplyCode.CHANNEL_ERROR, f"expected 'channel.open' on channel {number}"
            )
        if len(self._channels) >= self._channel_max:
            raise ConnectionRefusal(
                ReplyCode.NOT_ALLOWED,
                f"{self._channel_max} channels are open, which is the negotiated channel_max",
            )
        shared = self._shared
        channel = Channel(number, self, shared.topology, shared.settings)
        self._channels[number] = channel
        channel.send(commands.Channel.OpenOk())

    def _handle_open(self, channel: Channel, payload: bytes) -> None:
        method = decode_method(payload)
        if isinstance(method, commands.Channel.Close):
            channel.close()
            del self._channels[channel.number]
            channel.send(commands.Channel.CloseOk())
        elif isinstance(method, commands.Channel.Open):
            raise ConnectionRefusal(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")
        else:
            try:
                handle(channel, method)
            except ChannelRefusal as refusal:
                self._close(channel, refusal, payload)

    def _handle_closing(self, channel: Channel, method: base.Frame) -> None:
        """Swallow all but the answer to channel.close, and a close that crossed it."""
        if isinstance(method, commands.Channel.Close):
            channel.send(commands.Channel.CloseOk())
        elif isinstance(method, commands.Channel.CloseOk):
            del self._channels[channel.number]

    def _close(
        self, channel: Channel, refusal: ChannelRefusal, payload: bytes = _NO_METHOD
    ) -> None:
        """Send channel.close, with the class and method that asked for it."""
        class_id, method_id = struct.unpack_from(">HH", payload)
        channel.close()
        channel.send(
            commands.Channel.Close(
                reply_code=refusal.code,
                reply_text=refusal.text,
                class_id=class_id,
                method_id=method_id,
            )
        )

    def _queue_is_behind(self, queue: Queue) -> None:
        """Close the channels that consume from *queue*, or the one on which it was declared."""
        shared = self._shared
        shared.counts.behind += 1
        shared.log.warning("door.consumer_behind", peer=self._host, queue=queue.name)
        reason = (
            f"queue '{queue.name}' is too far behind and was deleted: consume faster, "
            "and read the tasks to see what was missed"
        )
        closed = self._channels_of(queue)
        for channel in closed:
            self._close(channel, ChannelRefusal(ReplyCode.PRECONDITION_FAILED, reason))
        if shared.topology.exists(queue.name):
            self.delete_queue(queue)
        if not closed:
            self._refuse(ConnectionRefusal(ReplyCode.RESOURCE_ERROR, reason))

    def _channels_of(self, queue: Queue) -> list[Channel]:
        """Return the open channels that have to do with *queue*."""
        open_channels = [channel for channel in self._channels.values() if not channel.closing]
        consuming = [
            channel
            for channel in open_channels
            if any(consumer.queue is queue for consumer in channel.consumers.values())
        ]
        return consuming or [each for each in open_channels if each.number == queue.channel]
