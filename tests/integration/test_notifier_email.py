"""The notifier of type email against a real mail server: what arrives, and what is told else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
import trustme
from structlog.testing import LogCapture

from pulpit.config.settings import Email, StartTls
from pulpit.domain.deliveries import Parcel, Receipt, Verdict
from pulpit.domain.listeners import Listener, NotifierType, OpenListener
from pulpit.events.examples import example_notification
from pulpit.events.notifiers.email import EmailNotifier
from tests.services import free_ports
from tests.services.mail import Mailbox, mail_server
from tests.services.tls import Files, issue

SOURCE = "https://pulp.example.com/"
PASSWORD = "correct horse"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PARCEL = Parcel(
    id="695736450b1c2d3e4f506172",
    event_type="repo.sync.finish",
    sequence=7,
    event_id="j:7",
    task_id="0b3f2d5c-4a5e-4b7e-9a57-6a7f6a0a1c2d",
    repo_id="zoo",
    time=NOW,
    body=example_notification("repo.sync.finish"),
)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Yield a mail server without TLS and logins."""
    with mail_server() as started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return a certificate for this machine."""
    return issue(tmp_path_factory.mktemp("mail"), "localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def context(files: Files) -> ssl.SSLContext:
    """Return what a mail server with that certificate speaks."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.key)
    return made


def _listener(*addresses: str) -> OpenListener:
    config = {"subject": "Pulp", "addresses": list(addresses or ("admin@example.com",))}
    return OpenListener(
        listener=Listener(
            id="695736450b1c2d3e4f506173",
            notifier_type=NotifierType.EMAIL,
            config=config,
            event_types=("*",),
            created=NOW,
            last_updated=NOW,
        )
    )


def _deliver(
    port: int,
    *addresses: str,
    parcel: Parcel = PARCEL,
    timeout: float = 30.0,
    trace: bool = False,
    **settings: Any,
) -> Receipt:
    """Deliver once; nothing may be logged, and nothing tells the password."""
    known: dict[str, Any] = {
        "enabled": True,
        "host": "localhost",
        "port": port,
        "sender": "pulp@example.com",
    }
    logged = LogCapture()

    async def deliver() -> Receipt:
        notifier = EmailNotifier(
            Email(**(known | settings)),
            timeout=timeout,
            event_source=SOURCE,
            log=structlog.wrap_logger(None, processors=[logged]),
            clock=lambda: NOW,
        )
        try:
            return await notifier.deliver(_listener(*addresses), parcel, trace=trace)
        finally:
            await notifier.close()

    receipt = asyncio.run(deliver())
    assert not logged.entries
    assert PASSWORD not in repr(receipt)
    return receipt


def test_a_mail_arrives_as_it_is_documented(mailbox: Mailbox) -> None:
    """Its headers, a text, HTML and the event's own bytes."""
    receipt = _deliver(mailbox.port, "a@example.com", "b@example.com")
    assert (receipt.verdict, receipt.status, receipt.reason) == (Verdict.DELIVERED, 250, "")
    assert "queued as 4F1" in receipt.response
    ((recipients, message),) = mailbox.mails
    assert recipients == ["a@example.com", "b@example.com"]
    assert message["From"] == "pulp@example.com"
    assert message["To"] == "a@example.com, b@example.com"
    assert message["Subject"] == "Pulp: repo.sync.finish of zoo: finished"
    assert message["Message-ID"] == "<695736450b1c2d3e4f506172@pulp.example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Pulpit-Event"] == "repo.sync.finish"
    assert message["Date"].datetime == NOW
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert "42 added, 0 updated, 0 removed" in text.get_content()
    assert html is not None
    assert "42 added, 0 updated, 0 removed" in html.get_content()
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "event.json"
    assert attached.get_content_type() == "application/json"
    assert attached.get_payload(decode=True) == PARCEL.body


