"""An event as an AMQP message: the same one to a broker and through the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pulpit.domain.events import Event, EventKind
from pulpit.events.cloudevents import attributes

__all__ = ["EXCHANGE", "Message", "message_of"]

#: The exchange that Pulp 2's documentation names: type topic, durable, not auto-delete.
EXCHANGE = "pulp.api.v2"

_PERSISTENT, _TRANSIENT = 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What goes on the wire; equal events make equal messages, so a resend is byte for byte."""

    routing_key: str
    body: bytes
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    #: 2, persistent, for a status change; 1, transient, for progress.
    delivery_mode: int
    message_id: str
    #: Whole seconds since 1970.
    timestamp: int
    type: str
    app_id: str = "pulpit"
    #: CloudEvents 1.0 attributes under the AMQP binding's prefix, the two revisions and how
    #: many events were folded into this one.
    headers: Mapping[str, str | int]


def message_of(event: Event, *, source: str) -> Message:
    """Return *event* as a message.

    Args:
        event: of a task; only these go to the exchange.
        source: URI reference of this server, CloudEvents' ``source``.
    """
    told = attributes(event, source=source)
    return Message(
        routing_key=f"tasks.{told['subject']}",
        body=event.body,
        delivery_mode=_PERSISTENT if event.kind is EventKind.STATUS else _TRANSIENT,
        message_id=event.id,
        timestamp=int(event.time.timestamp()),
        type=event.type,
        headers={
            **{f"cloudEvents:{name}": value for name, value in told.items()},
            "pulpit-revision": event.revision,
            "pulpit-previous": event.previous,
            "pulpit-folded": event.folded,
        },
    )
