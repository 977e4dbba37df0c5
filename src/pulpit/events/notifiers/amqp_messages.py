"""An event that a listener is told, as an AMQP message."""

from __future__ import annotations

from pamqp.commands import Basic
from pamqp.header import ContentHeader

from pulpit.domain.clock import render_time
from pulpit.domain.deliveries import Parcel
from pulpit.events.amqp.frames import publish_frames

__all__ = ["frames_of", "headers_of", "routing_key"]

_PERSISTENT = 2


def routing_key(event_type: str) -> str:
    """Return the key that messages of an event type have, which Pulp 2 called their subject."""
    return f"pulp.server.{event_type}"


def frames_of(parcel: Parcel, *, exchange: str, source: str, frame_max: int) -> bytes:
    """Return the frames of basic.publish with the message; equal ones in all attempts.

    Args:
        parcel: the event.
        exchange: where it goes.
        source: URI reference of this server, CloudEvents' ``source``.
        frame_max: the largest frame that the connection allows, in bytes.
    """
    key = routing_key(parcel.event_type)
    header = ContentHeader(body_size=len(parcel.body), properties=_properties(parcel, source))
    return publish_frames(
        exchange.encode(),
        key.encode(),
        header=header.marshal(),
        body=parcel.body,
        frame_max=frame_max,
    )


def headers_of(parcel: Parcel, *, source: str) -> dict[str, str]:
    """Return the headers of the message: CloudEvents' attributes, and what Pulp 2 had there.

    Args:
        parcel: the event.
        source: URI reference of this server.
    """
    told = {
        "specversion": "1.0",
        # one event is told under several types
        "id": f"{parcel.event_id}/{parcel.event_type}",
        "source": source,
        "type": parcel.event_type,
        "subject": parcel.task_id or "",
        "time": render_time(parcel.time) or "",
        "sequence": f"{parcel.sequence:020d}",
    }
    return {
        "subject": routing_key(parcel.event_type),
        **{f"cloudEvents:{name}": value for name, value in told.items() if value},
    }


def _properties(parcel: Parcel, source: str) -> Basic.Properties:
    """Return what goes with the body, an id to tell repeats by among it."""
    return Basic.Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={**headers_of(parcel, source=source)},
        delivery_mode=_PERSISTENT,
        message_id=parcel.id,
        timestamp=parcel.time,
        message_type=parcel.event_type,
        app_id="pulpit",
    )
