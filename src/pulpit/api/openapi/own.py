"""What the paths do that are Pulpit's own, and those of published content."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pulpit.api.openapi.components import sent
from pulpit.api.openapi.operations import (
    BINARY,
    Operation,
    array,
    created,
    done,
    found,
    query,
    ref,
)

__all__ = ["OWN"]

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}
_STATES = {"enum": ["waiting", "running", "finished", "error", "canceled", "skipped"]}
_LIMIT = query("limit", "How many at the most, up to 1,000.", {"type": "integer", "minimum": 1})
_TASKS = (
    query("task", "The id of a task.", repeated=True),
    query("tag", "A tag of the task.", repeated=True),
    query("repository", "The id of a repository."),
    query("state", "A state of the task.", _STATES, repeated=True),
)
_ONE = "/pulpit/v1/listeners/{listener_id}/"
_NEW_LISTENER = sent(
    "notifier_type_id",
    "notifier_config",
    "event_types",
    notifier_type_id={"enum": ["http", "email", "amqp"]},
    notifier_config={"type": "object"},
    event_types={"type": "array", "items": _TEXT, "minItems": 1},
    filters={"type": "object"},
)
_LISTENER_UPDATE = sent(
    notifier_config={"type": "object"},
    event_types={"type": "array", "items": _TEXT, "minItems": 1},
    filters={"type": "object"},
)


def _published(what: str) -> Operation:
    """Return how a file is had; a folder is a page, or somewhere else without its slash."""
    answers = dict.fromkeys((HTTPStatus.OK, HTTPStatus.MOVED_PERMANENTLY), _TEXT)
    return Operation(summary=what, answers=answers, gives=BINARY, public=True)


_LISTENERS: Mapping[str, Mapping[str, Operation]] = {
    "/pulpit/v1/listeners/": {
        "GET": found("All listeners.", array(ref("Listener"))),
        "POST": created("Create one.", ref("Listener"), body=_NEW_LISTENER),
    },
    _ONE: {
        "GET": found("Read it.", ref("Listener")),
        "PUT": found("Update it.", ref("Listener"), body=_LISTENER_UPDATE),
        "DELETE": done("Delete it."),
    },
    f"{_ONE}enable/": {"POST": found("Tell it of events again.", ref("Listener"))},
    f"{_ONE}disable/": {
        "POST": found(
            "Tell it of no events.",
            ref("Listener"),
            body=sent(reason={"type": ["string", "null"]}),
            body_is_optional=True,
        ),
    },
    f"{_ONE}rotate-secret/": {
        "POST": found(
            "Give it a new secret.",
            ref("Object"),
            body=sent(overlap={"type": ["number", "null"], "minimum": 0, "maximum": 168}),
            body_is_optional=True,
        ),
    },
    f"{_ONE}test/": {"POST": found("Send a ping.", ref("Object"))},
    f"{_ONE}doctor/": {"POST": found("What lies on the way to it.", ref("Object"))},
    f"{_ONE}deliveries/": {
        "GET": found(
            "Its deliveries, the newest first.",
            ref("Object"),
            parameters=[
                _LIMIT,
                query("since", "Those created then or later.", _TIME),
                query("before", "The number of the last one before.", _NUMBER),
                query(
                    "state",
                    "A state.",
                    {"enum": ["pending", "delivered", "exhausted"]},
                    repeated=True,
                ),
            ],
        ),
    },
    f"{_ONE}deliveries/{{delivery_id}}/": {"GET": found("One of them.", ref("Object"))},
    f"{_ONE}resend/": {
        "POST": found(
            "Send again what was given up, or one delivery.",
            ref("Object"),
            body=sent(delivery=_TEXT, since=_TEXT, all={"type": "boolean"}),
        ),
    },
}

#: Path to method to what it does.
OWN: Mapping[str, Mapping[str, Operation]] = {
    **_LISTENERS,
    "/pulpit/v1/events/": {
        "GET": found(
            "The events of tasks, as a page; as a stream where text/event-stream is accepted.",
            ref("Object"),
            parameters=[
                query("since", "The number of the last event before.", _NUMBER),
                _LIMIT,
                query("kind", "A kind.", {"enum": ["status", "progress"]}, repeated=True),
                query("type", "A type of events.", repeated=True),
                query("format", "As what they come.", {"const": "cloudevents"}),
                *_TASKS,
            ],
        ),
    },
    "/pulpit/v1/snapshot/": {
        "GET": found(
            "The present state of tasks.",
            ref("Snapshot"),
            parameters=[_LIMIT, query("page", "`next` of the page before."), *_TASKS],
        ),
    },
    "/pulpit/v1/schemas/": {
        "GET": found("The JSON Schemas of events.", ref("Object"), public=True),
    },
    "/pulpit/v1/schemas/{name}.json": {
        "GET": found("One of them.", ref("Object"), public=True, gives="application/schema+json"),
    },
    "/pulpit/v1/asyncapi.json": {
        "GET": found(
            "The AsyncAPI document of the events.",
            ref("Object"),
            public=True,
            gives="application/vnd.aai.asyncapi+json",
        ),
    },
    "/pulpit/v1/openapi.json": {
        "GET": found("This document.", ref("Object"), public=True),
    },
    "/metrics": {"GET": found("Prometheus metrics.", _TEXT, gives="text/plain")},
    "/live": {"GET": found("Whether the server lives.", ref("Object"), public=True)},
    "/ready": {"GET": found("Whether requests should come here.", ref("Object"), public=True)},
    "/pulp/repos/{path}": {"GET": _published("Published content.")},
    "/pulp/isos/{path}": {"GET": _published("Published isos.")},
}
