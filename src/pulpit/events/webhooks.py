"""What listeners of type http are told, as parts of the AsyncAPI document."""

from __future__ import annotations

from typing import Any

import msgspec

from pulpit.domain.payloads import Notification
from pulpit.events.documents import WebhookHeaders
from pulpit.events.examples import example_headers, example_notification
from pulpit.events.schemas import PAYLOADS

__all__ = ["channels", "messages", "operations", "servers"]

_BINDING = "0.3.0"


def servers() -> dict[str, Any]:
    """Return the receiver, which each listener names."""
    return {
        "receiver": {
            "host": "{host}",
            "protocol": "https",
            "description": "The host of a listener's URL; http only where the URL says so.",
            "variables": {"host": {"description": "Host of the URL, and port if it names one."}},
        }
    }


def channels() -> dict[str, Any]:
    """Return where listeners of type http are told."""
    return {
        "webhooks": {
            "address": None,
            "title": "Events that listeners of type http are told",
            "description": "POSTed to the URL of each listener that asks for the event type, with "
            "the user and password that it names. Any answer of 2xx is taken for delivered; "
            "anything else is tried again with the same webhook-id.",
            "servers": [{"$ref": "#/servers/receiver"}],
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"} for name in map(_name, PAYLOADS)
            },
        }
    }


def operations() -> dict[str, Any]:
    """Return what the server does there."""
    return {
        "notifyListeners": {
            "action": "send",
            "channel": {"$ref": "#/channels/webhooks"},
            "bindings": {"http": {"method": "POST", "bindingVersion": _BINDING}},
        }
    }


def messages() -> dict[str, Any]:
    """Return what is POSTed for each event type, with an example."""
    headers = {"$ref": f"#/components/schemas/{WebhookHeaders.__name__}"}
    return {
        _name(event_type): {
            "name": event_type,
            "headers": headers,
            "payload": {"$ref": f"#/components/schemas/{Notification.__name__}"},
            "examples": [
                {
                    "headers": example_headers(),
                    "payload": msgspec.json.decode(example_notification(event_type)),
                }
            ],
        }
        for event_type in PAYLOADS
    }


def _name(event_type: str) -> str:
    """Return the name of the message."""
    return f"webhook.{event_type}"
