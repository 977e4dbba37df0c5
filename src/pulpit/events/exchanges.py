"""What listeners of type amqp are told, as parts of the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pulpit.domain.payloads import Notification
from pulpit.events.documents import ListenerHeaders
from pulpit.events.examples import example_notification, example_parcel
from pulpit.events.notifiers.amqp_messages import headers_of, routing_key
from pulpit.events.schemas import PAYLOADS

__all__ = ["channels", "messages", "operations"]

_BINDING = "0.3.0"


def channels(servers: Iterable[str], exchange: str) -> dict[str, Any]:
    """Return where listeners of type amqp are told.

    Args:
        servers: names of the brokers.
        exchange: of listeners that name none.
    """
    return {
        "listenerExchange": {
            "address": routing_key("{eventType}"),
            "title": "Events that listeners of type amqp are told",
            "description": "Sent to the exchange that a listener names, else to this one, which is "
            "declared where it is not there. Delivered is what the broker has confirmed; anything "
            "else is tried again with the same message_id.",
            "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
            "parameters": {
                "eventType": {
                    "description": "The event type, such as repo.sync.finish.",
                    "location": "$message.payload#/event_type",
                }
            },
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"} for name in map(_name, PAYLOADS)
            },
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {
                        "name": exchange,
                        "type": "topic",
                        "durable": True,
                        "autoDelete": False,
                    },
                    "bindingVersion": _BINDING,
                }
            },
        }
    }


def operations() -> dict[str, Any]:
    """Return what the server does there."""
    return {
        "notifyExchanges": {"action": "send", "channel": {"$ref": "#/channels/listenerExchange"}}
    }


def messages(source: str) -> dict[str, Any]:
    """Return what is sent for each event type, with an example.

    Args:
        source: URI of this server.
    """
    headers = {"$ref": f"#/components/schemas/{ListenerHeaders.__name__}"}
    return {
        _name(event_type): {
            "name": event_type,
            "description": "Its delivery mode is persistent, its message_id that of the delivery, "
            "its type the event type.",
            "headers": headers,
            "payload": {"$ref": f"#/components/schemas/{Notification.__name__}"},
            "examples": [
                {
                    "headers": headers_of(example_parcel(event_type), source=source),
                    "payload": msgspec.json.decode(example_notification(event_type)),
                }
            ],
            "bindings": {
                "amqp": {
                    "contentEncoding": "utf-8",
                    "messageType": event_type,
                    "bindingVersion": _BINDING,
                }
            },
        }
        for event_type in PAYLOADS
    }


def _name(event_type: str) -> str:
    """Return the name of the message."""
    return f"exchange.{event_type}"
