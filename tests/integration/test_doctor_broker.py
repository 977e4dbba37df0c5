"""The doctor and real brokers: each fault is found by the right check, and nothing changes."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import amqp
import pytest
import trustme

from pulpit.app.doctor import Finding, Outcome
from pulpit.app.doctor.broker import Broker
from pulpit.app.doctor.findings import examine
from pulpit.events.amqp.addresses import parse_addresses
from pulpit.events.amqp.inspection import greeting
from pulpit.events.amqp.link import LinkOptions
from tests.integration.test_publisher_failures import _door as open_door
from tests.services import free_ports
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ
from tests.services.tls import TlsFront

EXCHANGE = "pulp.api.v2"


def look(url: str, **options: Any) -> dict[str, Finding]:
    """Return what is found about a broker, by check; no finding may show a password."""
    (address,) = parse_addresses(url)
    broker = Broker(address, LinkOptions(timeout=3, **options))
    with contextlib.closing(broker):
        found = {finding.check: finding for finding in examine("b", broker.checks())}
    assert "keeper" not in repr(found)
    return found


def failed(found: dict[str, Finding]) -> list[str]:
    """Return the checks that failed, each of which must say what to do."""
    names = [name for name, finding in found.items() if finding.outcome is Outcome.FAILED]
    assert all(found[name].fix for name in names), found
    return names


def waiting(consumer: Consumer) -> int:
    """Return how many messages a consumer's queue holds."""
    told = consumer.channel.queue_declare(consumer.queue, passive=True)
    return int(told.message_count)


@pytest.fixture
def admin(rabbitmq: RabbitMQ) -> Iterator[Any]:
    """Yield a channel to set the scene with; the exchange is as it should be at first."""
    connection = amqp.Connection(f"{rabbitmq.host}:{rabbitmq.port}")
    connection.connect()
    with contextlib.closing(connection):
        channel = connection.channel()
        channel.exchange_delete(EXCHANGE)
        channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)
        yield channel


@pytest.fixture
def zoo(rabbitmq: RabbitMQ) -> Iterator[str]:
    """Yield the URL of a user who may do nothing yet."""
    rabbitmq.ctl("add_user", "zoo", "keeper")
    yield rabbitmq.url.replace("guest:guest", "zoo:keeper")
    rabbitmq.ctl("delete_user", "zoo")


@pytest.mark.usefixtures("admin")
def test_a_broker_that_is_well(rabbitmq: RabbitMQ) -> None:
    """Every check goes well, and no consumer of everything sees anything."""
    with Consumer(rabbitmq.host, rabbitmq.port, key="#") as consumer:
        found = look(rabbitmq.url)
        assert {finding.outcome for finding in found.values()} == {Outcome.OK}
        assert "RabbitMQ" in found["login"].detail
        assert waiting(consumer) == 0


def test_an_exchange_that_is_not_there_is_not_made(rabbitmq: RabbitMQ, admin: Any) -> None:
    """The server declares it when it connects; the doctor changes nothing."""
    admin.exchange_delete(EXCHANGE)
    found = look(rabbitmq.url)
    assert found["exchange"].outcome is Outcome.NOTE
    assert found["publish"].outcome is Outcome.SKIPPED
    assert EXCHANGE not in rabbitmq.ctl("list_exchanges", "name")


def test_an_exchange_of_another_kind(rabbitmq: RabbitMQ, admin: Any) -> None:
    """It is left as it is, for the operator to delete."""
    admin.exchange_delete(EXCHANGE)
    admin.exchange_declare(EXCHANGE, "fanout", durable=True, auto_delete=False)
    found = look(rabbitmq.url)
    assert failed(found) == ["exchange"]
    assert "delete it" in found["exchange"].fix
    assert f"{EXCHANGE}\tfanout" in rabbitmq.ctl("list_exchanges", "name", "type")
    admin.exchange_delete(EXCHANGE)


@pytest.mark.usefixtures("admin")
def test_what_a_user_may_not_do_is_found_step_by_step(rabbitmq: RabbitMQ, zoo: str) -> None:
    """A wrong password, no virtual host, no permission to declare, none to publish."""
    assert failed(look(zoo.replace("zoo:keeper", "zoo:lion"))) == ["login"]
    found = look(zoo)
    assert failed(found) == ["virtual_host"]
    assert found["login"].outcome is Outcome.OK
    assert failed(look(f"{zoo}nowhere")) == ["virtual_host"]
    rabbitmq.ctl("set_permissions", "zoo", "", ".*", ".*")
    assert failed(look(zoo)) == ["exchange"]
    rabbitmq.ctl("set_permissions", "zoo", ".*", "", ".*")
    assert failed(look(zoo)) == ["publish"]
    rabbitmq.ctl("set_permissions", "zoo", ".*", ".*", ".*")
    assert failed(look(zoo)) == []


