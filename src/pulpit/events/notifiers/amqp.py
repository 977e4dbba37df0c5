"""Listeners of type amqp: a message for each event, to a topic exchange of the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pulpit.config.settings import Messaging
from pulpit.domain.deliveries import REASON_KEPT, Exchange, Parcel, Receipt, Verdict
from pulpit.domain.listeners import OpenListener
from pulpit.errors import InvalidValue, RequestError, UnsupportedValue
from pulpit.events.amqp.addresses import Address, parse_addresses
from pulpit.events.amqp.connecting import LinkOptions
from pulpit.events.amqp.exchanges import find_or_declare
from pulpit.events.amqp.link import Link, open_link
from pulpit.events.amqp.settings import PublisherSettings
from pulpit.events.amqp.turns import Turns
from pulpit.events.notifiers.amqp_carrier import BOUNDS, Bounds, Carried, Carrier, Job
from pulpit.events.notifiers.amqp_messages import frames_of, routing_key
from pulpit.events.notifiers.lines import one_line

__all__ = ["AmqpNotifier"]

_KEYS = ("exchange",)
_LONGEST_NAME = 127
#: Exchanges at a time, each with a connection.
_MOST_CARRIERS = 16
_DEFAULT = "amq.topic"
#: Seconds to wait for threads to end.
_GOODBYE = 3.0


class AmqpNotifier:
    """Publishes a message for each delivery; see ``pulpit.ports.Notifier``.

    Delivered is what the broker has confirmed.

    Args:
        settings: the broker, and the exchange of listeners that name none; it need not be the
            broker of the task events, which may be off.
        timeout: seconds that one attempt may take.
        event_source: URL of this server.
        log: a structlog logger.
        bounds: how much is under way for each exchange.

    Raises:
        ConfigurationError: the URLs can't be used.
    """

    def __init__(
        self,
        settings: Messaging,
        *,
        timeout: float,
        event_source: str,
        log: Any,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._settings, self._timeout = settings, timeout
        self._source, self._log, self._bounds = event_source, log, bounds
        urls = ";".join(settings.broker_urls)
        self._addresses = parse_addresses(urls)
        # who has just been refused is not asked again before a while, and nobody waits for long
        self._rests = PublisherSettings(urls=urls, retry_longest=1.0, retry_refused=1.0)
        self._options = LinkOptions(cacert=settings.cacert, clientcert=settings.certificate_to_show)
        self._carriers: dict[str, Carrier] = {}

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        try:
            return await self._deliver(listener.listener.config, parcel, trace=trace)
        except RequestError as error:
            return _failed(error.message)
        except Exception:  # noqa: BLE001 - such as no more threads, or files
            self._log.exception("a message could not be sent", delivery_id=parcel.id)
            return _failed("an error of the server's own; its log tells more")

    def check(self, config: Mapping[str, Any]) -> None:
        if unknown := [name for name in config if name not in _KEYS]:
            raise UnsupportedValue(
                *(one_line(name, 50) for name in unknown[:10]),
                why="listeners of type amqp have exchange alone",
            )
        self._exchange(config)

    async def close(self) -> None:
        carriers = list(self._carriers.values())
        self._carriers.clear()
        for carrier in carriers:
            carrier.stop()
        await asyncio.gather(*(asyncio.to_thread(each.join, _GOODBYE) for each in carriers))

    async def _deliver(self, config: Mapping[str, Any], parcel: Parcel, *, trace: bool) -> Receipt:
        """Deliver once; raise InvalidValue if the configuration can't be used."""
        exchange = self._exchange(config)
        job = Job(
            frames=lambda frame_max: frames_of(
                parcel, exchange=exchange, source=self._source, frame_max=frame_max
            ),
            size=len(parcel.body),
        )
        carrier = self._carrier(exchange, job)
        if carrier is None:
            return _failed(
                f"more than {_MOST_CARRIERS} exchanges are in use at a time: have listeners share "
                "exchanges; routing keys tell their messages apart"
            )
        carried = await self._await(carrier, job)
        receipt = _failed(carried.reason) if carried.reason else Receipt(verdict=Verdict.DELIVERED)
        if not trace:
            return receipt
        key = routing_key(parcel.event_type)
        sent = f"basic.publish to exchange {exchange}, key {key}, {len(parcel.body)} bytes"
        exchanged = Exchange(
            peer=carried.peer,
            sent=(sent,) if carried.connected else (),
            received=() if carried.reason else ("basic.ack",),
        )
        return replace(receipt, exchange=exchanged)

    def _exchange(self, config: Mapping[str, Any]) -> str:
        """Return the exchange of a listener.

        Raises:
            InvalidValue: it can't be one.
        """
        exchange = config.get("exchange") or self._settings.topic_exchange or _DEFAULT
        if not isinstance(exchange, str) or not exchange.isprintable():
            raise InvalidValue("exchange", why="a text of printable characters")
        if len(exchange.encode()) > _LONGEST_NAME:
            raise InvalidValue("exchange", why=f"at most {_LONGEST_NAME} bytes")
        return exchange

    def _carrier(self, exchange: str, job: Job) -> Carrier | None:
        """Hand the message to who carries to the exchange; None if there are too many of these."""
        carrier = self._carriers.pop(exchange, None)
        if carrier is None or not carrier.take(job):
            if not self._make_room():
                return None
            carrier = Carrier(
                Turns(self._addresses, self._rests),
                connect=partial(self._connect, exchange),
                log=self._log,
                bounds=self._bounds,
            )
            carrier.take(job)
        self._carriers[exchange] = carrier
        return carrier

    def _make_room(self) -> bool:
        """Let go of a carrier that is idle, if there are many; return whether there is room."""
        if len(self._carriers) < _MOST_CARRIERS:
            return True
        idle = next((name for name, each in self._carriers.items() if each.idle), None)
        if idle is None:
            return False
        self._carriers.pop(idle).stop()
        return True

    def _connect(self, exchange: str, address: Address) -> Link:
        """Open a connection for messages to the exchange; called by a carrier's thread."""
        return open_link(
            address,
            self._options,
            name="pulpit-listeners",
            exchange=exchange,
            declare=find_or_declare,
        )

    async def _await(self, carrier: Carrier, job: Job) -> Carried:
        """Return what came of the message, within the time."""
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(job.done)
        except TimeoutError:
            late = (
                f"{carrier.peer} has not confirmed the message within {self._timeout:g} seconds: "
                "look at the broker's log, or raise timeout in [listeners]"
            )
            reason = carrier.trouble or late
            return Carried(peer=carrier.peer, reason=reason, connected=carrier.connected)


def _failed(reason: str) -> Receipt:
    return Receipt(verdict=Verdict.FAILED, reason=one_line(reason, REASON_KEPT))
