"""The mail server, from its settings to whether it would take a mail to each address."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pulpit.app.doctor.chain import Peer, client_context, tls_checks
from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.app.doctor.reaching import SECONDS, check_host_name, check_tcp, is_here
from pulpit.config import Email, StartTls
from pulpit.domain.listeners import Listener

__all__ = ["MailServer"]

_WHERE = "host and port in [email]"
_SETTINGS = "[email]"
#: Seconds for an answer: mail servers let those wait who come with a wrong password.
_PATIENCE = 8.0
#: Characters of an answer that are told.
_LONGEST = 200
_REFUSED = 400


@dataclass(slots=True, kw_only=True)
class MailServer:
    """The mail server of the settings.

    Args:
        listener: of type email.
        settings: of section [email].
    """

    listener: Listener
    settings: Email

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at."""
        before = ("email_enabled", "greeting")
        secured: Sequence[Check] = ()
        if self.settings.starttls is not StartTls.OFF:
            start = Check(
                name="starttls", title="STARTTLS", answer=self.check_starttls, needs=before
            )
            chain = tls_checks(self._peer(), needs=("starttls",)) if self._verifies else ()
            secured = (start, *chain)
        return (
            Check(name="email_enabled", title="Mails", answer=self.check_enabled),
            Check(name="host_name", title="Host name", answer=self.check_host_name),
            Check(name="tcp", title="TCP", answer=self.check_tcp, needs=("host_name",)),
            Check(name="greeting", title="Greeting", answer=self.check_greeting, needs=("tcp",)),
            *secured,
            Check(name="login", title="Login", answer=self.check_login, needs=before),
            Check(
                name="recipients",
                title="Recipients",
                answer=self.check_recipients,
                needs=(*before, *(["login"] if self.settings.user else [])),
            ),
        )

    def check_enabled(self) -> str:
        """Look whether mails are sent at all."""
        if not self.settings.enabled:
            raise Problem("mails are turned off", f"set enabled: true in {_SETTINGS}")
        return f"mails come from {self.settings.sender}"

    def check_host_name(self) -> str:
        """Look whether the host name stands for an address."""
        return check_host_name(self.settings.host, setting=_WHERE)

    def check_tcp(self) -> str:
        """Look whether something listens."""
        where = (self.settings.host, self.settings.port)
        return check_tcp(
            lambda: socket.create_connection(where, timeout=SECONDS),
            self._netloc,
            called="the mail server",
            setting=_WHERE,
        )

    def check_greeting(self) -> str:
        """Look whether a mail server answers."""
        try:
            with self._session() as session:
                return f"it greets with {_words(session.ehlo()[1]).split(' ')[0] or 'no name'}"
        except (smtplib.SMTPException, OSError) as error:
            raise Problem(
                f"what listens at {self._netloc} does not greet as mail servers do ({error})",
                f"correct {_WHERE}; a port that begins with TLS (465) can't be used",
            ) from error

    def check_starttls(self) -> str:
        """Look whether mails can go by TLS."""
        with self._session() as session:
            session.ehlo()
            offered = session.has_extn("starttls")
        if offered and self._verifies:
            return "TLS is offered"
        if offered:
            return "TLS is offered, with whomever it may be (starttls: required verifies it)"
        if self.settings.starttls is StartTls.REQUIRED:
            raise Problem(
                "no TLS is offered, and without it no mail is sent",
                f"turn STARTTLS on at the mail server, or set starttls: offered in {_SETTINGS}",
            )
        raise Skip("none is offered: mails can be read on the way")

    def check_login(self) -> str:
        """Look whether the mail server lets us in."""
        user, password = self.settings.user, self.settings.password
        if user is None:
            raise Skip("no login is set")
        with self._ready_session() as (session, secure):
            if not secure and not is_here(self.settings.host):
                raise Problem(
                    "without TLS the password is shown to no other machine, so no mail is sent",
                    f"turn STARTTLS on at the mail server, or remove user from {_SETTINGS}",
                )
            self._log_in(session, user, password or "")
        return f"it accepts {user}"

    def check_recipients(self) -> str:
        """Look whether it would take a mail to each address; none is sent."""
        addresses = [str(address) for address in self.listener.config.get("addresses") or ()]
        with self._ready_session() as (session, secure):
            if self.settings.user and (secure or is_here(self.settings.host)):
                self._log_in(session, self.settings.user, self.settings.password or "")
            code, words = session.mail(self.settings.sender)
            if code >= _REFUSED:
                raise Problem(
                    f"it takes no mail from {self.settings.sender} ({code} {_words(words)})",
                    f"correct from in {_SETTINGS}, or let it send at the mail server",
                )
            answers = {address: session.rcpt(address) for address in addresses}
            session.rset()
        refused = {address: answer for address, answer in answers.items() if answer[0] >= _REFUSED}
        told = "; ".join(
            f"{address} ({code} {_words(words)})" for address, (code, words) in refused.items()
        )
        fix = f"correct addresses: `pulpit listener update {self.listener.id} --address …`"
        if refused and len(refused) < len(addresses):
            raise Note(f"some are refused: {told}", fix)
        if refused:
            raise Problem(f"all are refused: {told}", fix)
        return f"it would take mails to {', '.join(addresses)}"

    @property
    def _netloc(self) -> str:
        """Host and port."""
        return f"{self.settings.host}:{self.settings.port}"

    def _connect(self) -> smtplib.SMTP:
        """Return a connection that the mail server has greeted."""
        # without a name of ours, the library would ask the name service for one
        return smtplib.SMTP(
            self.settings.host,
            self.settings.port,
            local_hostname=socket.gethostname(),
            timeout=_PATIENCE,
        )

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Yield a session that has not said hello."""
        session = self._connect()
        try:
            yield session
            # after a failure, a good-bye might be answered by nobody
            with suppress(smtplib.SMTPException, OSError):
                session.quit()
        finally:
            session.close()

    @contextmanager
    def _ready_session(self) -> Iterator[tuple[smtplib.SMTP, bool]]:
        """Yield a session as mails use it, and whether it is encrypted."""
        try:
            with self._session() as session:
                session.ehlo()
                secure = False
                if self.settings.starttls is not StartTls.OFF and session.has_extn("starttls"):
                    session.starttls(context=self._context())
                    session.ehlo()
                    secure = True
                yield session, secure
        except ssl.SSLError as error:
            raise Skip("there is no TLS with it, as said above") from error
        except (smtplib.SMTPException, OSError) as error:
            raise Problem(
                f"the mail server ends the conversation ({error})", "look at its log"
            ) from error

    @property
    def _verifies(self) -> bool:
        """Whether mails go to a mail server that is known alone, as the notifier has it."""
        settings = self.settings
        shows_password = settings.user is not None and not is_here(settings.host)
        return bool(settings.starttls is StartTls.REQUIRED or settings.cacert or shows_password)

    def _context(self) -> ssl.SSLContext:
        """Return how TLS is spoken."""
        if self._verifies:
            return client_context(self._peer(), names=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def _log_in(self, session: smtplib.SMTP, user: str, password: str) -> None:
        """Log in, or say what is wrong."""
        try:
            session.login(user, password)
        except smtplib.SMTPAuthenticationError as error:
            raise Problem(
                f"it refuses user and password of {user} ({error.smtp_code} "
                f"{_words(error.smtp_error)})",
                f"correct user and password in {_SETTINGS}",
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise Problem(
                "it lets nobody log in here", f"remove user from {_SETTINGS}, or see its log"
            ) from error

    def _peer(self) -> Peer:
        """Return whom TLS is spoken with."""
        return Peer(
            called="the mail server",
            host=self.settings.host,
            connect=self._connect_for_tls,
            greeting=b"EHLO pulpit\r\n",
            authorities=self.settings.cacert,
            authorities_setting=f"cacert in {_SETTINGS}",
            own_setting=_SETTINGS,
            address_setting=f"host in {_SETTINGS}",
            without_tls=f"set starttls: off in {_SETTINGS}, or mend the mail server",
        )

    def _connect_for_tls(self) -> socket.socket:
        """Return a connection whose mail server waits for the handshake."""
        session = self._connect()
        session.ehlo()
        session.docmd("STARTTLS")
        plug = session.sock
        assert plug is not None
        return plug


def _words(answer: bytes | str) -> str:
    """Return an answer in a line."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())[:_LONGEST]