@pytest.mark.usefixtures("admin")
def test_a_user_who_may_speak_for_others_sends_nothing_either(rabbitmq: RabbitMQ, zoo: str) -> None:
    """The message that asks is refused whoever sends it."""
    rabbitmq.ctl("set_permissions", "zoo", ".*", ".*", ".*")
    rabbitmq.ctl("set_user_tags", "zoo", "administrator", "impersonator")
    with Consumer(rabbitmq.host, rabbitmq.port, key="#") as consumer:
        assert failed(look(zoo)) == []
        assert waiting(consumer) == 0


@pytest.mark.usefixtures("admin")
def test_a_memory_alarm_is_found(rabbitmq: RabbitMQ) -> None:
    """The broker takes no messages now, and the fix says where to look."""
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
    try:
        found = look(rabbitmq.url)
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    assert failed(found) == ["publish"]
    assert "alarm" in found["publish"].detail


def test_nobody_listens_and_nobody_is_found() -> None:
    """A closed port and a name without an address are told apart."""
    port = free_ports(1)[0]
    assert failed(look(f"amqp://zoo:keeper@127.0.0.1:{port}/")) == ["tcp"]
    found = look("amqp://zoo:keeper@nowhere.invalid/")
    assert failed(found) == ["host_name"]
    assert found["login"].outcome is Outcome.SKIPPED


