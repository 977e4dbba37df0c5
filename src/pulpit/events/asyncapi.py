"""The AsyncAPI 3 document of the event plane, made of the types and constants that it speaks by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pulpit.config import Address
from pulpit.domain.events import TASK_EVENT_TYPES, EventKind
from pulpit.events import exchanges, webhooks
from pulpit.events.documents import (
    AmqpHeaders,
    CloudEvent,
    CloudEventsPage,
    EventsPage,
    Snapshot,
    Stale,
)
from pulpit.events.examples import example
from pulpit.events.message import EXCHANGE, Message, message_of
from pulpit.events.queries import EVENTS_QUERY, PAGE_QUERY, SNAPSHOT_QUERY
from pulpit.events.schemas import BODIES, TASK_BODIES, components

__all__ = ["CONTRACT_VERSION", "Servers", "asyncapi"]

#: Version of the event contract. The first number grows when a consumer written for the version
#: before may fail, the second when something is added, the third when only words change.
CONTRACT_VERSION = "1.1.0"

_STREAM, _SNAPSHOT = "/pulpit/v1/events/", "/pulpit/v1/snapshot/"
_AMQP_BINDING, _HTTP_BINDING = "0.3.0", "0.3.0"
_DESCRIPTION = """\
Every change of every task, from one ordered journal. What a consumer may rely on, and what it has
to do, stands in the consumer's contract of the documentation. Consumers ignore fields, headers and
types of events that they do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where events can be had."""

    #: URL of this server, CloudEvents' ``source``.
    source: str
    #: URLs of the brokers that are published to; user and password are left out of the document.
    brokers: Sequence[str] = ()
    #: Host and port at which the AMQP door listens, if it is open.
    door: tuple[str, int] | None = None
    #: Whether the door speaks TLS.
    door_tls: bool = False
    #: URLs of the brokers that listeners of type amqp are told through, and the exchange of those
    #: that name none.
    listener_brokers: Sequence[str] = ()
    listener_exchange: str = "amq.topic"


def asyncapi(servers: Servers) -> dict[str, Any]:
    """Return the document; without an AMQP server it describes HTTP alone.

    Args:
        servers: where events can be had.
    """
    amqp = _amqp_servers(servers)
    telling = _brokers(
        servers.listener_brokers, "listenerBroker", "A broker that listeners are told through."
    )
    channels = (
        _http_channels()
        | webhooks.channels()
        | (_amqp_channel(amqp) if amqp else {})
        | (exchanges.channels(telling, servers.listener_exchange) if telling else {})
    )
    return {
        "asyncapi": "3.0.0",
        "id": servers.source,
        "info": {
            "title": "Pulpit events",
            "version": CONTRACT_VERSION,
            "description": _DESCRIPTION.replace("\n", " "),
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": Message.content_type,
        "servers": {"http": _http_server(servers.source), **amqp, **telling, **webhooks.servers()},
        "channels": channels,
        "operations": {
            name: operation
            for name, operation in _operations().items()
            if operation["channel"]["$ref"].rpartition("/")[2] in channels
        },
        "components": {
            "schemas": components(),
            "messages": _messages(servers.source),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "plain": {"type": "plain", "description": "SASL PLAIN."},
            },
        },
    }


def _http_server(source: str) -> dict[str, Any]:
    """Return this server, where its API is."""
    parts = urlsplit(source)
    path = {"pathname": parts.path} if parts.path.strip("/") else {}
    return {
        "host": parts.netloc.rpartition("@")[2],
        **path,
        "protocol": parts.scheme,
        "description": "The server's API, for its users.",
        "security": [{"$ref": "#/components/securitySchemes/basic"}],
    }


def _amqp_servers(servers: Servers) -> dict[str, Any]:
    """Return brokers and door by name."""
    found = _brokers(servers.brokers, "broker", "A broker that is published to.")
    if servers.door:
        about = "The server's own door, for its users; live, and without queues that last."
        scheme = "amqps" if servers.door_tls else "amqp"
        url = f"{scheme}://{_reached(*servers.door, servers.source)}"
        found["door"] = _amqp_server(url, about)
    return found


def _brokers(urls: Iterable[str], name: str, about: str) -> dict[str, Any]:
    """Return brokers by name."""
    return {f"{name}{number or ''}": _amqp_server(url, about) for number, url in enumerate(urls)}


def _reached(host: str, port: int, source: str) -> str:
    """Return where clients reach what listens at host and port of the server."""
    address = Address(host, port)
    name = urlsplit(source).hostname
    return str(address._replace(host=name) if address.is_anywhere and name else address)


def _amqp_server(url: str, description: str) -> dict[str, Any]:
    """Return a server that speaks AMQP 0-9-1."""
    parts = urlsplit(url)
    return {
        "host": parts.netloc.rpartition("@")[2],
        "protocol": parts.scheme,
        "protocolVersion": "0-9-1",
        "description": description,
        "security": [{"$ref": "#/components/securitySchemes/plain"}],
    }


def _amqp_channel(servers: Iterable[str]) -> dict[str, Any]:
    """Return the exchange with its routing keys."""
    return {
        "taskEvents": {
            "address": "tasks.{taskId}",
            "title": "Events of a task by AMQP",
            "description": "Bind a queue with tasks.# for those of all tasks.",
            "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
            "parameters": {
                "taskId": {
                    "description": "UUID of the task.",
                    "location": "$message.payload#/task_id",
                }
            },
            "messages": _references("messages", [f"amqp.{name}" for name in TASK_BODIES]),
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {
                        "name": EXCHANGE,
                        "type": "topic",
                        "durable": True,
                        "autoDelete": False,
                    },
                    "bindingVersion": _AMQP_BINDING,
                }
            },
        }
    }


def _http_channels() -> dict[str, Any]:
    """Return what can be read over HTTP."""
    stream = [*(f"sse.{name}" for name in BODIES), "sse.cloudevent", "sse.stale"]
    return {
        "eventStream": _http_channel(
            _STREAM,
            "Server-sent events, for Accept: text/event-stream. Last-Event-ID goes before since.",
            stream,
        ),
        "eventPages": _http_channel(
            _STREAM,
            "Pages of events, for any other Accept; 410 where events are gone.",
            ["page", "page.cloudevents"],
        ),
        "snapshot": _http_channel(
            _SNAPSHOT,
            "Tasks as they are, by default those that are not complete, and the number to follow "
            "events after.",
            ["snapshot"],
        ),
    }


def _http_channel(path: str, description: str, messages: Sequence[str]) -> dict[str, Any]:
    return {
        "address": path,
        "description": description,
        "servers": [{"$ref": "#/servers/http"}],
        "messages": _references("messages", messages),
    }


def _references(kind: str, names: Iterable[str]) -> dict[str, Any]:
    """Return references to components by name."""
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}


def _operations() -> dict[str, Any]:
    """Return what the server does on each channel, seen from the server."""
    return {
        "publishTaskEvents": {"action": "send", "channel": {"$ref": "#/channels/taskEvents"}},
        "streamEvents": _get("eventStream", EVENTS_QUERY),
        "answerEvents": _get("eventPages", PAGE_QUERY),
        "answerSnapshot": _get("snapshot", SNAPSHOT_QUERY),
        **webhooks.operations(),
        **exchanges.operations(),
    }


def _get(channel: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return what answers a GET with such a query."""
    binding = {
        "method": "GET",
        "query": {"type": "object", "properties": dict(query)},
        "bindingVersion": _HTTP_BINDING,
    }
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"http": binding},
    }