def test_an_event_that_is_too_long_is_not_attached(mailbox: Mailbox) -> None:
    """The mail says so."""
    _deliver(mailbox.port, parcel=replace(PARCEL, body=b'{"x": "%b"}' % (b"x" * (1 << 20))))
    ((_, message),) = mailbox.mails
    text = message.get_body(("plain",))
    assert text is not None
    assert "too long to attach" in text.get_content()
    assert not list(message.iter_attachments())


@pytest.mark.parametrize("starttls", StartTls)
def test_tls_is_spoken_as_it_is_set(
    starttls: StartTls, context: ssl.SSLContext, files: Files
) -> None:
    """Where it is offered and not turned off."""
    with mail_server(tls=context) as mailbox:
        receipt = _deliver(mailbox.port, starttls=starttls, cacert=files.authority)
    assert receipt.verdict is Verdict.DELIVERED
    assert mailbox.by_tls == [starttls is not StartTls.OFF]


def test_tls_that_is_required_and_not_offered_is_a_failure(mailbox: Mailbox) -> None:
    """No mail goes out in the clear."""
    receipt = _deliver(mailbox.port, starttls=StartTls.REQUIRED)
    assert receipt.verdict is Verdict.FAILED
    assert "offers no STARTTLS" in receipt.reason
    assert not mailbox.mails


@pytest.mark.parametrize("named", [True, False])
def test_a_mail_server_that_nobody_vouches_for_gets_nothing(
    named: bool, context: ssl.SSLContext, tmp_path: Path
) -> None:
    """Neither where TLS is required, nor where another authority is named."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    settings: dict[str, Any] = {"cacert": other} if named else {"starttls": StartTls.REQUIRED}
    with mail_server(tls=context) as mailbox:
        receipt = _deliver(mailbox.port, **settings)
    assert receipt.verdict is Verdict.FAILED
    assert "no TLS with" in receipt.reason
    assert "cacert" in receipt.reason
    assert not mailbox.mails


def test_tls_that_is_merely_offered_needs_no_authority(context: ssl.SSLContext) -> None:
    """The mail server on the same machine mostly has a certificate of its own making."""
    with mail_server(tls=context) as mailbox:
        assert _deliver(mailbox.port).verdict is Verdict.DELIVERED
    assert mailbox.by_tls == [True]


def test_authorities_that_cannot_be_read_are_named(context: ssl.SSLContext, tmp_path: Path) -> None:
    """By setting and file."""
    with mail_server(tls=context) as mailbox:
        receipt = _deliver(mailbox.port, cacert=tmp_path / "none.pem")
    assert receipt.reason.startswith(f"cacert in [email], {tmp_path / 'none.pem'}")


def test_the_login_is_shown_to_who_asks_for_it(context: ssl.SSLContext, files: Files) -> None:
    """A wrong one is a failure that says which setting to correct."""
    with mail_server(tls=context, login=("pulp", PASSWORD)) as mailbox:
        known: dict[str, Any] = {"user": "pulp", "cacert": files.authority}
        good = _deliver(mailbox.port, password=PASSWORD, trace=True, **known)
        bad = _deliver(mailbox.port, password="wrong", **known)
    assert good.verdict is Verdict.DELIVERED
    assert mailbox.logins == ["pulp"]
    assert (bad.verdict, bad.status) == (Verdict.FAILED, 535)
    assert "user and password of [email]" in bad.reason


def test_a_login_where_none_is_asked_for_is_told(mailbox: Mailbox) -> None:
    """To mend it is to take it out."""
    receipt = _deliver(mailbox.port, user="pulp", password=PASSWORD)
    assert receipt.verdict is Verdict.FAILED
    assert "no way to log in that" in receipt.reason


@pytest.mark.parametrize(
    ("command", "answer", "told"),
    [
        ("MAIL", "550 5.7.1 not you", "from in [email]"),
        ("DATA", "452 4.3.1 disk full", "refuses the mail"),
        ("DATA", "554 5.7.1 spam\x07", "refuses the mail"),
    ],
)
def test_an_answer_that_refuses_is_told(
    command: str, answer: str, told: str, mailbox: Mailbox
) -> None:
    """With its status, in one printable line."""
    mailbox.answers[command] = answer
    receipt = _deliver(mailbox.port)
    assert (receipt.verdict, receipt.status) == (Verdict.FAILED, int(answer[:3]))
    assert told in receipt.reason
    assert answer[4:10] in receipt.response
    assert receipt.response.isprintable()


def test_one_who_is_not_refused_is_enough(mailbox: Mailbox) -> None:
    """The others are named, with what the server says of them."""
    mailbox.refused["nobody@example.com"] = "550 5.1.1 no such user"
    receipt = _deliver(mailbox.port, "nobody@example.com", "a@example.com")
    assert receipt.verdict is Verdict.DELIVERED
    assert "refused: nobody@example.com (550 5.1.1 no such user)" in receipt.response
    assert [recipients for recipients, _ in mailbox.mails] == [["a@example.com"]]


def test_it_fails_when_all_are_refused(mailbox: Mailbox) -> None:
    """No mail goes out."""
    mailbox.refused["nobody@example.com"] = "450 4.2.1 later"
    receipt = _deliver(mailbox.port, "nobody@example.com")
    assert (receipt.verdict, receipt.status) == (Verdict.FAILED, 450)
    assert "all addresses of the listener" in receipt.reason
    assert not mailbox.mails


def test_a_server_that_answers_no_more_is_given_up(mailbox: Mailbox) -> None:
    """Within the time; the reason says in what it stopped."""
    mailbox.on_data = asyncio.Event().wait
    receipt = _deliver(mailbox.port, timeout=0.3)
    assert receipt.verdict is Verdict.FAILED
    assert "has not answered DATA within 0.3 seconds" in receipt.reason


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "no connection to the mail server"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no mail server"),
        (b"421 4.3.2 closing\r\n", "refuses the connection"),
        (b"220 hello\r\n", "was lost during EHLO"),
    ],
)
def test_who_hangs_up_is_told_of(said: bytes, told: str) -> None:
    """Whatever it said before."""
    receipt = asyncio.run(_talk(said))
    assert receipt.verdict is Verdict.FAILED
    assert told in receipt.reason


async def _talk(said: bytes) -> Receipt:
    """Deliver to a server that says something and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        if said.startswith(b"220"):
            await reader.readline()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.to_thread(_deliver, port)


