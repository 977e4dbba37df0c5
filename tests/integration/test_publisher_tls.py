"""The publisher over TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from pulpit.events.amqp import Reason
from tests.integration.test_publisher_rabbitmq import publishing
from tests.services import until
from tests.services.consumer import Consumer
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.services.rabbitmq import RabbitMQ
from tests.services.tls import TlsFront


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def cacert(authority: trustme.CA, tmp_path: Path) -> Path:
    """Return the file with its certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_side(authority: trustme.CA, certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return the context of a server that demands certificates of its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_events_arrive_through_tls(
    rabbitmq: RabbitMQ, authority: trustme.CA, cacert: Path, tmp_path: Path
) -> None:
    """With cacert and clientcert, all events arrive in order, through many TLS records."""
    clientcert = tmp_path / "client.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(clientcert))
    events = [make_event(number, body=b"t" * 3000) for number in range(1, 2001)]
    journal, cursors = MemoryJournal(events), MemoryCursors(amqp_publisher=0)
    with (
        TlsFront(server_side(authority, authority.issue_cert("localhost")), rabbitmq.port) as front,
        Consumer(rabbitmq.host, rabbitmq.port) as consumer,
        publishing(
            f"ssl://guest:guest@localhost:{front.port}/",
            journal,
            cursors,
            cacert=cacert,
            clientcert=clientcert,
        ),
    ):
        received = consumer.count(2000)
    assert [message.properties["message_id"] for message in received] == [e.id for e in events]


@pytest.mark.parametrize(
    ("name", "trusted"), [("localhost", False), ("elsewhere.example.com", True)]
)
def test_a_wrong_certificate_is_refused(
    rabbitmq: RabbitMQ, authority: trustme.CA, cacert: Path, name: str, trusted: bool
) -> None:
    """A broker with another name, or of another authority, gets nothing, and the log says why."""
    signer = authority if trusted else trustme.CA()
    journal, cursors = MemoryJournal([make_event(1)]), MemoryCursors(amqp_publisher=0)
    with TlsFront(server_side(signer, signer.issue_cert(name)), rabbitmq.port) as front:
        url = f"amqps://localhost:{front.port}/"
        with publishing(url, journal, cursors, cacert=cacert) as (publisher, _):
            until(lambda: publisher.status().last_error is not None)
    assert publisher.status().reason is Reason.TLS
    advice = "use a host name" if trusted else "cacert"
    assert advice in (publisher.status().last_error or "")
    assert publisher.status().published == 0
