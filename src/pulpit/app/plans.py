"""Broker or door: where task events go by AMQP."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum

from pulpit.config import LOCAL_BROKER_URL, Address, Settings

__all__ = ["LOCAL", "Plan", "Way", "calls_for", "local_plan", "plan", "settled"]

#: The notification server where none is named, as Pulp 2 documented it.
LOCAL = Address("localhost", 5672)
#: Where the door opens if nothing listens there.
_LOCAL_DOOR = Address("127.0.0.1", LOCAL.port)
_PROBE_SECONDS = 1.0


class Way(StrEnum):
    """How task events go out by AMQP."""

    OFF = "off"
    BROKER = "broker"
    DOOR = "door"
    BOTH = "broker and door"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be opened."""

    #: URLs of the broker to publish to, in the order in which they are tried.
    broker: tuple[str, ...] = ()
    #: Where the door is to listen.
    door: Address | None = None

    @property
    def way(self) -> Way:
        """The plan in a word."""
        if self.broker:
            return Way.BOTH if self.door else Way.BROKER
        return Way.DOOR if self.door else Way.OFF


async def plan(settings: Settings, *, own_door: tuple[str, int] | None = None) -> Plan:
    """Return what the settings, and what listens on this machine, call for.

    Args:
        settings: of the server.
        own_door: host and port of the server's door if it is open already, which is no broker.
    """
    if (chosen := settled(settings)) is not None:
        return chosen
    return local_plan(broker=own_door != _LOCAL_DOOR and await _listens(LOCAL))


def settled(settings: Settings) -> Plan | None:
    """Return what the settings alone call for; None: what listens at LOCAL decides."""
    messaging, address = settings.messaging, settings.door.address
    if not messaging.event_notifications_enabled:
        return Plan()
    if messaging.event_notification_url is not None:
        return Plan(broker=messaging.event_notification_url, door=address)
    return None if address is None else Plan(door=address)


def local_plan(*, broker: bool) -> Plan:
    """Return what is to be opened where the settings name nothing.

    Args:
        broker: whether a broker listens at LOCAL.
    """
    return Plan(broker=(LOCAL_BROKER_URL,)) if broker else Plan(door=_LOCAL_DOOR)


def calls_for(settings: Settings) -> tuple[object, ...]:
    """Return what a plan follows from; while that stays, what was found at the start holds."""
    messaging = settings.messaging
    return (
        messaging.event_notifications_enabled,
        messaging.event_notification_url,
        settings.door.address,
    )


async def _listens(address: Address) -> bool:
    """Tell whether something accepts connections there."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
