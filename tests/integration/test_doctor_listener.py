"""The doctor and listeners: each fault on the way is found by the right check, with its remedy."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import amqp
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from pulpit.app.doctor.listener import ListenerDoctor, diagnose_listener
from pulpit.config import Email, Listeners, Messaging, Settings, StartTls
from pulpit.domain.clock import utc_now
from pulpit.domain.findings import Finding, Outcome
from pulpit.domain.listeners import (
    Health,
    Listener,
    NotifierType,
    OpenListener,
    Secrets,
    SigningSecret,
)
from pulpit.domain.messages import Message
from pulpit.errors import InvalidValue
from pulpit.testing import MemoryStorage
from pulpit.testing.notifiers import RecordingNotifier
from tests.services import free_ports
from tests.services.http import Answer, FeedServer
from tests.services.rabbitmq import RabbitMQ

#: Receivers of these tests are on this machine.
HERE = Settings(
    listeners=Listeners(
        allow_networks=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))
    )
)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PASSWORD = "keeper-of-the-zoo"
SECRET = SigningSecret(value="whsec_" + base64.b64encode(b"s" * 24).decode())


def listener(config: Mapping[str, Any], kind: NotifierType = NotifierType.HTTP) -> Listener:
    """Return a listener that is well."""
    return Listener(
        id="65f0c0de4f1d2a0001a2b3c4",
        notifier_type=kind,
        config=config,
        event_types=("*",),
        created=NOW,
        last_updated=NOW,
        health=Health(last_delivered=NOW),
    )


def look(
    looked_at: Listener,
    *,
    secrets: tuple[SigningSecret, ...] = (SECRET,),
    settings: Settings | None = None,
    **options: Any,
) -> dict[str, Finding]:
    """Return what is found of a listener, by check; no finding may show a secret."""
    notifier = RecordingNotifier()
    given: dict[str, Any] = {"notifier": notifier, "oldest_pending": None, "now": utc_now}
    found = asyncio.run(
        diagnose_listener(
            OpenListener(listener=looked_at, secrets=Secrets(password=PASSWORD, signing=secrets)),
            settings=settings or HERE,
            **(given | options),
        )
    )
    assert notifier.notified == []
    assert PASSWORD not in repr(found)
    assert not any(secret.value in repr(found) for secret in secrets)
    bare = [finding for finding in found if finding.outcome is Outcome.FAILED and not finding.fix]
    assert bare == []
    return {finding.check: finding for finding in found}


def outcomes(found: Mapping[str, Finding], outcome: Outcome) -> list[str]:
    """Return the checks that came to this."""
    return [name for name, finding in found.items() if finding.outcome is outcome]


def failed(found: Mapping[str, Finding]) -> list[str]:
    """Return the checks that failed."""
    return outcomes(found, Outcome.FAILED)


class _Slow(RecordingNotifier):
    """A notifier whose check takes until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.begun, self.end = asyncio.Event(), threading.Event()

    def check(self, config: Mapping[str, Any]) -> None:
        self.loop.call_soon_threadsafe(self.begun.set)
        self.end.wait(60.0)


def test_a_look_that_takes_long_keeps_no_thread_from_others() -> None:
    async def run() -> None:
        # that of the database's readers and writers
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
        notifier = _Slow()
        looking = asyncio.create_task(
            diagnose_listener(
                OpenListener(listener=listener({})),
                settings=HERE,
                notifier=notifier,
                oldest_pending=None,
            )
        )
        try:
            await asyncio.wait_for(notifier.begun.wait(), 60.0)
            await asyncio.wait_for(asyncio.to_thread(int), 5.0)
            assert not looking.done()
        finally:
            notifier.end.set()
        assert await looking

    asyncio.run(run())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeedServer]:
    """Yield a receiver without TLS; each test begins with one that behaves."""
    folder = tmp_path_factory.mktemp("receiver")
    (folder / "hook").write_text("taken")
    with FeedServer(folder) as server:
        yield server


