"""A mail server that keeps what it is sent, and refuses what a test has it refuse."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.services import free_ports

__all__ = ["Mailbox", "mail_server"]


@dataclass
class Mailbox:
    """What a mail server does, and what it was sent."""

    #: Answers that refuse, by command: MAIL, DATA.
    answers: dict[str, str] = field(default_factory=dict)
    #: Answers to RCPT by address.
    refused: dict[str, str] = field(default_factory=dict)
    #: Whoever was to be told, and the mail.
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    #: Whether the mail came by TLS, and who had logged in.
    by_tls: list[bool] = field(default_factory=list)
    logins: list[Any] = field(default_factory=list)
    #: Called when a mail has come, before it is answered.
    on_data: Callable[[], Any] | None = None
    #: Connections by which mails came; each is another session.
    sessions: list[Session] = field(default_factory=list)
    port: int = 0

    async def handle_MAIL(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := self.answers.get("MAIL"):
            return answer
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := self.refused.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.on_data is not None:
            await self.on_data()
        if answer := self.answers.get("DATA"):
            return answer
        raw = envelope.content
        assert isinstance(raw, bytes)
        parsed = BytesParser(policy=policy.default).parsebytes(raw)
        self.mails.append((list(envelope.rcpt_tos), parsed))
        self.by_tls.append(session.ssl is not None)
        self.logins.append(session.auth_data)
        self.sessions.append(session)
        return "250 2.0.0 Ok: queued as 4F1"


@contextmanager
def mail_server(
    *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> Iterator[Mailbox]:
    """Yield the mailbox of a server on a free port of 127.0.0.1.

    Args:
        tls: what it speaks after STARTTLS; None: it does not offer that.
        login: the user and password that it asks for.
    """
    mailbox = Mailbox()
    (mailbox.port,) = free_ports(1)

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = (data.login.decode(), data.password.decode()) == login
        return AuthResult(
            success=known, handled=False, auth_data=data.login.decode() if known else None
        )

    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=mailbox.port,
        tls_context=tls,
        authenticator=authenticate if login else None,
        auth_required=login is not None,
    )
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
