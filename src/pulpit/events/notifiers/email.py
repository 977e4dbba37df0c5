"""Listeners of type email: a mail for each event, by the mail server of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pulpit.config.settings import Email
from pulpit.domain.deliveries import REASON_KEPT, RESPONSE_KEPT, Parcel, Receipt, Verdict
from pulpit.domain.listeners import OpenListener
from pulpit.errors import InvalidValue, MissingValue, RequestError, UnsupportedValue
from pulpit.events.notifiers.lines import one_line
from pulpit.events.notifiers.mail_addresses import ascii_address
from pulpit.events.notifiers.mail_connections import MailConnections
from pulpit.events.notifiers.mail_server import Accepted, HungUp, MailRefused, MailServer
from pulpit.events.notifiers.mails import host_of, mail
from pulpit.ports import Clock

__all__ = ["EmailNotifier"]

_KEYS = ("subject", "addresses")
_MOST_ADDRESSES, _LONGEST_SUBJECT = 50, 200
#: Mails, and connections, at a time: mail servers turn away who opens many.
_AT_ONCE = 2


class EmailNotifier:
    """Sends a mail for each delivery; see ``pulpit.ports.Notifier``.

    Delivered is what the mail server has taken for at least one of the addresses: were it sent
    again for the sake of the others, those who have it would get it each time.

    Args:
        settings: the mail server.
        timeout: seconds that one attempt may take, the wait for its turn included.
        event_source: URL of this server.
        log: a structlog logger.
        clock: the present time.
    """

    def __init__(
        self,
        settings: Email,
        *,
        timeout: float,
        event_source: str,
        log: Any,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._timeout = settings, timeout
        self._source, self._log, self._clock = event_source, log, clock
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._make = partial(MailServer, settings, name=host_of(event_source))
        self._connections = MailConnections(self._make, most=_AT_ONCE)

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        # who looks wants to see greeting and login as well
        traced = self._connections.take(fresh=True) if trace and self._settings.enabled else None
        try:
            receipt = await self._attempt(traced, listener.listener.config, parcel)
        except Exception:  # noqa: BLE001 - a mail server may break the library in any way
            self._log.exception("a mail could not be sent", delivery_id=parcel.id)
            receipt = _failed("an error of the server's own; its log tells more")
        # with mails off, no server was asked
        return receipt if traced is None else replace(receipt, exchange=traced.exchange)

    def check(self, config: Mapping[str, Any]) -> None:
        _read(config)

    async def close(self) -> None:
        await self._connections.close()

    async def _attempt(
        self, traced: MailServer | None, config: Mapping[str, Any], parcel: Parcel
    ) -> Receipt:
        """Send the mail, by a connection if one is given; return what came of it."""
        if not self._settings.enabled:
            return _failed("mails are off: set enabled in [email] to true, and start again")
        try:
            subject, recipients = _read(config)
            sender = self._sender()
            message = mail(
                parcel,
                sender=sender,
                recipients=recipients,
                subject=subject,
                source=self._source,
                now=self._clock(),
            )
            return _delivered(await self._send(traced, message, sender, recipients))
        except RequestError as error:
            return _failed(error.message)
        except MailRefused as error:
            return _failed(error.reason, status=error.status, response=error.response)

    async def _send(
        self, traced: MailServer | None, message: bytes, sender: str, recipients: Sequence[str]
    ) -> Accepted:
        """Hand the mail over within the time, once it is its turn.

        A connection that was kept may have been ended by the server, which says nothing about the
        mail; another one is tried then.

        Raises:
            MailRefused: it was not taken.
        """
        time = asyncio.get_running_loop().time
        handed_in, waited, server = time(), self._timeout, traced
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                waited = time() - handed_in
                while True:
                    server = traced or self._connections.take()
                    try:
                        accepted = await server.send(message, sender=sender, recipients=recipients)
                    except HungUp:
                        server.drop()
                        continue
                    except BaseException:
                        server.drop()
                        raise
                    self._connections.give_back(server)
                    return accepted
        except TimeoutError as error:
            silent = server or self._make()
            raise MailRefused(silent.silence(self._timeout, waited=waited)) from error

    def _sender(self) -> str:
        """Return whom mails are from.

        Raises:
            MailRefused: the setting is no address.
        """
        try:
            return ascii_address(self._settings.sender)
        except ValueError as error:
            raise MailRefused(f"from in [email] can't be used: {error}; correct it") from error


def _read(config: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    """Return the subject and the addresses of a configuration, or raise as ``check`` does."""
    if unknown := [name for name in config if name not in _KEYS]:
        raise UnsupportedValue(
            *(one_line(name, 50) for name in unknown[:10]),
            why=f"listeners of type email have {' and '.join(_KEYS)}",
        )
    if missing := [name for name in _KEYS if config.get(name) is None]:
        raise MissingValue(
            *missing, why="say in addresses who gets mails, in subject how their subjects begin"
        )
    subject, addresses = config["subject"], config["addresses"]
    if not isinstance(subject, str) or len(subject) > _LONGEST_SUBJECT:
        raise InvalidValue("subject", why=f"a text of at most {_LONGEST_SUBJECT} characters")
    if not subject.isprintable():
        raise InvalidValue("subject", why="one line of printable characters")
    if not isinstance(addresses, Sequence) or isinstance(addresses, str):
        raise InvalidValue("addresses", why="a list of mail addresses")
    if not 1 <= len(addresses) <= _MOST_ADDRESSES:
        raise InvalidValue("addresses", why=f"1 to {_MOST_ADDRESSES} mail addresses")
    return subject, _recipients(addresses)


def _recipients(addresses: Sequence[Any]) -> Sequence[str]:
    """Return each address once, as it goes to mail servers."""
    read: dict[str, None] = {}
    for number, address in enumerate(addresses, 1):
        if not isinstance(address, str):
            raise InvalidValue("addresses", why=f"number {number} is no text")
        try:
            read[ascii_address(address)] = None
        except ValueError as error:
            raise InvalidValue("addresses", why=f"number {number}: {error}") from error
    return list(read)


def _delivered(accepted: Accepted) -> Receipt:
    """Return the receipt of a mail that was taken; it names those whom it was not taken for."""
    refused = "".join(
        f"; refused: {recipient} ({answer})" for recipient, answer in accepted.refused.items()
    )
    return Receipt(
        verdict=Verdict.DELIVERED,
        status=accepted.status,
        response=one_line(f"{accepted.response}{refused}", RESPONSE_KEPT),
    )


def _failed(reason: str, *, status: int | None = None, response: str = "") -> Receipt:
    return Receipt(
        verdict=Verdict.FAILED,
        status=status,
        reason=one_line(reason, REASON_KEPT),
        response=one_line(response, RESPONSE_KEPT),
    )
