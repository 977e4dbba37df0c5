"""What is POSTed: the message as it is, or as a CloudEvent."""

from __future__ import annotations

import msgspec

from pulpit.domain.clock import render_time
from pulpit.domain.deliveries import Parcel
from pulpit.events.cloudevents import schema_path

__all__ = ["CLOUDEVENT_TYPE", "JSON_TYPE", "cloudevent"]

JSON_TYPE = "application/json"
CLOUDEVENT_TYPE = "application/cloudevents+json"
#: The schema of what listeners are told, whatever the event type.
_SCHEMA = schema_path("pulpit.notification.v1")


def cloudevent(parcel: Parcel, *, source: str) -> bytes:
    """Return the parcel as a CloudEvent 1.0 in its structured JSON form.

    Its id is the same for all listeners, unlike that of the delivery.

    Args:
        parcel: what is delivered.
        source: URI reference of this server, CloudEvents' ``source``.
    """
    of_repository = parcel.event_type.startswith("repo.")
    attributes = {
        "specversion": "1.0",
        # one event is told under several types
        "id": f"{parcel.event_id}.{parcel.event_type}",
        "source": source,
        "type": f"pulpit.{parcel.event_type}.v1",
        "subject": parcel.repo_id if of_repository else parcel.task_id,
        "time": render_time(parcel.time),
        "dataschema": source.rstrip("/") + _SCHEMA,
        "sequence": f"{parcel.sequence:020d}",
    }
    told = {name: value for name, value in attributes.items() if value}
    data = {"datacontenttype": JSON_TYPE, "data": msgspec.Raw(parcel.body)}
    return msgspec.json.encode(told | data)