def test_nobody_listening_is_told() -> None:
    """With what to do."""
    (port,) = free_ports(1)
    receipt = _deliver(port)
    assert receipt.verdict is Verdict.FAILED
    assert "correct host and port in [email]" in receipt.reason


def test_mails_that_are_off_say_which_setting_turns_them_on(mailbox: Mailbox) -> None:
    """And none goes out."""
    receipt = _deliver(mailbox.port, enabled=False, trace=True)
    assert receipt.verdict is Verdict.FAILED
    assert "enabled in [email]" in receipt.reason
    assert receipt.exchange is None
    assert not mailbox.mails


def test_a_sender_that_is_no_address_is_told(mailbox: Mailbox) -> None:
    """It is a setting."""
    receipt = _deliver(mailbox.port, sender="Pulp <pulp@example.com>")
    assert receipt.verdict is Verdict.FAILED
    assert "from in [email]" in receipt.reason


def test_what_went_over_the_wire_is_told_if_asked_for(mailbox: Mailbox) -> None:
    """Each step and its answer."""
    exchange = _deliver(mailbox.port, trace=True).exchange
    assert exchange is not None
    assert exchange.peer == f"127.0.0.1:{mailbox.port}"
    assert [line.partition(" ")[0] for line in exchange.sent] == ["EHLO", "MAIL", "RCPT", "DATA"]
    assert exchange.sent[2] == "RCPT TO:<admin@example.com>"
    assert len(exchange.received) == 5