@pytest.fixture
def receiver(site: FeedServer) -> FeedServer:
    """Return the receiver, as it is at first."""
    site.behave()
    site.forget()
    return site


def test_a_receiver_that_is_well(receiver: FeedServer) -> None:
    """Everything is looked at; it is asked once, by HEAD."""
    found = look(listener({"url": f"{receiver.url}hook"}))
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}, found
    assert {request.method for request in receiver.requests} == {"HEAD"}
    assert "this machine" in found["url"].detail


def test_a_listener_that_is_told_of_nothing(receiver: FeedServer) -> None:
    """That it is disabled, failing and behind are found apart, with the reasons kept for it."""
    unwell = replace(
        listener({"url": receiver.url + "hook"}),
        disabled_reason="it was gone",
        disabled_at=NOW,
        health=Health(failing_since=NOW, last_reason="410: Gone"),
    )
    found = look(unwell, oldest_pending=utc_now() - timedelta(hours=1))
    assert failed(found) == ["enabled", "health"]
    assert "it was gone" in found["enabled"].detail
    assert "listener enable" in found["enabled"].fix
    assert "410: Gone" in found["health"].detail
    assert outcomes(found, Outcome.NOTE) == ["pending"]


def test_the_doctor_of_the_server_knows_what_waits(receiver: FeedServer) -> None:
    """It takes the notifier of the listener's type, and the oldest of its deliveries."""
    known, storage = listener({"url": f"{receiver.url}hook"}), MemoryStorage()
    message = Message(
        sequence=1,
        event_id="e",
        event_type="repo.sync.start",
        repo_id="zoo",
        task_id=None,
        tags=(),
        time=NOW,
        body=b"{}",
    )
    with storage.write() as transaction:
        transaction.listeners.add(known)
        transaction.deliveries.add([(message, [known.id])], now=NOW)
    notifier = RecordingNotifier()
    doctor = ListenerDoctor(
        settings=HERE,
        storage=storage,
        notifiers={NotifierType.HTTP: notifier},
    )
    found = asyncio.run(doctor(OpenListener(listener=known, secrets=Secrets(signing=(SECRET,)))))
    (waiting,) = (finding for finding in found if finding.check == "pending")
    assert waiting.outcome is Outcome.NOTE
    assert "2026-05-01 12:00:00 UTC" in waiting.detail
    assert notifier.checked == [known.config]


def test_a_configuration_that_is_refused_now(receiver: FeedServer) -> None:
    """What the notifier says of it is told."""
    refusing = RecordingNotifier(problem=InvalidValue("url"))
    found = look(listener({"url": receiver.url}), notifier=refusing)
    assert found["configuration"].outcome is Outcome.FAILED


def test_a_url_that_can_not_be_read() -> None:
    """Nothing is connected to, nor looked up."""
    for url in ("", "ftp://host/", "http://", "http://[::1/", "http://host:x/", "http://a@b/"):
        found = look(listener({"url": url}))
        assert failed(found) == ["url"]
        assert "tcp" not in found


def test_a_network_that_is_not_allowed_is_not_connected_to(receiver: FeedServer) -> None:
    """Why, and the setting that allows it, are told, for an address and for a name."""
    found = look(listener({"url": receiver.url}), settings=Settings())
    assert failed(found) == ["url"]
    assert "allow_networks" in found["url"].detail
    named = receiver.url.replace("127.0.0.1", "localhost")
    found = look(listener({"url": named}), settings=Settings())
    assert failed(found) == ["host_name"]
    assert "127.0.0.1, a loopback address" in found["host_name"].detail
    assert "allow_networks" in found["host_name"].fix
    assert found["answer"].outcome is Outcome.SKIPPED
    assert receiver.requests == []


def test_nobody_listens_and_nobody_is_found() -> None:
    """A closed port and a name without an address are told apart."""
    port = free_ports(1)[0]
    assert failed(look(listener({"url": f"http://127.0.0.1:{port}/"}))) == ["tcp"]
    found = look(listener({"url": "http://nowhere.invalid/"}))
    assert failed(found) == ["host_name"]
    assert found["url"].outcome is Outcome.NOTE