def _messages(source: str) -> dict[str, Any]:
    """Return every message on every channel."""
    found: dict[str, Any] = {}
    for name, kind in BODIES.items():
        if name in TASK_BODIES:
            found[f"amqp.{name}"] = _amqp_message(name, kind, source)
        found[f"sse.{name}"] = _message(
            kind, "Its id is the event's number, its event the type, its data this.", name=name
        )
    about = "Its id is the event's number, its event the type; for format=cloudevents."
    return found | {
        "sse.cloudevent": _message(CloudEvent, about, contentType="application/cloudevents+json"),
        "sse.stale": _message(
            Stale, "Has no id. The stream goes on with the oldest event that is left.", name="stale"
        ),
        "page": _message(EventsPage),
        "page.cloudevents": _message(CloudEventsPage, "For format=cloudevents."),
        "snapshot": _message(Snapshot),
        **webhooks.messages(),
        **exchanges.messages(source),
    }


def _message(kind: Any, description: str = "", **more: Any) -> dict[str, Any]:
    """Return a message with this payload."""
    told = {"description": description} if description else {}
    return {"payload": {"$ref": f"#/components/schemas/{kind.__name__}"}, **told, **more}


def _amqp_message(name: str, kind: Any, source: str) -> dict[str, Any]:
    """Return an event as it goes by AMQP, with an example."""
    lasting = "persistent" if name == TASK_EVENT_TYPES[EventKind.STATUS] else "transient"
    sample = message_of(example(name), source=source)
    return _message(
        kind,
        f"Its delivery mode is {lasting}, its message_id cloudEvents:id, its type the event's.",
        name=name,
        headers={"$ref": f"#/components/schemas/{AmqpHeaders.__name__}"},
        correlationId={"location": "$message.header#/cloudEvents:subject"},
        examples=[{"headers": sample.headers, "payload": msgspec.json.decode(sample.body)}],
        bindings={
            "amqp": {
                "contentEncoding": Message.content_encoding,
                "messageType": name,
                "bindingVersion": _AMQP_BINDING,
            }
        },
    )
