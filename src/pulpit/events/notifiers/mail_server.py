"""A conversation with a mail server: each step, its answer, and what a failure means."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import aiosmtplib
from aiosmtplib import SMTPResponse

from pulpit.config.settings import Email, StartTls
from pulpit.domain.deliveries import Exchange
from pulpit.events.notifiers.lines import one_line

__all__ = ["Accepted", "HungUp", "MailRefused", "MailServer"]

#: Characters of an answer.
_ANSWER = 300
#: Seconds for the goodbye, which changes nothing any more.
_GOODBYE = 1.0
#: The answer of a server that ends a connection.
_CLOSING = 421


class MailRefused(Exception):
    """The mail can't be sent.

    Args:
        reason: why, and what to do.
        status: of the answer that refuses it, if one does.
        response: that answer.
    """

    def __init__(self, reason: str, *, status: int | None = None, response: str = "") -> None:
        super().__init__(reason)
        self.reason, self.status, self.response = reason, status, response


class HungUp(Exception):
    """The server has ended a connection that was kept, and was given nothing of this mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A mail that the server has taken."""

    status: int
    response: str
    #: Recipients that it has refused, with its answers.
    refused: Mapping[str, str]


class MailServer:
    """A connection to the mail server of the settings, for one mail after another.

    Args:
        settings: where it is and how to speak to it.
        name: under which we greet it.
    """

    def __init__(self, settings: Email, *, name: str) -> None:
        self._settings = settings
        # the notifier bounds the time of all of it
        self._client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            local_hostname=name,
            timeout=None,
            use_tls=False,
            start_tls=False,
        )
        self._name = name
        self._where = f"{settings.host}:{settings.port}"
        #: The address that we are connected to.
        self.peer = self._where
        #: How many mails it has taken by this connection.
        self.mails = 0
        #: What was said for the newest mail, without secrets, and what was answered.
        self.sent: list[str] = []
        self.received: list[str] = []

    async def send(self, message: bytes, *, sender: str, recipients: Sequence[str]) -> Accepted:
        """Send one mail to all who are not refused.

        It is of no more use after an error.

        Raises:
            MailRefused: the server has not taken it for anybody, or did not say so.
            HungUp: not the first mail by this connection was to be sent, and it has ended.
        """
        self.sent.clear()
        self.received.clear()
        try:
            if not self.mails:
                await self._greet()
                await self._log_in()
            accepted = await self._hand_over(message, sender, recipients)
        except aiosmtplib.SMTPResponseException as error:
            if error.code == _CLOSING and self._is_at_start:
                raise HungUp from error
            raise self._refused(error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            if self._is_at_start:
                raise HungUp from error
            raise MailRefused(self._words(error)) from error
        self.mails += 1
        return accepted

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._client.is_connected

    @property
    def _is_at_start(self) -> bool:
        """Whether this is not the first mail, and nothing but its sender was told of it."""
        return self.mails > 0 and len(self.sent) == 1

    async def goodbye(self) -> None:
        """End the connection in good order, if the server answers soon."""
        with suppress(aiosmtplib.SMTPException, OSError):
            await self._client.execute_command(b"QUIT", timeout=_GOODBYE)

    def drop(self) -> None:
        """End the connection without a goodbye; one that has ended is fine."""
        # nothing is left to be sent: else the end of TLS would wait for the other side
        if abort := getattr(self._client.transport, "abort", None):
            abort()
        self._client.close()

    @property
    def exchange(self) -> Exchange:
        """What went over the wire so far."""
        return Exchange(peer=self.peer, sent=tuple(self.sent), received=tuple(self.received))

    def silence(self, seconds: float, *, waited: float) -> str:
        """Return what it means that the mail was not taken in so many seconds.

        Args:
            seconds: how many.
            waited: how many of them passed before it was this mail's turn.
        """
        if waited > seconds / 2:
            return (
                f"other mails kept {self._where} busy for {seconds:g} seconds: look at the mail "
                "server, or raise timeout in [listeners]"
            )
        what = self.sent[-1].partition(" ")[0] if self.sent else "the connection"
        return (
            f"{self._where} has not answered {what} within {seconds:g} seconds: look whether the "
            "mail server runs, or raise timeout in [listeners]"
        )

    async def _greet(self) -> None:
        """Connect, and go over to TLS if that is wanted and can be had."""
        self.received.append(_answer(await self._client.connect()))
        peer = self._client.get_transport_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else self._where
        await self._ehlo()
        wanted, offered = self._settings.starttls, self._client.supports_extension("starttls")
        if wanted is StartTls.OFF or (wanted is StartTls.OFFERED and not offered):
            return
        if not offered:
            raise MailRefused(
                f"{self._where} offers no STARTTLS: turn it on there, or set starttls in [email] "
                "to offered"
            )
        # reads the system's authorities
        context = await asyncio.to_thread(self._context)
        await self._step(
            "STARTTLS",
            self._client.starttls(tls_context=context, server_hostname=self._settings.host),
        )
        await self._ehlo()

    async def _ehlo(self) -> None:
        try:
            await self._step(f"EHLO {self._name}", self._client.ehlo())
        except aiosmtplib.SMTPHeloError:
            await self._step(f"HELO {self._name}", self._client.helo())

    def _context(self) -> ssl.SSLContext:
        """Return how TLS is spoken: with a server that is known, wherever that can be wanted.

        TLS that is merely taken where it is offered keeps listeners off, and the certificates of
        most mail servers on the same machine are nobody's.
        """
        cacert = self._settings.cacert
        try:
            context = ssl.create_default_context(cafile=cacert)
        except (OSError, ValueError) as error:
            raise MailRefused(
                f"cacert in [email], {cacert}, can't be used: {error}; it must be a PEM file that "
                "the server's user may read"
            ) from error
        shows_password = self._settings.user is not None and not self._is_loopback
        if self._settings.starttls is StartTls.OFFERED and not (cacert or shows_password):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    @property
    def _is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        peer = self._client.get_transport_info("peername")
        try:
            return bool(peer) and ip_address(peer[0]).is_loopback
        except ValueError:
            return False

    async def _log_in(self) -> None:
        """Log in, if there is a user, and nobody between can read the password."""
        user, password = self._settings.user, self._settings.password
        if user is None:
            return
        if self._client.get_transport_info("sslcontext") is None and not self._is_loopback:
            raise MailRefused(
                f"the password of [email] is not shown to {self._where} without TLS: have the "
                "mail server offer STARTTLS, or take user and password out"
            )
        offered = self._client.server_auth_methods
        log_in = next((way for name, way in self._ways_to_log_in if name in offered), None)
        if log_in is None:
            raise MailRefused(
                f"{self._where} offers no way to log in that the server has: turn AUTH PLAIN or "
                "LOGIN on there, or take user and password out of [email]"
            )
        await self._step("AUTH as user of [email]", log_in(user, password or ""))

    @property
    def _ways_to_log_in(self) -> Sequence[tuple[str, Callable[[str, str], Awaitable[Any]]]]:
        """The ways to log in, by name; one is tried, as servers lock out who fails often."""
        client = self._client
        return (
            ("plain", client.auth_plain),
            ("login", client.auth_login),
            ("cram-md5", client.auth_crammd5),
        )

    async def _hand_over(self, message: bytes, sender: str, recipients: Sequence[str]) -> Accepted:
        """Hand the mail over for those whom the server takes it for."""
        await self._step(f"MAIL FROM:<{sender}>", self._client.mail(sender))
        refused: dict[str, SMTPResponse] = {}
        for recipient in recipients:
            try:
                await self._step(f"RCPT TO:<{recipient}>", self._client.rcpt(recipient))
            except aiosmtplib.SMTPRecipientRefused as error:
                refused[recipient] = SMTPResponse(error.code, error.message)
        if len(refused) == len(recipients):
            first = refused[recipients[0]]
            raise self._refused(first.code, first.message)
        answer = await self._step(f"DATA ({len(message)} bytes)", self._client.data(message))
        return Accepted(
            status=answer.code,
            response=_answer(answer),
            refused={recipient: _answer(answer) for recipient, answer in refused.items()},
        )

    async def _step(self, said: str, step: Awaitable[SMTPResponse]) -> SMTPResponse:
        """Take a step and note what was said and answered."""
        self.sent.append(said)
        try:
            answer = await step
        except aiosmtplib.SMTPResponseException as error:
            self.received.append(_answer(SMTPResponse(error.code, error.message)))
            raise
        self.received.append(_answer(answer))
        return answer

    def _refused(self, code: int, message: str) -> MailRefused:
        """Return what an answer means that refuses."""
        if code < 0:
            # what the library makes of an answer that is none
            return MailRefused(
                f"what answers at {self._where} is no mail server: correct host and port in "
                f"[email] ({one_line(message, _ANSWER // 2)})"
            )
        answer = _answer(SMTPResponse(code, message))
        return MailRefused(
            f"{self._where} refuses {self._at}: {answer}", status=code, response=answer
        )

    @property
    def _at(self) -> str:
        """What was under way, in words."""
        match self.sent[-1].partition(" ")[0] if self.sent else "":
            case "AUTH":
                return "user and password of [email]; correct them"
            case "MAIL":
                return "the sender, from in [email]"
            case "RCPT":
                return "all addresses of the listener"
            case "STARTTLS":
                return "to speak TLS"
            case "DATA":
                return "the mail"
            case _:
                return "the connection"

    def _words(self, error: Exception) -> str:
        """Return what a failure means that is no answer."""
        said = one_line(str(error) or type(error).__name__, _ANSWER // 2)
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLError):
            return (
                f"no TLS with {self._where}: {one_line(str(cause), _ANSWER // 2)}; name the "
                "authority that signed its certificate in cacert, and the name in it in host, "
                "[email]"
            )
        if not self.received:
            return (
                f"no connection to the mail server: {said}; start it, or correct host and port in "
                "[email]"
            )
        return (
            f"the connection to {self._where} was lost during {self.sent[-1].partition(' ')[0]}: "
            f"{said}; look at the mail server's log"
            if self.sent
            else f"{self._where} greets otherwise than a mail server: {said}"
        )


def _answer(response: SMTPResponse) -> str:
    """Return an answer in one line."""
    return one_line(f"{response.code} {response.message}", _ANSWER)