@pytest.mark.parametrize(
    ("status", "outcome", "words"),
    [
        (204, Outcome.OK, ""),
        (405, Outcome.OK, ""),
        (501, Outcome.OK, ""),
        (301, Outcome.FAILED, "leads to"),
        (401, Outcome.NOTE, "username"),
        (404, Outcome.NOTE, "path"),
        (503, Outcome.NOTE, "log"),
    ],
)
def test_what_a_receiver_answers(
    receiver: FeedServer, status: int, outcome: Outcome, words: str
) -> None:
    """What many receivers answer to HEAD is fine; all else has its remedy."""
    receiver.answer("/hook", Answer(status=status, body=b""))
    found = look(listener({"url": f"{receiver.url}hook"}))["answer"]
    assert found.outcome is outcome
    assert words in found.fix


def test_login_path_and_query_are_those_of_deliveries(receiver: FeedServer) -> None:
    """A receiver that wants a password is asked with it."""
    receiver.answer("/a%20b", Answer(credentials=("zoo", PASSWORD), body=b""))
    found = look(listener({"url": f"{receiver.url}a%20b?c=d", "username": "zoo"}))
    assert found["answer"].outcome is Outcome.OK, found


def test_a_clock_that_is_off(receiver: FeedServer) -> None:
    """Some minutes are worth a word; more than five make signatures useless."""
    for minutes, outcome in ((2, Outcome.NOTE), (-6, Outcome.FAILED)):

        def now(minutes: int = minutes) -> datetime:
            return utc_now() + timedelta(minutes=minutes)

        found = look(listener({"url": f"{receiver.url}hook"}), now=now)
        assert found["clock"].outcome is outcome


def test_secrets_that_sign_nothing(receiver: FeedServer) -> None:
    """None, one that has run out, and one that is none, are told; two at once are fine."""
    hook = listener({"url": f"{receiver.url}hook"})
    past = replace(SECRET, until=NOW)
    for secrets in ((), (past,), (SigningSecret(value="whsec_????"),)):
        assert failed(look(hook, secrets=secrets)) == ["signature"]
    both = (SECRET, replace(SECRET, until=utc_now() + timedelta(hours=1)))
    assert "2 secrets" in look(hook, secrets=both)["signature"].detail


class _Authority:
    """An authority, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, trustme.CA()
        self.path = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.path))

    def server(
        self, name: str = "localhost", *, demanding: bool = False, **dates: Any
    ) -> ssl.SSLContext:
        """Return the context of a receiver with a certificate for that name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(name, **dates).configure_cert(context)
        if demanding:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, **dates: Any) -> Mapping[str, str]:
        """Return the configuration that shows a certificate, its key in a file of its own."""
        issued = self.ca.issue_cert("client", **dates)
        certificate, key = self.folder / "client.pem", self.folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        return {"client_cert": str(certificate), "client_key": str(key)}


@pytest.fixture
def authority(tmp_path: Path) -> _Authority:
    """Return a new authority."""
    return _Authority(tmp_path)


def secured(context: ssl.SSLContext, folder: Path, **config: str) -> dict[str, Finding]:
    """Return what is found of a receiver with TLS."""
    (folder / "hook").write_text("taken")
    with FeedServer(folder, tls=context, host="localhost") as server:
        return look(listener({"url": f"{server.url}hook", **config}))


def test_tls_that_is_well(authority: _Authority, tmp_path: Path) -> None:
    """A certificate of ours is shown where one is demanded; a folder of authorities will do."""
    ca_path = {"ca_path": str(authority.path)}
    context = authority.server(demanding=True)
    found = secured(context, tmp_path, **ca_path, **authority.client())
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}, found
    assert "valid until" in found["tls_client_certificate"].detail
    folder = tmp_path / "authorities"
    folder.mkdir()
    found = secured(authority.server(), tmp_path, ca_path=str(folder))
    assert failed(found) == ["tls_authorities"]
    assert "rehash" in found["tls_authorities"].fix


