"""An event as an AMQP message: the same one to a broker and through the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pulpit.domain.events import Event, EventKind
from pulpit.events.cloudevents import attributes

__all__ = ["EXCHANGE", "Message", "message_of"]

#: The exchange that Pulp 2's documentation names: type topic, durable, not auto-delete.
EXCHANGE = "pulp.api.v2"

_PERSISTENT, _TRANSIENT = 2, 1


@dataclass(frozen=True, slots=True)
class Message:
    """What goes on the wire; equal events make equal messages, so a resend is byte for byte.

    Its parts are put together when they are asked for: the publisher packs most of them without.
    """

    event: Event
    #: URI reference of this server, CloudEvents' ``source``.
    source: str

    content_type: ClassVar[str] = "application/json"
    content_encoding: ClassVar[str] = "utf-8"
    app_id: ClassVar[str] = "pulpit"

    @property
    def routing_key(self) -> str:
        """``tasks.`` and the task's id."""
        return f"tasks.{self.event.task_id or ''}"

    @property
    def body(self) -> bytes:
        """JSON text, UTF-8."""
        return self.event.body

    @property
    def delivery_mode(self) -> int:
        """2, persistent, for a status change; 1, transient, for progress."""
        return _PERSISTENT if self.event.kind is EventKind.STATUS else _TRANSIENT

    @property
    def message_id(self) -> str:
        """The event's id."""
        return self.event.id

    @property
    def timestamp(self) -> int:
        """Whole seconds since 1970."""
        return int(self.event.time.timestamp())

    @property
    def type(self) -> str:
        """The event's type."""
        return self.event.type

    @property
    def headers(self) -> dict[str, str | int]:
        """CloudEvents 1.0 attributes under the AMQP binding's prefix, and what folding did.

        The latter are the two revisions and how many events were folded into this one.
        """
        told = attributes(self.event, source=self.source)
        return {
            **{f"cloudEvents:{name}": value for name, value in told.items()},
            "pulpit-revision": self.event.revision,
            "pulpit-previous": self.event.previous,
            "pulpit-folded": self.event.folded,
        }


def message_of(event: Event, *, source: str) -> Message:
    """Return *event* as a message.

    Args:
        event: of a task; only these go to the exchange.
        source: URI reference of this server, CloudEvents' ``source``.
    """
    return Message(event, source)
