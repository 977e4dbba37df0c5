"""The AMQP door: an endpoint for subscriptions in the server itself, where there is no broker."""

from __future__ import annotations

from pulpit.events.door.door import Door
from pulpit.events.door.settings import DoorSettings

__all__ = ["Door", "DoorSettings"]
