"""A channel: its consumers and the deliveries that wait for their acknowledgement."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, Protocol

from pamqp import base, commands

from pulpit.events.door.frames import encode_method, short_string
from pulpit.events.door.queues import Entry, Queue, QueueTraits
from pulpit.events.door.refusals import ChannelRefusal
from pulpit.events.door.settings import DoorSettings
from pulpit.events.door.topology import Topology
from pulpit.events.reply_codes import ReplyCode

__all__ = ["Channel", "ChannelOwner", "Consumer"]

_FRAME: Final = struct.Struct(">BHI")
_TAG: Final = struct.Struct(">QB")
_DELIVER: Final = b"\x00\x3c\x00\x3c"
_GET_OK: Final = b"\x00\x3c\x00\x47"


class ChannelOwner(Protocol):
    """What a channel needs of its connection."""

    #: The negotiated size of a whole frame.
    frame_max: int
    #: Deliveries of all channels that wait for their acknowledgement.
    unacknowledged: int
    #: Consumers of all channels.
    consumers: int
    #: The client understands basic.cancel from the server.
    cancel_notify: bool

    @property
    def writable(self) -> bool:
        """True while the peer reads what it is sent."""

    def write(self, data: bytes) -> None:
        """Send a delivery."""

    def reply(self, data: bytes) -> None:
        """Send an answer; a peer that lets too many of them lie is cut off."""

    def touch(self, queue: Queue) -> None:
        """Have *queue* pumped once the turn is over."""

    def new_queue(self, name: str, traits: QueueTraits, channel: int) -> Queue:
        """Return a new queue of this connection."""

    def delete_queue(self, queue: Queue) -> None:
        """Delete *queue* and tell those who consume from it."""


class Consumer:
    """Takes the entries of one queue to one channel."""

    __slots__ = ("_head", "channel", "no_ack", "prefetch", "queue", "tag", "unacknowledged")

    def __init__(
        self, channel: Channel, queue: Queue, tag: str, *, no_ack: bool, prefetch: int
    ) -> None:
        self.channel = channel
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.prefetch = prefetch
        self.unacknowledged = 0
        self._head = _DELIVER + short_string(tag)

    @property
    def ready(self) -> bool:
        """True while channel, connection and prefetch leave room for one more entry."""
        channel = self.channel
        if not channel.flowing or not channel.owner.writable:
            return False
        if self.no_ack:
            return True
        return (not self.prefetch or self.unacknowledged < self.prefetch) and channel.has_room

    def deliver(self, entry: Entry) -> None:
        """Send *entry* as basic.deliver."""
        channel, head, content = self.channel, self._head, entry.content
        tag = channel.note(entry, self.queue, self)
        route = content.route
        channel.owner.write(
            b"%b%b%b%b\xce%b"
            % (
                # written by hand: the codec takes twenty times as long
                _FRAME.pack(1, channel.number, len(head) + _TAG.size + len(route)),
                head,
                _TAG.pack(tag, entry.sent),
                route,
                content.frames(channel.number, channel.owner.frame_max, entry.previous),
            )
        )


class _Delivery:
    """An entry that was sent and not acknowledged yet."""

    __slots__ = ("consumer", "entry", "queue")

    def __init__(self, entry: Entry, queue: Queue, consumer: Consumer | None) -> None:
        self.entry = entry
        self.queue = queue
        self.consumer = consumer


class Channel:
    """One channel of a connection, from its open to the answer to its close."""

    __slots__ = (
        "_prefetch_of_all",
        "_tag",
        "_unacknowledged",
        "closing",
        "consumers",
        "flowing",
        "last_queue",
        "number",
        "owner",
        "prefetch_of_new",
        "settings",
        "topology",
    )

    def __init__(
        self, number: int, owner: ChannelOwner, topology: Topology, settings: DoorSettings
    ) -> None:
        self.number = number
        self.owner = owner
        self.topology = topology
        self.settings = settings
        self.consumers: dict[str, Consumer] = {}
        #: The client wants deliveries.
        self.flowing = True
        #: A close was sent; all but its answer is swallowed.
        self.closing = False
        #: What an empty queue name stands for.
        self.last_queue = ""
        self.prefetch_of_new = 0
        self._prefetch_of_all = 0
        self._unacknowledged: dict[int, _Delivery] = {}
        self._tag = 0

    @property
    def has_room(self) -> bool:
        """True while one more delivery may wait for its acknowledgement."""
        return self.owner.unacknowledged < self.settings.max_unacknowledged and (
            not self._prefetch_of_all or len(self._unacknowledged) < self._prefetch_of_all
        )

    def send(self, method: base.Frame) -> None:
        """Answer with *method*."""
        self.owner.reply(encode_method(self.number, method))

    def note(
        self, entry: Entry, queue: Queue, consumer: Consumer | None, *, ack: bool = True
    ) -> int:
        """Return the delivery tag of *entry*, remembered where an acknowledgement must come."""
        self._tag += 1
        if ack and (consumer is None or not consumer.no_ack):
            self._unacknowledged[self._tag] = _Delivery(entry, queue, consumer)
            self.owner.unacknowledged += 1
            if consumer is not None:
                consumer.unacknowledged += 1
        return self._tag

    def limit_prefetch(self, count: int, *, of_all: bool) -> None:
        """Set how many deliveries may wait, of each new consumer or of the whole channel."""
        if of_all:
            self._prefetch_of_all = count
            self.touch_consumed()
        else:
            self.prefetch_of_new = count

    def touch_consumed(self) -> None:
        """Have all queues pumped that are consumed here."""
        for consumer in self.consumers.values():
            self.owner.touch(consumer.queue)

    def consume(self, queue: Queue, tag: str, *, no_ack: bool) -> None:
        """Add a consumer."""
        consumer = Consumer(self, queue, tag, no_ack=no_ack, prefetch=self.prefetch_of_new)
        self.consumers[tag] = consumer
        self.owner.consumers += 1
        queue.consumers.append(consumer)
        self.owner.touch(queue)

    def cancel(self, tag: str) -> None:
        """Remove a consumer, if it is there; what it has not acknowledged stays so."""
        consumer = self.consumers.pop(tag, None)
        if consumer is None:
            return
        self.owner.consumers -= 1
        queue = consumer.queue
        if consumer in queue.consumers:
            queue.consumers.remove(consumer)
            if queue.traits.auto_delete and not queue.consumers:
                self.owner.delete_queue(queue)

    def cancel_deleted(self, queue: Queue) -> None:
        """End the consumers of *queue*, which is gone, and tell the client if it listens."""
        for consumer in tuple(self.consumers.values()):
            if consumer.queue is queue:
                self.cancel(consumer.tag)
                if self.owner.cancel_notify and not self.closing:
                    self.send(commands.Basic.Cancel(consumer_tag=consumer.tag, nowait=True))

    def get(self, queue: Queue, *, no_ack: bool) -> bool:
        """Send the first entry of *queue* as basic.get-ok, or return False.

        Raises:
            ChannelRefusal: too many deliveries wait for their acknowledgement.
        """
        if not no_ack and self.owner.unacknowledged >= self.settings.max_unacknowledged:
            raise ChannelRefusal(
                ReplyCode.PRECONDITION_FAILED,
                f"{self.owner.unacknowledged} deliveries wait for their acknowledgement",
            )
        entry = queue.take()
        if entry is None:
            return False
        content, sent = entry.content, entry.sent
        tag = self.note(entry, queue, None, ack=not no_ack)
        entry.sent = True
        payload = _GET_OK + _TAG.pack(tag, sent) + content.route + struct.pack(">I", len(queue))
        head = _FRAME.pack(1, self.number, len(payload))
        frames = content.frames(self.number, self.owner.frame_max, entry.previous)
        self.owner.reply(b"%b%b\xce%b" % (head, payload, frames))
        return True

    def acknowledge(self, tag: int, *, multiple: bool) -> None:
        """Forget the deliveries that *tag* stands for; their consumers may get more."""
        for delivery in self._settle(tag, multiple=multiple):
            self.owner.touch(delivery.queue)

    def reject(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        """Take deliveries back to their queue, or drop them."""
        settled = self._settle(tag, multiple=multiple)
        for delivery in settled:
            self.owner.touch(delivery.queue)
        if requeue:
            self._put_back(settled)

    def close(self) -> None:
        """Cancel the consumers and put back what was not acknowledged."""
        self.closing = True
        self.flowing = False
        for tag in tuple(self.consumers):
            self.cancel(tag)
        self._put_back(self._settle(0, multiple=True))

    def queue_name(self, name: str) -> str:
        """Return *name*; where it is empty, that of the queue declared last on this channel.

        Raises:
            ChannelRefusal: none was declared.
        """
        if not name and not self.last_queue:
            raise ChannelRefusal(ReplyCode.NOT_FOUND, "no previously declared queue")
        return name or self.last_queue

    def queue_named(self, name: str) -> Queue:
        """Return the queue that *name* stands for.

        Raises:
            ChannelRefusal: there is none, or it is another connection's.
        """
        return self.topology.find(self.queue_name(name), self.owner)

    def _settle(self, tag: int, *, multiple: bool) -> list[_Delivery]:
        """Take the deliveries that *tag* stands for off the unacknowledged ones."""
        waiting = self._unacknowledged
        tags: Iterable[int] = (tag,)
        if multiple and tag == 0:
            tags = tuple(waiting)
        elif tag not in waiting:
            raise ChannelRefusal(ReplyCode.PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        elif multiple:
            tags = _up_to(tag, waiting)
        settled = [waiting.pop(each) for each in tags]
        self.owner.unacknowledged -= len(settled)
        for delivery in settled:
            if delivery.consumer is not None:
                delivery.consumer.unacknowledged -= 1
        return settled

    def _put_back(self, deliveries: Iterable[_Delivery]) -> None:
        for delivery in deliveries:
            delivery.queue.put_back(delivery.entry)
            self.owner.touch(delivery.queue)


def _up_to(tag: int, waiting: Iterable[int]) -> list[int]:
    """Return the tags of *waiting*, which grow, that are not past *tag*."""
    tags = []
    for each in waiting:
        if each > tag:
            break
        tags.append(each)
    return tags