def _many(
    port: int, step: Callable[[EmailNotifier], Awaitable[list[Receipt]]]
) -> Sequence[Receipt]:
    """Take a step with a notifier, and end it."""

    async def run() -> list[Receipt]:
        settings = Email(enabled=True, port=port, sender="pulp@example.com")
        log = structlog.wrap_logger(None, processors=[LogCapture()])
        notifier = EmailNotifier(settings, timeout=30, event_source=SOURCE, log=log)
        try:
            return await step(notifier)
        finally:
            await notifier.close()

    return asyncio.run(run())


def test_mails_share_connections(mailbox: Mailbox) -> None:
    """Two at the most, and a mail that was refused ends the one that it went by."""

    async def step(notifier: EmailNotifier) -> list[Receipt]:
        told = [await notifier.deliver(_listener(), PARCEL) for _ in range(3)]
        mailbox.refused["nobody@example.com"] = "550 5.1.1 unknown"
        told.append(await notifier.deliver(_listener("nobody@example.com"), PARCEL))
        many = (notifier.deliver(_listener(), PARCEL) for _ in range(6))
        return [*told, *await asyncio.gather(*many)]

    receipts = _many(mailbox.port, step)
    assert [each.verdict for each in receipts].count(Verdict.DELIVERED) == 9
    first, *_ = mailbox.sessions
    assert [session is first for session in mailbox.sessions] == [True] * 3 + [False] * 6
    assert len({id(session) for session in mailbox.sessions}) == 3


def test_who_looks_sees_the_whole_conversation(mailbox: Mailbox) -> None:
    """Although there is a connection already."""

    async def step(notifier: EmailNotifier) -> list[Receipt]:
        return [await notifier.deliver(_listener(), PARCEL, trace=trace) for trace in (False, True)]

    _, traced = _many(mailbox.port, step)
    assert traced.exchange is not None
    assert traced.exchange.sent[0].startswith("EHLO")


@pytest.mark.parametrize("last_words", [b"", b"421 4.4.2 idle for too long\r\n"])
def test_a_kept_connection_that_has_ended_fails_no_mail(last_words: bytes) -> None:
    """Mail servers end those that are idle, whether they say so or not."""
    said: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = 0
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            said.append(line.partition(b" ")[0].strip())
            if taken and line.startswith(b"MAIL"):
                writer.write(last_words)
                break
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                taken += 1
            writer.write(b"250 OK\r\n")
        writer.close()

    async def step(notifier: EmailNotifier) -> list[Receipt]:
        return [await notifier.deliver(_listener(), PARCEL) for _ in range(2)]

    async def run() -> Sequence[Receipt]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(_many, port, step)

    assert [each.verdict for each in asyncio.run(run())] == [Verdict.DELIVERED] * 2
    conversation = [b"EHLO", b"MAIL", b"RCPT", b"DATA"]
    assert said == [*conversation, b"MAIL", *conversation, b"QUIT"]


def test_mails_wait_for_each_other_no_longer_than_the_time(mailbox: Mailbox) -> None:
    """Two are under way at a time; the others say what kept them."""
    mailbox.on_data = asyncio.Event().wait
    log = structlog.wrap_logger(None, processors=[LogCapture()])

    async def deliver() -> list[Receipt]:
        settings = Email(enabled=True, port=mailbox.port, sender="pulp@example.com")
        notifier = EmailNotifier(settings, timeout=0.5, event_source=SOURCE, log=log)
        return await asyncio.gather(*(notifier.deliver(_listener(), PARCEL) for _ in range(5)))

    receipts = asyncio.run(deliver())
    assert all(receipt.verdict is Verdict.FAILED for receipt in receipts)
    assert sum("kept localhost" in receipt.reason for receipt in receipts) == 3
