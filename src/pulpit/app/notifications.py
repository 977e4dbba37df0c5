"""Broker or door: where task events go by AMQP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pulpit.config import LOCAL_BROKER_URL, Address, Anonymous, Settings, masked_url
from pulpit.domain.events import Event
from pulpit.errors import AuthenticationFailed
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings, PublisherStatus
from pulpit.events.door import Door, DoorSettings
from pulpit.events.live import DoorFeed
from pulpit.events.message import message_of
from pulpit.services.users import Users
from pulpit.storage.database import SqlStorage

__all__ = ["Notifications", "Plan", "Way", "plan"]

#: The notification server where none is named, as Pulp 2 documented it.
_LOCAL = Address("localhost", 5672)
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


async def plan(settings: Settings) -> Plan:
    """Return what the settings, and what listens on this machine, call for."""
    messaging, address = settings.messaging, settings.door.address
    if not messaging.event_notifications_enabled:
        return Plan()
    if messaging.event_notification_url is not None:
        return Plan(broker=messaging.event_notification_url, door=address)
    if address is not None:
        return Plan(door=address)
    if await _listens(_LOCAL):
        return Plan(broker=(LOCAL_BROKER_URL,))
    return Plan(door=Address("127.0.0.1", _LOCAL.port))


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


class Notifications:
    """The channels by AMQP, opened and closed together.

    Args:
        chosen: what to open.
        settings: of the server.
        storage: where journal and cursors are.
        users: who may read events at the door.
        log: where it is told which way was chosen.
    """

    def __init__(
        self, chosen: Plan, settings: Settings, *, storage: SqlStorage, users: Users, log: Any
    ) -> None:
        self._plan = chosen
        self._log = log
        self._uri = settings.event_source
        self._storage = storage
        self._users = users
        self._publisher = self._make_publisher(settings) if chosen.broker else None
        self._door = self._make_door(settings, chosen.door) if chosen.door else None
        self._feed = DoorFeed(storage.events, publish=self._publish, log=log)

    async def start(self) -> None:
        """Open them.

        Raises:
            PortTaken: another process listens where the door is to.
        """
        if self._door:
            await self._door.start()
            self._feed.start()
        if self._publisher:
            await asyncio.to_thread(self._publisher.start)
        else:
            # turned on again, it starts at the head: no history is replayed
            await asyncio.to_thread(self._storage.cursors.drop, CURSOR)
        self._log.info("task events by AMQP", **self.status())

    async def stop(self, seconds: float) -> None:
        """Tell what was written last, then close them."""
        if self._door:
            await self._feed.drain(seconds)
            await self._feed.stop()
            await self._door.stop()
        if self._publisher:
            await asyncio.to_thread(self._publisher.stop, seconds)

    def status(self) -> Mapping[str, Any]:
        """Return which way holds, and where."""
        status: dict[str, Any] = {"way": self._plan.way.value}
        if self._plan.broker:
            status["broker"] = [masked_url(url) for url in self._plan.broker]
        if self._door:
            host, port = self._door.address
            status["door"] = f"{host}:{port}"
        return status

    @property
    def way(self) -> Way:
        """Which way holds."""
        return self._plan.way

    def publisher_status(self) -> PublisherStatus | None:
        """Return how the publisher is doing; None where nothing is published to a broker."""
        return self._publisher.status() if self._publisher else None

    def door_figures(self) -> Mapping[str, int] | None:
        """Return what is at the door and what happened there; None where it is closed."""
        return self._door.figures() if self._door else None

    @property
    def connected(self) -> bool:
        """Whether consumers are reached now."""
        if self._publisher:
            return self._publisher.status().connected
        return self._door is not None

    @property
    def door_address(self) -> tuple[str, int] | None:
        """Where the door listens, if it is open."""
        return self._door.address if self._door else None

    def positions(self) -> Mapping[str, int]:
        """Return how far the channels are whose cursors the database does not keep."""
        return {"door": self._feed.position} if self._door else {}

    def _make_publisher(self, settings: Settings) -> Publisher:
        messaging = settings.messaging
        return Publisher(
            PublisherSettings(
                urls=";".join(self._plan.broker),
                cacert=messaging.cacert,
                clientcert=messaging.clientcert if messaging.auth_enabled else None,
            ),
            source=self._storage.events,
            cursors=self._storage.cursors,
            event_source_uri=self._uri,
            log=self._log,
        )

    def _make_door(self, settings: Settings, address: Address) -> Door:
        return Door(
            DoorSettings(
                host=address.host,
                port=address.port,
                anonymous_loopback=settings.door.anonymous is Anonymous.LOOPBACK,
            ),
            authenticate=self._authenticate,
            log=self._log,
        )

    async def _authenticate(self, login: str, password: str) -> bool:
        try:
            await asyncio.to_thread(self._users.authenticate, login, password)
        except AuthenticationFailed:
            return False
        return True

    def _publish(self, event: Event) -> None:
        """Pass an event on to who stands at the door."""
        if self._door:
            self._door.publish(message_of(event, source=self._uri), event)
