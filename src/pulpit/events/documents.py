"""What stands around events on each channel, key by key: envelopes, headers, pages, notices.

The schemas and the AsyncAPI document are made of these types, docstrings and all.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

from pulpit.domain.reports import TaskId, TaskReport, Time

__all__ = [
    "AmqpHeaders",
    "CloudEvent",
    "CloudEventsPage",
    "EventsPage",
    "ListenerHeaders",
    "PageEvent",
    "Snapshot",
    "SnapshotTask",
    "Stale",
    "WebhookHeaders",
]

_Version = Annotated[str, Meta(extra_json_schema={"const": "1.0"})]
_EventId = Annotated[
    str,
    Meta(min_length=1, description="Unique among all events of all servers; a repeat has it too."),
]
_Source = Annotated[
    str,
    Meta(
        min_length=1,
        description="URI of the server.",
        extra_json_schema={"format": "uri-reference"},
    ),
]
_Type = Annotated[
    str, Meta(min_length=1, description="Versioned name, which says what the body is.")
]
_DataSchema = Annotated[
    str,
    Meta(
        min_length=1,
        description="Where the JSON Schema of the body is.",
        extra_json_schema={"format": "uri"},
    ),
]
_Sequence = Annotated[int, Meta(ge=0, description="A number in the one order of all events.")]
_SequenceText = Annotated[
    str, Meta(pattern="^[0-9]{20}$", description="The event's number, with leading zeros.")
]
_Kind = Annotated[str, Meta(description="status, progress or listener.")]
_Revision = Annotated[
    int, Meta(ge=0, le=2**31 - 1, description="The task's revision; 1 for its first event.")
]
_Previous = Annotated[
    int,
    Meta(
        ge=0,
        le=2**31 - 1,
        description="The event stands for the revisions after this one up to its own, all of "
        "which but its own were progress.",
    ),
]
_Folded = Annotated[
    int,
    Meta(ge=0, le=2**31 - 1, description="How many events were folded into this one."),
]
_Body = Annotated[Any, Meta(description="As the schema that the type names says.")]


class CloudEvent(TypedDict):
    """An event as structured CloudEvents 1.0 JSON."""

    specversion: _Version
    id: _EventId
    source: _Source
    type: _Type
    subject: NotRequired[Annotated[TaskId, Meta(description="The task that the event is about.")]]
    time: Time
    dataschema: _DataSchema
    sequence: _SequenceText
    datacontenttype: Annotated[str, Meta(extra_json_schema={"const": "application/json"})]
    pulpitkind: _Kind
    pulpitrevision: _Revision
    pulpitprevious: _Previous
    pulpitfolded: _Folded
    data: _Body


AmqpHeaders = TypedDict(
    "AmqpHeaders",
    {
        "cloudEvents:specversion": _Version,
        "cloudEvents:id": _EventId,
        "cloudEvents:source": _Source,
        "cloudEvents:type": _Type,
        "cloudEvents:subject": TaskId,
        "cloudEvents:time": Time,
        "cloudEvents:dataschema": _DataSchema,
        "cloudEvents:sequence": _SequenceText,
        "pulpit-revision": _Revision,
        "pulpit-previous": _Previous,
        "pulpit-folded": _Folded,
    },
)
AmqpHeaders.__doc__ = "Headers of an event by AMQP: CloudEvents attributes under their prefix."


ListenerHeaders = TypedDict(
    "ListenerHeaders",
    {
        "subject": Annotated[
            str, Meta(pattern="^pulp[.]server[.]", description="The routing key, as in Pulp 2.")
        ],
        "cloudEvents:specversion": _Version,
        "cloudEvents:id": Annotated[
            str,
            Meta(
                min_length=1,
                description="The event's id and the event type; one event is told under several.",
            ),
        ],
        "cloudEvents:source": _Source,
        "cloudEvents:type": Annotated[str, Meta(min_length=1, description="The event type.")],
        "cloudEvents:subject": NotRequired[TaskId],
        "cloudEvents:time": Time,
        "cloudEvents:sequence": _SequenceText,
    },
)
ListenerHeaders.__doc__ = (
    "Headers of what a listener of type amqp is told; the subject is of events of tasks."
)


WebhookHeaders = TypedDict(
    "WebhookHeaders",
    {
        "webhook-id": Annotated[
            str,
            Meta(min_length=1, description="Of the delivery: a repeat and a resend have it too."),
        ],
        "webhook-timestamp": Annotated[
            str, Meta(pattern="^[0-9]+$", description="Of the attempt, in seconds since 1970.")
        ],
        "webhook-signature": Annotated[
            str,
            Meta(
                pattern="^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$",
                description="By Standard Webhooks: HMAC-SHA256 of id, timestamp and body, joined "
                "by full stops; one for each secret that holds.",
            ),
        ],
    },
)
WebhookHeaders.__doc__ = (
    "Headers of what a listener of type http is told, as Standard Webhooks has."
)


class PageEvent(TypedDict):
    """An event on a JSON page."""

    sequence: _Sequence
    id: _EventId
    kind: _Kind
    type: _Type
    task_id: TaskId | None
    revision: _Revision
    previous: _Previous
    state: Annotated[str | None, Meta(description="The task's state after the event.")]
    tags: list[str]
    time: Time
    body: _Body


class EventsPage(TypedDict):
    """Events after a number, in order."""

    events: list[PageEvent]
    next: Annotated[int, Meta(ge=0, description="The number to ask for the next page after.")]


class CloudEventsPage(TypedDict):
    """Events after a number, in order, as CloudEvents."""

    events: list[CloudEvent]
    next: Annotated[int, Meta(ge=0, description="The number to ask for the next page after.")]


class Stale(TypedDict):
    """Word that events after a number are gone: what the reader has may be out of date."""

    since: Annotated[int, Meta(ge=0, description="The number to go on after that was asked for.")]
    oldest: Annotated[int, Meta(ge=1, description="The lowest number that can be read still.")]
    head: Annotated[int, Meta(ge=0, description="The number of the newest event.")]
    missed: Annotated[
        int | None,
        Meta(
            description="How many numbers are gone, of which some may have told nothing; null "
            "when the number asked for is ahead of the newest."
        ),
    ]
    snapshot: Annotated[str, Meta(description="Path where the present state can be read.")]


class SnapshotTask(TypedDict):
    """A task in a snapshot."""

    revision: Annotated[
        int, Meta(ge=0, description="Events of the task up to this revision are in the report.")
    ]
    task: TaskReport


class Snapshot(TypedDict):
    """Tasks as they are, and the number to follow events after."""

    sequence: Annotated[
        int,
        Meta(ge=0, description="Follow events after this number; the same on every page."),
    ]
    tasks: list[SnapshotTask]
    next: Annotated[
        str | None, Meta(description="What to ask for the next page with; null on the last.")
    ]
