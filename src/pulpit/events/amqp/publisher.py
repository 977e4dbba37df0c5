"""The publisher: one thread that carries the journal to a broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Thread
from typing import Any, Protocol

from pulpit.errors import DatabaseFailed, Fenced
from pulpit.events.amqp.addresses import Address, parse_addresses
from pulpit.events.amqp.connecting import LinkOptions, always
from pulpit.events.amqp.delivery import Delivery
from pulpit.events.amqp.frames import Confirm
from pulpit.events.amqp.link import open_link
from pulpit.events.amqp.reasons import LinkError, Reason, Troubles
from pulpit.events.amqp.settings import PublisherSettings, PublisherStatus
from pulpit.events.amqp.turns import Turns
from pulpit.events.amqp.wake import Wake
from pulpit.events.message import Message
from pulpit.ports import CursorStore, EventSource

__all__ = ["BrokerLink", "Publisher"]

#: Messages that leave in one write.
_BATCH = 64
#: The journal is asked again after so many seconds even if nothing was announced.
_TICK = 1.0
#: A connection that lasted so many seconds was a good one.
_GOOD_AFTER = 10.0
#: Of the time to stop, so many seconds at most are for the end of the connection.
_GOODBYE = 1.0
_ALARM = (
    "The broker takes no messages: look at its memory and disk alarms; tasks go on and "
    "events wait in the journal"
)


class BrokerLink(Protocol):
    """A connection as the publisher uses it; every call but the last may raise LinkError."""

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no messages for now."""

    @property
    def backed_up(self) -> bool:
        """Whether what was published before has not left yet."""

    def publish(self, messages: list[Message]) -> None:
        """Send messages in order, without waiting."""

    def receive(self) -> list[Confirm]:
        """Return the confirms that have arrived, without waiting."""

    def wait(self, *wakers: Any, timeout: float) -> None:
        """Return when the broker or one of *wakers* has news, or time is up."""

    def close(self) -> None:
        """End the connection, in good order if it still stands."""

    def drop(self) -> None:
        """End the connection at once: what has not left yet never will."""


