"""The channels by AMQP, opened, changed and closed while the server runs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from pulpit.api.events import EVENTS
from pulpit.app.plans import Plan, Way, calls_for, plan
from pulpit.app.tenure import LEASE, Term
from pulpit.app.tls import Tls
from pulpit.config import Address, Anonymous, Settings, masked_url
from pulpit.domain.permissions import Operation
from pulpit.errors import AuthenticationFailed, StartError
from pulpit.events.amqp import CURSOR, Publisher, PublisherSettings, PublisherStatus
from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.door import Door, DoorSettings
from pulpit.events.live import DoorFeed
from pulpit.events.message import message_of
from pulpit.ports import CursorStore
from pulpit.services.logins import Logins
from pulpit.storage.database import SqlStorage

__all__ = ["Notifications"]

#: Seconds that a channel gets to tell what was written last when it is closed for another.
_LAST_WORDS = 5.0


class Notifications:
    """The channels by AMQP, opened, changed and closed while the server runs.

    The door is open at every server; to the broker one of them publishes, during its terms.

    Args:
        settings: of the server.
        storage: where journal and cursors are.
        logins: who may read events at the door.
        tls: lets handshakes go before the door's own protocol.
        log: where it is told which way was chosen.
    """

    def __init__(
        self, settings: Settings, *, storage: SqlStorage, logins: Logins, tls: Tls, log: Any
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._log = log
        self._uri = settings.event_source
        self._storage = storage
        self._logins = logins
        #: What the settings call for, and what holds: a door may not have opened.
        self._wanted = self._plan = Plan()
        #: How to publish, if that is called for; during which term; and who does.
        self._publishing: PublisherSettings | None = None
        self._term: Term | None = None
        self._publisher: Publisher | None = None
        #: Held by who changes these.
        self._turn = asyncio.Lock()
        self._door: _OpenDoor | None = None

    async def start(self) -> None:
        """Open the door if the settings call for it, and be ready to publish if they do.

        Raises:
            ConfigurationError: the URL of the broker can't be used.
            StartError: the door can't listen where it is to.
        """
        chosen = await plan(self._settings)
        self._publishing = _publisher_settings(self._settings, chosen)
        if chosen.door:
            self._door = await self._open_door(self._door_settings(self._settings, chosen.door))
        self._wanted = self._plan = chosen
        self._tell()

    @contextlib.asynccontextmanager
    async def publishing(self, term: Term) -> AsyncIterator[None]:
        """Publish to the broker, if that is called for, while the block runs.

        At its end what was written last is still confirmed, unless the term is over.
        """
        async with self._turn:
            self._term = term
            await self._start_publisher()
        try:
            yield
        finally:
            async with self._turn:
                await self._stop_publisher()
                self._publisher = self._term = None

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
        wanted = _publisher_settings(settings, chosen)
        before = self.where()
        # who changes from the one channel to the other should find it open
        at = chosen.door
        await self._change_door(self._door_settings(settings, at) if at else None)
        async with self._turn:
            await self._change_publisher(wanted)
        door = Address(*self._door.door.address) if self._door else None
        self._plan = dataclasses.replace(chosen, door=door)
        self._wanted, self._settings = chosen, settings
        if self.where() != before:
            self._tell()

    def _tell(self) -> None:
        """Tell in the log which way holds."""
        self._log.info("task events by AMQP", **self.where())

    async def stop(self, seconds: float) -> None:
        """Tell what was written last at the door, then close it."""
        if self._door:
            await self._door.close(seconds)

    def status(self) -> Mapping[str, Any]:
        """Return which way holds, where, and how the broker takes it; for everybody to read.

        May block: a server that does not publish asks the database.
        """
        status = self.where()
        if publisher := self.publisher_status():
            status["publisher"] = {
                "connected": publisher.connected,
                "blocked": publisher.blocked,
                "reason": publisher.reason,
                "lag": publisher.lag,
            }
        elif self._publishing is not None:
            # another server publishes, or none does for the moment
            status["publisher"] = {"standby": True, "lag": self._lag()}
        return status

    @property
    def way(self) -> Way:
        """Which way holds."""
        return self._plan.way

    def publisher_status(self) -> PublisherStatus | None:
        """Return how the publisher is doing; None where this server publishes to no broker."""
        publisher, term = self._publisher, self._term
        return publisher.status() if publisher and term and term.holds else None

    def door_figures(self) -> Mapping[str, int] | None:
        """Return what is at the door and what happened there; None where it is closed."""
        door = self._door
        return door.door.figures() if door else None

    @property
    def connected(self) -> bool:
        """Whether this server reaches consumers now."""
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

    def where(self) -> dict[str, Any]:
        """Return which way holds, and where."""
        where: dict[str, Any] = {"way": self._plan.way.value}
        if self._plan.broker:
            where["broker"] = [masked_url(url) for url in self._plan.broker]
        if self.door_address:
            where["door"] = "{}:{}".format(*self.door_address)
        return where

    def _lag(self) -> int:
        """Return how far the broker is behind, by the cursor that is kept."""
        saved = self._storage.cursors.load(CURSOR)
        return 0 if saved is None else max(self._storage.events.head() - saved, 0)

    async def _change_publisher(self, wanted: PublisherSettings | None) -> None:
        """Publish as is wanted from now on, if this server does."""
        publisher, before = self._publisher, self._publishing
        self._publishing = wanted
        if not (self._term and self._term.holds) or (wanted is None and before is None):
            return
        # one that waits to try again, or does so no more, gets a new start
        if publisher and wanted == before and publisher.status().connected:
            return
        await self._stop_publisher()
        if publisher and not wanted and (lag := publisher.status().lag):
            self._log.warning(
                "The publisher is turned off before the broker had confirmed all events: they "
                "stay in the journal and are not sent",
                lag=lag,
            )
        await self._start_publisher()

    async def _start_publisher(self) -> None:
        """Publish from now on, in the present term, if that is wanted."""
        term = self._term
        assert term is not None
        cursors: CursorStore = self._storage.cursors
        if term.holder:
            cursors = self._storage.cursors.fenced(LEASE, term.holder)
        if self._publishing is None:
            self._publisher = None
            # turned on again, it starts at the head: no history is replayed
            await asyncio.to_thread(cursors.drop, CURSOR)
            return
        publisher = Publisher(
            self._publishing,
            source=self._storage.events,
            cursors=cursors,
            event_source_uri=self._uri,
            log=self._log,
            may_publish=lambda: term.holds,
            # the database knows better, and nobody else would publish during this term
            fenced=term.end,
        )
        await asyncio.to_thread(publisher.start)
        # until here the old one is asked how it does, and tells that it has no connection
        self._publisher = publisher

    async def _stop_publisher(self) -> None:
        """Publish no longer."""
        if self._publisher:
            await asyncio.to_thread(self._publisher.stop, _LAST_WORDS)

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
            caller = await asyncio.to_thread(self._logins.authenticate, login, password)
        except AuthenticationFailed:
            return False
        # it brings what the HTTP stream brings
        return caller.access.allows(Operation.READ, EVENTS)


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


def _publisher_settings(settings: Settings, chosen: Plan) -> PublisherSettings | None:
    """Return how a plan is published, if it is.

    Raises:
        ConfigurationError: the URL of the broker can't be used.
    """
    if not chosen.broker:
        return None
    urls = ";".join(chosen.broker)
    parse_addresses(urls)
    messaging = settings.messaging
    return PublisherSettings(
        urls=urls, cacert=messaging.cacert, clientcert=messaging.certificate_to_show
    )
