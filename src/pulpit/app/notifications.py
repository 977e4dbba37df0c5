"""The channels by AMQP, opened, changed and closed while the server runs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from pulpit.app.plans import Plan, Way, calls_for, plan
from pulpit.app.tls import Tls
from pulpit.config import Address, Anonymous, Settings, masked_url
from pulpit.errors import AuthenticationFailed, StartError
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings, PublisherStatus
from pulpit.events.door import Door, DoorSettings
from pulpit.events.live import DoorFeed
from pulpit.events.message import message_of
from pulpit.services.users import Users
from pulpit.storage.database import SqlStorage

__all__ = ["Notifications"]

#: Seconds that a channel gets to tell what was written last when it is closed for another.
_LAST_WORDS = 5.0


class Notifications:
    """The channels by AMQP, opened, changed and closed while the server runs.

    Args:
        settings: of the server.
        storage: where journal and cursors are.
        users: who may read events at the door.
        tls: lets handshakes go before the door's own protocol.
        log: where it is told which way was chosen.
    """

    def __init__(
        self, settings: Settings, *, storage: SqlStorage, users: Users, tls: Tls, log: Any
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._log = log
        self._uri = settings.event_source
        self._storage = storage
        self._users = users
        #: What the settings call for, and what holds: a door may not have opened.
        self._wanted = self._plan = Plan()
        self._broker: _Broker | None = None
        self._door: _OpenDoor | None = None

    async def start(self) -> None:
        """Open what the settings call for.

        Raises:
            ConfigurationError: the URL of the broker can't be used.
            StartError: the door can't listen where it is to.
        """
        chosen = await plan(self._settings)
        broker = self._make_broker(self._settings, chosen)
        if chosen.door:
            self._door = await self._open_door(self._door_settings(self._settings, chosen.door))
        await self._change_broker(broker)
        self._wanted = self._plan = chosen
        self._log.info("task events by AMQP", **self._where())

    async def reload(self, settings: Settings) -> None:
        """Let other settings take effect; what they do not concern stays as it is.

        A publisher that goes on elsewhere does so from its cursor; one that is turned on starts
        at the journal's head; one that has no connection tries again at once. A door that can't
        open is told in the log.

        Raises:
            ConfigurationError: the URL of the broker can't be used; nothing has changed.
        """
        chosen = self._wanted
        if calls_for(settings) != calls_for(self._settings):
            chosen = await plan(settings, own_door=self.door_address)
        broker = self._make_broker(settings, chosen)
        before = self._where()
        # who changes from the one channel to the other should find it open
        at = chosen.door
        await self._change_door(self._door_settings(settings, at) if at else None)
        if not self._serves(broker):
            await self._change_broker(broker)
        door = Address(*self._door.door.address) if self._door else None
        self._plan = dataclasses.replace(chosen, door=door)
        self._wanted, self._settings = chosen, settings
        if self._where() != before:
            self._log.info("task events by AMQP", **self._where())

    async def stop(self, seconds: float) -> None:
        """Tell what was written last, then close them."""
        if self._door:
            await self._door.close(seconds)
        if self._broker:
            await asyncio.to_thread(self._broker.publisher.stop, seconds)

    def status(self) -> Mapping[str, Any]:
        """Return which way holds, where, and how the broker takes it; for everybody to read."""
        status = self._where()
        if publisher := self.publisher_status():
            status["publisher"] = {
                "connected": publisher.connected,
                "blocked": publisher.blocked,
                "reason": publisher.reason,
                "lag": publisher.lag,
            }
        return status

    @property
    def way(self) -> Way:
        """Which way holds."""
        return self._plan.way

    def publisher_status(self) -> PublisherStatus | None:
        """Return how the publisher is doing; None where nothing is published to a broker."""
        broker = self._broker
        return broker.publisher.status() if broker else None

    def door_figures(self) -> Mapping[str, int] | None:
        """Return what is at the door and what happened there; None where it is closed."""
        door = self._door
        return door.door.figures() if door else None

    @property
    def connected(self) -> bool:
        """Whether consumers are reached now."""
        if publisher := self.publisher_status():
            return publisher.connected
        return self._door is not None

    @property
    def door_address(self) -> tuple[str, int] | None:
        """Where the door listens, if it is open."""
        return self._door.door.address if self._door else None

    @property
    def door_tls(self) -> bool:
        """Whether the door is open and speaks TLS."""
        return bool(self._door and self._door.settings.tls)

    def positions(self) -> Mapping[str, int]:
        """Return how far the channels are whose cursors the database does not keep."""
        door = self._door
        return {"door": door.feed.position} if door else {}

    def _where(self) -> dict[str, Any]:
        """Return which way holds, and where."""
        where: dict[str, Any] = {"way": self._plan.way.value}
        if self._plan.broker:
            where["broker"] = [masked_url(url) for url in self._plan.broker]
        if self.door_address:
            where["door"] = "{}:{}".format(*self.door_address)
        return where

    def _make_broker(self, settings: Settings, chosen: Plan) -> _Broker | None:
        """Return the publisher that a plan calls for, not started."""
        if not chosen.broker:
            return None
        messaging = settings.messaging
        publishing = PublisherSettings(
            urls=";".join(chosen.broker),
            cacert=messaging.cacert,
            clientcert=messaging.certificate_to_show,
        )
        publisher = Publisher(
            publishing,
            source=self._storage.events,
            cursors=self._storage.cursors,
            event_source_uri=self._uri,
            log=self._log,
        )
        return _Broker(publishing, publisher)

    def _serves(self, wanted: _Broker | None) -> bool:
        """Return whether the publisher may stay: it is as is wanted, and has a connection."""
        if not self._broker or not wanted:
            return self._broker is wanted
        # one that waits to try again, or does so no more, gets a new start
        connected = self._broker.publisher.status().connected
        return connected and self._broker.settings == wanted.settings

    async def _change_broker(self, wanted: _Broker | None) -> None:
        """Publish as is wanted from now on."""
        old = self._broker
        if old:
            await asyncio.to_thread(old.publisher.stop, _LAST_WORDS)
        if wanted:
            await asyncio.to_thread(wanted.publisher.start)
        # until here the old one is asked how it does, and tells that it has no connection
        self._broker = wanted
        if wanted:
            return
        if old and (lag := old.publisher.status().lag):
            self._log.warning(
                "The publisher is turned off before the broker had confirmed all events: they "
                "stay in the journal and are not sent",
                lag=lag,
            )
        # turned on again, it starts at the head: no history is replayed
        await asyncio.to_thread(self._storage.cursors.drop, CURSOR)

    async def _change_door(self, wanted: DoorSettings | None) -> None:
        """Open the door as is wanted, or close it; one that can't open is told."""
        old = self._door
        if wanted == (old.settings if old else None):
            return
        # two doors can't share a port, not even at two addresses
        shares_port = bool(old and wanted and old.settings.port == wanted.port)
        if old and (shares_port or not wanted):
            self._door = None
            await old.close(_LAST_WORDS)
        if not wanted:
            return
        try:
            self._door = await self._open_door(wanted)
        except StartError as error:
            self._log.error("The door stays as it is", problem=str(error))
            if old and shares_port:
                self._door = await self._open_door(old.settings)
        else:
            if old and not shares_port:
                await old.close(_LAST_WORDS)

    async def _open_door(self, settings: DoorSettings) -> _OpenDoor:
        """Open a door.

        Raises:
            StartError: it can't listen there.
        """
        door = Door(settings, authenticate=self._authenticate, log=self._log)
        feed = DoorFeed(
            self._storage.events,
            publish=lambda event: door.publish(message_of(event, source=self._uri), event),
            log=self._log,
        )
        await door.start()
        feed.start()
        return _OpenDoor(settings, door, feed)

    def _door_settings(self, settings: Settings, address: Address) -> DoorSettings:
        """Return how the door is to be opened."""
        return DoorSettings(
            host=address.host,
            port=address.port,
            anonymous_loopback=settings.door.anonymous is Anonymous.LOOPBACK,
            tls=self._tls.before_amqp if settings.door.tls else None,
        )

    async def _authenticate(self, login: str, password: str) -> bool:
        try:
            await asyncio.to_thread(self._users.authenticate, login, password)
        except AuthenticationFailed:
            return False
        return True


class _Broker(NamedTuple):
    """A publisher and what it was made from."""

    settings: PublisherSettings
    publisher: Publisher


class _OpenDoor(NamedTuple):
    """A door, what it was made from, and what carries the events to it."""

    settings: DoorSettings
    door: Door
    feed: DoorFeed

    async def close(self, seconds: float) -> None:
        """Tell what is written by now, within *seconds*, and close it."""
        await self.feed.drain(seconds)
        await self.feed.stop()
        await self.door.stop()
