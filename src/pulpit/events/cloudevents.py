"""An event's CloudEvents 1.0 attributes, and the event in their structured JSON form.

``sequence`` is the extension of that name; those that begin with ``pulpit`` are our own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pulpit.domain.clock import render_time
from pulpit.domain.events import Event

__all__ = ["SCHEMAS_PATH", "attributes", "schema_path", "structured"]

#: Where the server tells the schema of each type of event.
SCHEMAS_PATH = "/pulpit/v1/schemas/"


def schema_path(event_type: str) -> str:
    """Return the path of the JSON Schema of this type of event."""
    return f"{SCHEMAS_PATH}{event_type}.json"


def attributes(event: Event, *, source: str) -> dict[str, str]:
    """Return the attributes that do not depend on how the event is sent.

    Args:
        event: of the journal.
        source: URI reference of this server, CloudEvents' ``source``.
    """
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": event.type,
        "subject": event.task_id or "",
        "time": render_time(event.time) or "",
        "dataschema": source.rstrip("/") + schema_path(event.type),
        "sequence": f"{event.sequence:020d}",
    }


def structured(event: Event, *, source: str) -> dict[str, Any]:
    """Return the event as one JSON object: attributes, revisions, and the body as ``data``.

    Attributes without a value are left out, as the specification asks.
    """
    told: dict[str, Any] = {
        name: value for name, value in attributes(event, source=source).items() if value
    }
    return told | {
        "datacontenttype": "application/json",
        "pulpitkind": event.kind.value,
        "pulpitrevision": event.revision,
        "pulpitprevious": event.previous,
        "pulpitfolded": event.folded,
        "data": msgspec.Raw(event.body),
    }