def test_a_demanded_certificate_that_is_not_there(authority: _Authority, tmp_path: Path) -> None:
    """The key of the configuration that names one is the remedy."""
    found = secured(authority.server(demanding=True), tmp_path, ca_path=str(authority.path))
    assert failed(found) == ["tls_chain"]
    assert "client_cert" in found["tls_chain"].fix


def test_an_authority_that_is_not_known(authority: _Authority, tmp_path: Path) -> None:
    """The key of the configuration that names it is the remedy."""
    found = secured(authority.server(), tmp_path)
    assert failed(found) == ["tls_chain"]
    assert "ca_path of the listener" in found["tls_chain"].fix


def test_dates_of_certificates(authority: _Authority, tmp_path: Path) -> None:
    """What has run out fails; what runs out within three weeks is worth a word."""
    soon, later = (utc_now() + timedelta(days=days) for days in (20, 25))
    past = utc_now() - timedelta(days=1)
    over: dict[str, Any] = {"not_before": past - timedelta(days=1), "not_after": past}
    ca_path = {"ca_path": str(authority.path)}
    found = secured(authority.server(**over), tmp_path, **ca_path)
    assert failed(found) == ["tls_chain"]
    assert "expired" in found["tls_chain"].detail
    found = secured(authority.server(not_after=soon), tmp_path, **ca_path)
    assert outcomes(found, Outcome.NOTE) == ["tls_expiry"]
    found = secured(authority.server(not_after=later), tmp_path, **ca_path)
    assert outcomes(found, Outcome.NOTE) == []
    found = secured(authority.server(), tmp_path, **ca_path, **authority.client(**over))
    assert failed(found) == ["tls_client_certificate"]


def test_a_certificate_for_another_name(authority: _Authority, tmp_path: Path) -> None:
    """Its names are told, and nothing is asked of it."""
    found = secured(authority.server("other.example"), tmp_path, ca_path=str(authority.path))
    assert failed(found) == ["tls_name"]
    assert "other.example" in found["tls_name"].detail
    assert found["answer"].outcome is Outcome.SKIPPED


def test_files_that_can_not_be_used(authority: _Authority, tmp_path: Path) -> None:
    """Each is told by its own check."""
    context, ours = authority.server(), authority.client()
    missing = str(tmp_path / "missing.pem")
    assert failed(secured(context, tmp_path, ca_path=missing)) == ["tls_authorities"]
    ca_path = {"ca_path": str(authority.path)}
    found = secured(context, tmp_path, **ca_path, **{**ours, "client_key": missing})
    assert failed(found) == ["tls_client_certificate"]
    other = trustme.CA().issue_cert("client").private_key_pem
    other.write_to_path(ours["client_key"])
    found = secured(context, tmp_path, **ca_path, **ours)
    assert failed(found) == ["tls_client_certificate"]
    assert ours["client_key"] in found["tls_client_certificate"].detail


def test_tls_where_none_is_spoken(receiver: FeedServer) -> None:
    """The scheme is the remedy."""
    found = look(listener({"url": receiver.url.replace("http:", "https:")}))
    assert failed(found) == ["tls_chain"]
    assert "http://" in found["tls_chain"].fix