class Publisher:
    """Publishes task events in the order of the journal, each status change at least once.

    It never holds up whoever writes the journal. While no broker takes messages, events wait in
    the journal, and the publisher holds one read and one window of them.

    Args:
        settings: where to and how.
        source: the journal.
        cursors: where the number is kept up to which everything is confirmed.
        event_source_uri: URI of this server, CloudEvents' ``source``.
        log: a structlog logger.
        may_publish: tells whether this process still is the one to publish; once it is not, nothing
            is sent or saved any more, and what is not confirmed is left to the next one.
        fenced: called, in the publisher's thread, when the cursor may not be saved since another
            process is the one to publish; this publisher has ended then.
        connect: opens a link to a broker, or raises LinkError.

    Raises:
        ConfigurationError: the URLs can't be used.
    """

    def __init__(
        self,
        settings: PublisherSettings,
        *,
        source: EventSource,
        cursors: CursorStore,
        event_source_uri: str,
        log: Any,
        may_publish: Callable[[], bool] = always,
        fenced: Callable[[], None] = lambda: None,
        connect: Callable[[Address, LinkOptions], BrokerLink] = open_link,
    ) -> None:
        self._settings, self._source, self._cursors = settings, source, cursors
        self._uri, self._log, self._connect = event_source_uri, log, connect
        self._may_publish, self._fenced = may_publish, fenced
        self._addresses = parse_addresses(settings.urls)
        self._options = LinkOptions(
            cacert=settings.cacert,
            clientcert=settings.clientcert,
            timeout=settings.connect_timeout,
            heartbeat=settings.heartbeat,
            may_send=may_publish,
        )
        self._turns = Turns(self._addresses, settings)
        self._troubles = Troubles(log)
        #: Whether the connection in use must show first that it is better than the one before.
        self._in_doubt = False
        self._stopping, self._abandoned = Flag(), Flag()
        self._deadline = 0.0
        self._link: BrokerLink | None = None
        self._blocked = False
        self._delivery: Delivery | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Take up the journal where the cursor stands, or at its head if there is none.

        While the database is away, that is done by itself as soon as it is back.
        """
        for address in self._addresses:
            if address.note:
                self._log.warning(
                    "a broker's URL is read in another sense", note=address.note, url=str(address)
                )
        with suppress(DatabaseFailed):
            self._delivery = self._begun()
        wake = Wake()
        unsubscribe = self._source.subscribe(wake.ring)
        self._wake, self._unsubscribe = wake, unsubscribe
        self._thread = Thread(target=self._run, name="amqp-publisher", daemon=True)
        self._thread.start()

    def _begun(self) -> Delivery:
        """Return what the journal is delivered by, from where the cursor stands.

        Raises:
            DatabaseFailed: the cursor can't be read.
            Fenced: it is for another process to publish by now.
        """
        delivery = Delivery(
            self._settings,
            source=self._source,
            cursors=self._cursors,
            event_source_uri=self._uri,
            log=self._log,
        )
        # a crash before the first confirm must not make the journal's new head the start
        delivery.save_cursor(now=True)
        return delivery

    def stop(self, timeout: float = 5.0) -> None:
        """Have the rest of the journal confirmed and save the cursor, within *timeout* seconds.

        A thread that hangs longer, in a connection that is not answered, is left to itself; it
        publishes and saves nothing any more.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._deadline = time.monotonic() + max(timeout - _GOODBYE, timeout / 2)
        self._stopping.set()
        self._unsubscribe()
        self._wake.ring()
        thread.join(timeout)
        if thread.is_alive():
            self._abandoned.set()
            self._log.warning("The publisher did not stop in time; events will be sent again")
        else:
            self._wake.close()

    def status(self) -> PublisherStatus:
        """Return how it is doing; may be called from any thread once started."""
        delivery, link = self._delivery, self._link
        counts = self._troubles.counts
        if delivery:
            counts = {
                **counts,
                Reason.NACKED: delivery.nacks,
                Reason.JOURNAL_GAP: delivery.gaps,
                Reason.CURSOR_UNSAVED: delivery.unsaved,
            }
        return PublisherStatus(
            connected=link is not None,
            blocked=link is not None and self._blocked,
            url=str(self._turns.address),
            lag=max(self._source.head() - delivery.saved, 0) if delivery else 0,
            published=delivery.published if delivery else 0,
            confirmed=delivery.confirmed if delivery else 0,
            folded=delivery.folded if delivery else 0,
            resent=delivery.resent if delivery else 0,
            last_error=self._troubles.words,
            reason=self._reason(delivery),
            failures=counts,
        )

    def _reason(self, delivery: Delivery | None) -> Reason | None:
        """Return what is wrong now."""
        if self._troubles.reason:
            return self._troubles.reason
        if self._blocked:
            return Reason.BLOCKED
        return Reason.NACKED if delivery and delivery.nacked else None

    def _run(self) -> None:
        """Publish, until told to stop."""
        try:
            delivery = self._delivery or self._begun_at_last()
        except Fenced:
            self._fenced()
            return
        if delivery:
            self._deliver(delivery)

    def _begun_at_last(self) -> Delivery | None:
        """Return what ``_begun`` does once the database lets it; None if told to stop before.

        Raises:
            Fenced: it is for another process to publish by now.
        """
        is_told = False
        while not self._stopping.is_set() and self._may_publish():
            try:
                self._delivery = self._begun()
            except DatabaseFailed as error:
                if not is_told:
                    self._log.warning(
                        "Events are not published until the database can be read again",
                        reason=str(error),
                    )
                is_told = True
                self._stopping.wait(self._settings.retry_first)
            else:
                return self._delivery
        return None

    def _deliver(self, delivery: Delivery) -> None:
        """Keep a connection and serve it, until told to stop."""
        try:
            while not self._stopping.is_set() and self._may_publish():
                try:
                    self._connect_and_serve(delivery)
                except Fenced:
                    self._fenced()
                    return
                except LinkError as error:
                    self._tell(error)
                    if not error.own_door:
                        self._stopping.wait(self._turns.failed(refused=error.refused))
                    elif not self._turns.drop():
                        return
                except Exception as error:  # noqa: BLE001 - a dead thread tells nothing
                    self._tell(_defect(error), defect=True)
                    self._stopping.wait(self._turns.interrupted())
        finally:
            with suppress(Fenced):
                self._save_cursor(delivery)

    def _tell(self, error: LinkError, *, defect: bool = False) -> None:
        """Tell the operator what is wrong with the present broker."""
        self._troubles.tell(error, url=str(self._turns.address), defect=defect)

    def _save_cursor(self, delivery: Delivery) -> None:
        """Save the cursor at once, unless it may be another publisher's by now.

        Raises:
            Fenced: it is.
        """
        if not self._abandoned.is_set() and self._may_publish():
            delivery.save_cursor(now=True)

    def _connect_and_serve(self, delivery: Delivery) -> None:
        """Open a connection and use it until it is lost or all is done."""
        link = self._connect(self._turns.address, self._options)
        self._link = link
        if not self._in_doubt:
            self._well()
        try:
            self._serve(link, delivery)
        except Fenced:
            link.drop()
            raise
        except BaseException:
            # else one that takes a connection and ends it again would fill the log
            self._in_doubt = True
            raise
        finally:
            self._link, self._blocked = None, False
            # before anything can fail: the next connection counts its tags from 1 again
            delivery.connection_lost()
            link.close()
            self._save_cursor(delivery)

    def _well(self) -> None:
        """Tell the operator that events flow; what goes wrong from now on is told again."""
        self._in_doubt = False
        self._troubles.over()
        self._log.info("Events are published to the broker", url=str(self._turns.address))

    def _serve(self, link: BrokerLink, delivery: Delivery) -> None:
        """Send what there is and settle what is confirmed, until told to stop.

        Raises:
            LinkError: the connection is lost.
            Fenced: another process publishes by now.
        """
        opened, confirmed, proven = time.monotonic(), delivery.confirmed, False
        while not self._abandoned.is_set():
            if not self._may_publish():
                raise Fenced
            if self._wake.hear():
                delivery.events_came()
            delivery.settle(link.receive())
            self._note_blocked(link)
            if not proven and (
                delivery.confirmed > confirmed or time.monotonic() - opened > _GOOD_AFTER
            ):
                proven = True
                self._prove()
            if self._stopping.is_set() and self._may_end(link, delivery):
                return
            sending = not link.blocked and not link.backed_up
            batch = delivery.next_batch(_BATCH) if sending else []
            if batch:
                link.publish(batch)
            # after what was there has left: saving may wait for its turn to write
            delivery.save_cursor()
            if batch:
                continue
            began = time.monotonic()
            link.wait(self._wake, timeout=delivery.due(_TICK, sending=sending))
            if time.monotonic() - began >= _TICK:
                delivery.events_came()

    def _prove(self) -> None:
        """Note that the connection does what it is there for."""
        self._turns.succeeded()
        if self._in_doubt:
            self._well()

    def _may_end(self, link: BrokerLink, delivery: Delivery) -> bool:
        """Return whether waiting longer for confirms is of no use."""
        return delivery.drained or link.blocked or time.monotonic() >= self._deadline

    def _note_blocked(self, link: BrokerLink) -> None:
        """Tell the operator once when the broker takes no messages, and when it does again."""
        if link.blocked == self._blocked:
            return
        self._blocked = link.blocked
        if self._blocked:
            self._troubles.count(Reason.BLOCKED, _ALARM)
            self._log.warning(_ALARM, url=str(self._turns.address), reason=Reason.BLOCKED.value)
        else:
            self._log.info("The broker takes messages again", url=str(self._turns.address))


def _defect(error: Exception) -> LinkError:
    """Return what is told of an error of our own or of the database."""
    return LinkError(
        f"{type(error).__name__}: {error}; it is tried again by itself: if it goes on, report it "
        "with these lines",
        reason=Reason.DEFECT,
    )
