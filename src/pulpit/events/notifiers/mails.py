"""Mails as they go to a mail server: headers, a text, the same as HTML, the event's JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.charset import BASE64, Charset
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import urlsplit

from pulpit.domain.deliveries import Parcel
from pulpit.events.notifiers.lines import one_line
from pulpit.events.notifiers.mail_texts import mail_texts

__all__ = ["BODY_BYTES_ATTACHED", "host_of", "mail"]

#: A longer event is not attached: mail servers refuse long mails.
BODY_BYTES_ATTACHED = 1 << 20
#: A line of a header has no more characters that are taken as they are.
_LINE = 60
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


def host_of(source: str) -> str:
    """Return the name under which the server speaks to others, from its URL."""
    host = urlsplit(source).hostname or ""
    return host if _HOST.fullmatch(host) else "localhost"


def mail(
    parcel: Parcel,
    *,
    sender: str,
    recipients: Sequence[str],
    subject: str,
    source: str,
    now: datetime,
) -> bytes:
    """Return the mail that tells of an event; its Message-ID is the same in all attempts.

    Args:
        parcel: the event.
        sender: whom it is from; see ``ascii_address``.
        recipients: whom it is to; the same.
        subject: the listener's own.
        source: URL of this server.
        now: the present time.
    """
    attached = len(parcel.body) <= BODY_BYTES_ATTACHED
    texts = mail_texts(parcel, subject=subject, source=source, attached=attached)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(addr_spec=sender)
    message["To"] = [Address(addr_spec=recipient) for recipient in recipients]
    message.set_raw("Subject", _encoded(texts.subject))
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{re.sub(r'[^A-Za-z0-9.-]', '-', parcel.id)}@{host_of(source)}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Pulpit-Event"] = one_line(parcel.event_type, 100)
    message.set_content(texts.text)
    message.add_alternative(texts.html, subtype="html")
    if attached:
        message.add_attachment(
            parcel.body, maintype="application", subtype="json", filename="event.json"
        )
    return message.as_bytes()


def _encoded(subject: str) -> str:
    """Return a subject as it goes into the header, whatever it looks like.

    Left to itself, the mail library decodes what looks like an encoded word, line ends and all, and
    drops spaces where it folds.
    """
    if len(subject) <= _LINE and subject.isascii() and "=?" not in subject:
        return subject
    charset = Charset("utf-8")
    charset.header_encoding = BASE64
    return Header(subject, charset, header_name="Subject").encode()