def test_a_listener_that_is_no_broker(tmp_path: Path) -> None:
    """One that says nothing is given up in time, with advice."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = look(f"amqp://zoo:keeper@127.0.0.1:{port}/")
    assert failed(found) == ["login"]


def test_our_own_door_is_no_broker(rabbitmq: RabbitMQ) -> None:
    """A door at the URL is told as such; each greets by its name."""
    with open_door() as port:
        assert failed(look(f"amqp://zoo:keeper@127.0.0.1:{port}/")) == ["login"]
        assert (greeting("127.0.0.1", port, seconds=3) or "").startswith("Pulpit")
    assert greeting(rabbitmq.host, rabbitmq.port, seconds=3) == "RabbitMQ"
    assert greeting("127.0.0.1", free_ports(1)[0], seconds=3) is None


def test_passwords_without_tls_to_another_machine_are_worth_a_note() -> None:
    """And so is a spelling of Pulp 2."""
    assert look("amqp://nowhere.invalid/")["url"].outcome is Outcome.NOTE
    assert look("amqps://nowhere.invalid/")["url"].outcome is Outcome.OK
    assert look("amqp://127.0.0.1:1/")["url"].outcome is Outcome.OK
    assert "read as amqp" in look("qpid://127.0.0.1:1/")["url"].detail


class _Certificates:
    """An authority, and contexts of brokers and files of clients that it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, trustme.CA()
        self.cacert = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.cacert))

    def broker(
        self, name: str = "localhost", *, demanding: bool = False, **dates: Any
    ) -> ssl.SSLContext:
        """Return the context of a broker with a certificate for that name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(name, **dates).configure_cert(context)
        if demanding:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, authority: trustme.CA | None = None, **dates: Any) -> Path:
        """Return a file with certificate and key."""
        path = self.folder / "client.pem"
        issued = (authority or self.authority).issue_cert("client", **dates)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


@pytest.fixture
def certificates(tmp_path: Path) -> _Certificates:
    """Return a new authority."""
    return _Certificates(tmp_path)


def through(context: ssl.SSLContext, rabbitmq: RabbitMQ, **options: Any) -> dict[str, Finding]:
    """Return what is found of a broker behind TLS."""
    with TlsFront(context, rabbitmq.port) as front:
        return look(f"amqps://guest:guest@localhost:{front.port}/", **options)


@pytest.mark.usefixtures("admin")
def test_tls_that_is_well(rabbitmq: RabbitMQ, certificates: _Certificates) -> None:
    """Chain, name and days are told, with a certificate of ours where one is demanded."""
    found = through(
        certificates.broker(demanding=True),
        rabbitmq,
        cacert=certificates.cacert,
        clientcert=certificates.client(),
    )
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}, found
    assert "valid until" in found["tls_expiry"].detail
    assert "valid until" in found["tls_client_certificate"].detail


@pytest.mark.usefixtures("admin")
def test_certificates_that_run_out_are_told(
    rabbitmq: RabbitMQ, certificates: _Certificates
) -> None:
    """Some days before, there is time to renew them."""
    soon = datetime.now(UTC) + timedelta(days=3)
    found = through(
        certificates.broker(not_after=soon),
        rabbitmq,
        cacert=certificates.cacert,
        clientcert=certificates.client(not_after=soon),
    )
    assert failed(found) == []
    assert found["tls_expiry"].outcome is Outcome.NOTE
    assert found["tls_client_certificate"].outcome is Outcome.NOTE


def test_a_broker_of_an_unknown_authority(rabbitmq: RabbitMQ, certificates: _Certificates) -> None:
    """The setting that names authorities is the fix, whether it is set or not."""
    context = certificates.broker()
    found = through(context, rabbitmq)
    assert failed(found) == ["tls_chain"]
    assert "cacert" in found["tls_chain"].fix
    trustme.CA().cert_pem.write_to_path(str(certificates.cacert))
    found = through(context, rabbitmq, cacert=certificates.cacert)
    assert failed(found) == ["tls_chain"]
    assert str(certificates.cacert) in found["tls_chain"].detail


def test_an_expired_broker(rabbitmq: RabbitMQ, certificates: _Certificates) -> None:
    """It is told from one of an unknown authority."""
    past = datetime.now(UTC) - timedelta(days=1)
    context = certificates.broker(not_before=past - timedelta(days=1), not_after=past)
    found = through(context, rabbitmq, cacert=certificates.cacert)
    assert failed(found) == ["tls_chain"]
    assert "has expired" in found["tls_chain"].detail


def test_a_broker_of_another_name(rabbitmq: RabbitMQ, certificates: _Certificates) -> None:
    """The names that would do are told; the login is not tried."""
    context = certificates.broker("broker.example.com")
    found = through(context, rabbitmq, cacert=certificates.cacert)
    assert failed(found) == ["tls_name"]
    assert "broker.example.com" in found["tls_name"].detail
    assert found["login"].outcome is Outcome.SKIPPED


def test_a_broker_that_demands_a_certificate(
    rabbitmq: RabbitMQ, certificates: _Certificates
) -> None:
    """None, and one that it does not trust, are told apart."""
    context = certificates.broker(demanding=True)
    found = through(context, rabbitmq, cacert=certificates.cacert)
    assert failed(found) == ["tls_chain"]
    assert "demands a certificate" in found["tls_chain"].detail
    foreign = certificates.client(trustme.CA())
    found = through(context, rabbitmq, cacert=certificates.cacert, clientcert=foreign)
    assert failed(found) == ["tls_chain"]
    assert "refuses our certificate" in found["tls_chain"].detail


def test_tls_where_none_is_spoken(rabbitmq: RabbitMQ) -> None:
    """The port of plain AMQP is told as such."""
    found = look(f"amqps://guest:guest@localhost:{rabbitmq.port}/")
    assert failed(found) == ["tls_chain"]


def test_files_that_cannot_be_used(rabbitmq: RabbitMQ, certificates: _Certificates) -> None:
    """Each is told by its own check, with what is wrong with it."""
    context, folder = certificates.broker(), certificates.folder
    one, other = (certificates.authority.issue_cert("client") for _ in range(2))
    key, certificate = one.private_key_pem.bytes(), one.cert_chain_pems[0].bytes()
    past = datetime.now(UTC) - timedelta(days=1)
    expired = certificates.authority.issue_cert(
        "client", not_before=past - timedelta(days=1), not_after=past
    )
    bad = {
        "holds no private key": certificate,
        "holds no certificate": key,
        "is not that of the certificate": other.private_key_pem.bytes() + certificate,
        "has expired": expired.private_key_and_cert_chain_pem.bytes(),
    }
    for words, content in bad.items():
        path = folder / "bad.pem"
        path.write_bytes(content)
        found = through(context, rabbitmq, cacert=certificates.cacert, clientcert=path)
        assert failed(found) == ["tls_client_certificate"], words
        assert words in found["tls_client_certificate"].detail
        assert found["tls_chain"].outcome is Outcome.SKIPPED
    missing = folder / "missing.pem"
    assert failed(through(context, rabbitmq, cacert=missing)) == ["tls_authorities"]
    (folder / "text.pem").write_text("hello")
    assert failed(through(context, rabbitmq, cacert=folder / "text.pem")) == ["tls_authorities"]
