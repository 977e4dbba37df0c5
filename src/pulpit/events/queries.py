"""What can be asked for over HTTP, as JSON Schemas of the queries' parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulpit.domain.events import EventKind
from pulpit.domain.tasks import TaskState

__all__ = ["EVENTS_QUERY", "PAGE_QUERY", "SNAPSHOT_QUERY"]

_LIST = {"type": "array", "items": {"type": "string"}}
#: What both the stream and the pages can be asked for.
_FILTERS: Mapping[str, Any] = {
    "task": _LIST | {"description": "UUIDs of tasks; events of any of them."},
    "tag": _LIST | {"description": "Tags that tasks must have; all of them."},
    "repository": {"type": "string", "description": "Id of the repository that tasks work on."},
    "kind": {
        "type": "array",
        "items": {"type": "string", "enum": [kind.value for kind in EventKind]},
        "description": "Kinds of events; any of them.",
    },
    "state": {
        "type": "array",
        "items": {"type": "string", "enum": [state.value for state in TaskState]},
        "description": "States after the event; any of them.",
    },
    "type": _LIST | {"description": "Types of events; any of them."},
}
EVENTS_QUERY: Mapping[str, Any] = {
    **_FILTERS,
    "since": {
        "type": "integer",
        "minimum": 0,
        "description": "Events after this number; without it, from now on.",
    },
    "format": {
        "type": "string",
        "enum": ["cloudevents"],
        "description": "Each event as structured CloudEvents JSON.",
    },
}
PAGE_QUERY: Mapping[str, Any] = {
    **EVENTS_QUERY,
    "limit": {
        "type": "integer",
        "minimum": 1,
        "default": 100,
        "description": "Events on the page; at most 1,000 are told, and fewer when they are large.",
    },
}
SNAPSHOT_QUERY: Mapping[str, Any] = {
    **{name: _FILTERS[name] for name in ("task", "tag", "repository", "state")},
    "limit": {
        "type": "integer",
        "minimum": 1,
        "default": 1000,
        "description": "Tasks on the page; at most 1,000 are told, and fewer when they are large.",
    },
    "page": {
        "type": "string",
        "description": "What the page before gave as next, with the same filters.",
    },
}
