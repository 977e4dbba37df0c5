"""JSON Schemas of event bodies and of the documents around them, made of their types."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import msgspec

from pulpit.domain.events import LISTENER_DISABLED, TASK_EVENT_TYPES, EventKind
from pulpit.domain.listeners import DISABLED, TASK_EVENT_STATES
from pulpit.domain.payloads import (
    ListenerDisabled,
    ListenerDisabledPayload,
    Notification,
    PublishResult,
    PublishStartPayload,
    SyncResult,
    SyncStartPayload,
    TaskPayload,
)
from pulpit.domain.reports import ProgressEventReport, TaskReport
from pulpit.events.cloudevents import schema_path
from pulpit.events.documents import (
    AmqpHeaders,
    CloudEvent,
    CloudEventsPage,
    EventsPage,
    ListenerHeaders,
    PageEvent,
    Snapshot,
    Stale,
    WebhookHeaders,
)

__all__ = ["BODIES", "DIALECT", "PAYLOADS", "SCHEMAS", "TASK_BODIES", "components", "schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: Type of event to what its body is: of those of tasks, which alone go by AMQP.
TASK_BODIES: Mapping[str, Any] = MappingProxyType(
    {
        TASK_EVENT_TYPES[EventKind.STATUS]: TaskReport,
        TASK_EVENT_TYPES[EventKind.PROGRESS]: ProgressEventReport,
    }
)
#: The same of all events.
BODIES: Mapping[str, Any] = MappingProxyType({**TASK_BODIES, LISTENER_DISABLED: ListenerDisabled})
#: Event type that listeners ask for to what the payload is that they are told; without that of a
#: state which no task comes to.
PAYLOADS: Mapping[str, Any] = MappingProxyType(
    {
        "repo.sync.start": SyncStartPayload,
        "repo.sync.finish": SyncResult,
        "repo.publish.start": PublishStartPayload,
        "repo.publish.finish": PublishResult,
        **{f"task.{state}": TaskPayload for state in TASK_EVENT_STATES if state != "skipped"},
        DISABLED: ListenerDisabledPayload,
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
        "pulpit.notification.v1": Notification,
        "pulpit.notification.headers.v1": ListenerHeaders,
        "pulpit.webhook.headers.v1": WebhookHeaders,
    }
)
#: Types that hold something which depends on what they say that it is: the key that says so, the
#: key that holds it, and what it may be.
_ENVELOPES = {
    CloudEvent.__name__: ("type", "data", BODIES),
    PageEvent.__name__: ("type", "body", BODIES),
    Notification.__name__: ("event_type", "payload", PAYLOADS),
}


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
    kinds = [*SCHEMAS.values(), *PAYLOADS.values()]
    _, found = msgspec.json.schema_components(kinds, ref_template=template)
    for name, definition in found.items():
        if "description" in definition:
            # a docstring is wrapped and indented as the code is
            definition["description"] = inspect.cleandoc(definition["description"]).replace(
                "\n", " "
            )
        if name in _ENVELOPES:
            definition["allOf"] = _rules(*_ENVELOPES[name], prefix)
    return prefix, found


def _rules(by: str, key: str, kinds: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the rules that say what stands under a key for each value of another."""
    return [
        {
            "if": {"properties": {by: {"const": name}}},
            "then": {"properties": {key: {"$ref": prefix + kind.__name__}}},
        }
        for name, kind in kinds.items()
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