class _Mails:
    """Refuses addresses that begin with ``no``."""

    async def handle_RCPT(  # noqa: N802 - the name that the library looks for
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take or refuse an address."""
        if address.startswith("no"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, _envelope: Envelope
    ) -> str:
        """Fail: no mail is ever sent."""
        raise AssertionError


def _login(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, told: Any) -> AuthResult:
    """Let the keeper in."""
    return AuthResult(success=told.password == PASSWORD.encode(), handled=False)


def mail(addresses: list[str], *, server: Mapping[str, Any] | None = None, **email: Any) -> Any:
    """Return what is found of a mail listener, with a mail server of these options."""
    controller = Controller(_Mails(), hostname="127.0.0.1", port=0, **(server or {}))
    controller.port = free_ports(1)[0]
    controller.start()
    try:
        settings = Email(**{"enabled": True, "host": "localhost", "port": controller.port, **email})
        hook = listener({"subject": "Zoo", "addresses": addresses}, NotifierType.EMAIL)
        return look(hook, secrets=(), settings=Settings(email=settings))
    finally:
        controller.stop()


def test_a_mail_server_without_tls() -> None:
    """It will do where TLS is only wished for; where it is demanded, it is found."""
    found = mail(["a@example.com"])
    assert failed(found) == []
    assert found["starttls"].outcome is Outcome.SKIPPED
    assert "a@example.com" in found["recipients"].detail
    assert failed(mail(["a@example.com"], starttls=StartTls.REQUIRED)) == ["starttls"]
    assert "starttls" not in mail(["a@example.com"], starttls=StartTls.OFF)


def test_mails_that_are_turned_off_and_addresses_that_are_refused() -> None:
    """One of several that is refused is worth a word, all of them are a fault."""
    assert failed(mail(["a@example.com"], enabled=False)) == ["email_enabled"]
    found = mail(["a@example.com", "nobody@example.com"])
    assert outcomes(found, Outcome.NOTE) == ["recipients"]
    assert "nobody@example.com (550 no such user)" in found["recipients"].detail
    assert failed(mail(["nobody@example.com"])) == ["recipients"]


def test_a_mail_server_that_is_not_there_or_none() -> None:
    """A closed port, and one where something else listens."""
    hook = listener({"addresses": ["a@example.com"]}, NotifierType.EMAIL)
    nowhere = Email(enabled=True, host="127.0.0.1", port=free_ports(1)[0])
    assert failed(look(hook, secrets=(), settings=Settings(email=nowhere))) == ["tcp"]


def test_a_mail_server_with_tls_and_login(authority: _Authority) -> None:
    """Chain and login are looked at, over TLS; a wrong password is told without it."""
    login = {"authenticator": _login, "auth_require_tls": True}
    server = {"tls_context": authority.server(), **login}
    ours = {"cacert": authority.path, "user": "zoo", "starttls": StartTls.REQUIRED}
    found = mail(["a@example.com"], server=server, password=PASSWORD, **ours)
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}, found
    found = mail(["a@example.com"], server=server, password="lion", **ours)
    assert failed(found) == ["login"]
    assert "refuses user and password of zoo (535" in found["login"].detail
    assert found["recipients"].outcome is Outcome.SKIPPED
    unknown = ours | {"cacert": None}
    assert failed(mail(["a@example.com"], server=server, password=PASSWORD, **unknown)) == [
        "tls_chain"
    ]


def test_a_mail_server_that_nobody_vouches_for(authority: _Authority) -> None:
    """TLS that is merely taken where it is offered is taken with anybody; so mails are sent."""
    server = {"tls_context": authority.server("other.example")}
    found = mail(["a@example.com"], server=server)
    assert failed(found) == []
    assert "whomever" in found["starttls"].detail
    assert found["recipients"].outcome is Outcome.OK
    trusted = {"cacert": authority.path}
    assert failed(mail(["a@example.com"], server=server, **trusted)) == ["tls_name"]


def test_exchanges_of_a_broker(rabbitmq: RabbitMQ) -> None:
    """One of the listener's own, and RabbitMQ's own one; one of another type is a fault."""
    settings = Settings(messaging=Messaging(event_notification_url=(rabbitmq.url,)))
    own = listener({"exchange": "zoo.events"}, NotifierType.AMQP)
    found = look(own, secrets=(), settings=settings)
    assert found["exchange"].outcome is Outcome.NOTE
    found = look(listener({}, NotifierType.AMQP), secrets=(), settings=settings)
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}, found
    assert "amq.topic" in found["exchange"].detail
    with amqp.Connection(f"{rabbitmq.host}:{rabbitmq.port}") as connection:
        channel = connection.channel()
        channel.exchange_declare("zoo.events", "fanout", durable=True, auto_delete=False)
        found = look(own, secrets=(), settings=settings)
        channel.exchange_delete("zoo.events")
    assert failed(found) == ["exchange"]
    assert not re.search("pulp.api.v2", repr(found))
