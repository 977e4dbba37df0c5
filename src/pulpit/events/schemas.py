"""JSON Schemas of event bodies and of the documents around them, made of their types."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec

from pulpit.domain.events import TASK_EVENT_TYPES, EventKind
from pulpit.domain.reports import ProgressEventReport, TaskReport
from pulpit.events.cloudevents import schema_path
from pulpit.events.documents import (
    AmqpHeaders,
    CloudEvent,
    CloudEventsPage,
    EventsPage,
    PageEvent,
    Snapshot,
    Stale,
)

__all__ = ["BODIES", "DIALECT", "SCHEMAS", "components", "schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Type of event to what its body is.
BODIES: Mapping[str, Any] = MappingProxyType(
    {
        TASK_EVENT_TYPES[EventKind.STATUS]: TaskReport,
        TASK_EVENT_TYPES[EventKind.PROGRESS]: ProgressEventReport,
    }
)
#: Everything that has a schema of its own: its versioned name to its type.
SCHEMAS: Mapping[str, Any] = MappingProxyType(
    {
        **BODIES,
        "pulpit.amqp.headers.v1": AmqpHeaders,
        "pulpit.cloudevent.v1": CloudEvent,
        "pulpit.events.page.v1": EventsPage,
        "pulpit.events.cloudevents.v1": CloudEventsPage,
        "pulpit.events.stale.v1": Stale,
        "pulpit.snapshot.v1": Snapshot,
    }
)
#: Types whose body depends on what they say that it is: the key that holds it.
_ENVELOPES = {CloudEvent.__name__: "data", PageEvent.__name__: "body"}


def schema(name: str, *, source: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of that name, complete in itself.

    Args:
        name: of SCHEMAS.
        source: URI of this server, below which the schema is told.

    Raises:
        KeyError: there is no such schema.
    """
    kind = SCHEMAS[name]
    reference, definitions = _definitions("#/$defs/{name}")
    told = definitions[kind.__name__]
    return {
        "$schema": DIALECT,
        "$id": source.rstrip("/") + schema_path(name),
        **told,
        "$defs": {key: definitions[key] for key in sorted(_needed(told, definitions, reference))},
    }


def components() -> dict[str, Any]:
    """Return the schemas of all types by name, as ``components.schemas`` of AsyncAPI."""
    _, definitions = _definitions("#/components/schemas/{name}")
    return dict(sorted(definitions.items()))


@cache
def _definitions(template: str) -> tuple[str, Mapping[str, Any]]:
    """Return the prefix of references, and every type's schema by name."""
    prefix = template.format(name="")
    _, found = msgspec.json.schema_components(list(SCHEMAS.values()), ref_template=template)
    for name, definition in found.items():
        if "description" in definition:
            # a docstring is wrapped and indented as the code is
            definition["description"] = inspect.cleandoc(definition["description"]).replace(
                "\n", " "
            )
        if name in _ENVELOPES:
            definition["allOf"] = _body_rules(_ENVELOPES[name], prefix)
    return prefix, found


def _body_rules(key: str, prefix: str) -> list[dict[str, Any]]:
    """Return the rules that say what stands under the key for each type of event."""
    return [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": {key: {"$ref": prefix + kind.__name__}}},
        }
        for name, kind in BODIES.items()
    ]


def _needed(told: Any, definitions: Mapping[str, Any], prefix: str) -> set[str]:
    """Return the names of the definitions that a schema refers to, by way of others too."""
    needed: set[str] = set()
    waiting = [told]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix(prefix)
            if name and name not in needed:
                needed.add(name)
                waiting.append(definitions[name])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return needed
