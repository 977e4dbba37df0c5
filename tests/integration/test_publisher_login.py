"""How the publisher logs in: mechanisms, certificates, virtual hosts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from pulpit.events.amqp import Publisher, Reason
from tests.integration.brokers import SecureBroker, secure_broker
from tests.integration.test_publisher_rabbitmq import publishing
from tests.integration.test_publisher_tls import server_side
from tests.services import until
from tests.services.journal import MemoryCursors, MemoryJournal, make_event
from tests.services.rabbitmq import RabbitMQ
from tests.services.tls import TlsFront

__all__ = ["secure_broker"]


def _one_event(url: str, **settings: Any) -> Any:
    """Return a context with a publisher of one event."""
    cursors = MemoryCursors(amqp_publisher=0)
    return publishing(url, MemoryJournal([make_event(1)]), cursors, **settings)


def _await_reason(publisher: Publisher, logged: Any, reason: Reason) -> str:
    """Return the one line of the log once the reason has come up more than once."""
    until(lambda: publisher.status().failures[reason] > 1)
    assert publisher.status().reason is reason
    (entry,) = logged.entries
    assert (entry["log_level"], entry["reason"]) == ("error", reason)
    return str(entry["event"])


@pytest.mark.parametrize("name", ["a/b", "größe %2F"])
def test_virtual_hosts_by_any_name(rabbitmq: RabbitMQ, name: str) -> None:
    """Characters that mean something in URLs are encoded; the log shows the URL to use."""
    rabbitmq.ctl("add_vhost", name)
    try:
        rabbitmq.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        with _one_event(rabbitmq.url + quote(name, safe="")) as (publisher, _):
            until(lambda: publisher.status().confirmed == 1)
            assert publisher.status().url.endswith(f":{rabbitmq.port}/{quote(name, safe='')}")
    finally:
        rabbitmq.ctl("delete_vhost", name)


@pytest.mark.parametrize("end", ["", "/", "//", "/%2F", "/%2f"])
def test_all_spellings_of_the_default_virtual_host(rabbitmq: RabbitMQ, end: str) -> None:
    """Pulp 2's ``//``, the encoded one, and none at all."""
    with _one_event(rabbitmq.url.rstrip("/") + end) as (publisher, _):
        until(lambda: publisher.status().confirmed == 1)


def test_user_and_password_with_odd_characters(rabbitmq: RabbitMQ) -> None:
    """What is encoded in the URL is the user's own name and password at the broker."""
    rabbitmq.ctl("add_user", "me@here", "p:w/d;€")
    try:
        rabbitmq.ctl("set_permissions", "me@here", ".*", ".*", ".*")
        url = f"amqp://me%40here:p%3Aw%2Fd%3B%E2%82%AC@127.0.0.1:{rabbitmq.port}/"
        with _one_event(url) as (publisher, logged):
            until(lambda: publisher.status().confirmed == 1)
            assert "me%40here@" in publisher.status().url
        assert "p:w" not in repr(logged.entries)
    finally:
        rabbitmq.ctl("delete_user", "me@here")


def test_a_broker_without_plain(secure_broker: SecureBroker) -> None:
    """AMQPLAIN is taken where there is no PLAIN."""
    with _one_event(secure_broker.broker.url) as (publisher, _):
        until(lambda: publisher.status().confirmed == 1)


def test_tls_of_the_broker_itself(secure_broker: SecureBroker) -> None:
    """Without a certificate of our own, user and password go through TLS."""
    url = f"amqps://guest:guest@localhost:{secure_broker.tls_port}/"
    with _one_event(url, cacert=secure_broker.cacert) as (publisher, _):
        until(lambda: publisher.status().confirmed == 1)


def test_a_certificate_is_the_login(secure_broker: SecureBroker) -> None:
    """EXTERNAL: no user in the URL, the certificate's common name is the user."""
    broker = secure_broker.broker
    broker.ctl("add_user", "keeper", "unused")
    broker.ctl("set_permissions", "keeper", ".*", ".*", ".*")
    with _one_event(
        f"amqps://localhost:{secure_broker.tls_port}/",
        cacert=secure_broker.cacert,
        clientcert=secure_broker.certificate("keeper"),
    ) as (publisher, _):
        until(lambda: publisher.status().confirmed == 1)
        assert "keeper" in broker.ctl("list_connections", "user", "auth_mechanism")


def test_a_certificate_of_a_stranger(secure_broker: SecureBroker) -> None:
    """The line names the certificate, not a user that nobody has set."""
    path = secure_broker.certificate("stranger")
    with _one_event(
        f"amqps://localhost:{secure_broker.tls_port}/",
        cacert=secure_broker.cacert,
        clientcert=path,
    ) as (publisher, logged):
        line = _await_reason(publisher, logged, Reason.REFUSED_CREDENTIALS)
    assert str(path) in line


def test_a_certificate_of_an_authority_the_broker_does_not_know(
    secure_broker: SecureBroker,
) -> None:
    """The broker ends the handshake with an alert, which is told as one of TLS."""
    path = secure_broker.certificate("unknown", authority=trustme.CA())
    with _one_event(
        f"amqps://localhost:{secure_broker.tls_port}/",
        cacert=secure_broker.cacert,
        clientcert=path,
    ) as (publisher, logged):
        line = _await_reason(publisher, logged, Reason.TLS)
    assert "clientcert" in line


def test_a_broker_with_no_mechanism_of_ours(
    secure_broker: SecureBroker,
) -> None:
    """The line says which to turn on."""
    broker = secure_broker.broker
    broker.evaluate("application:set_env(rabbit, auth_mechanisms, ['EXTERNAL'])")
    try:
        with _one_event(broker.url) as (publisher, logged):
            line = _await_reason(publisher, logged, Reason.NO_MECHANISM)
    finally:
        broker.evaluate("application:set_env(rabbit, auth_mechanisms, ['AMQPLAIN', 'EXTERNAL'])")
    assert "PLAIN" in line
    assert "auth_mechanisms" in line


def _of_another_authority(broker: SecureBroker) -> dict[str, Any]:
    """Trust an authority that signed nothing here."""
    path = broker.folder / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return {"cacert": path}


def _no_such_file(broker: SecureBroker) -> dict[str, Any]:
    """Name a file that is not there."""
    return {"cacert": broker.folder / "nowhere.pem"}


def _no_certificate(broker: SecureBroker) -> dict[str, Any]:
    """Name a file of something else as our certificate."""
    path = broker.folder / "text.pem"
    path.write_text("hello")
    return {"cacert": broker.cacert, "clientcert": path}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_of_another_authority, "name the authority"),
        (_no_such_file, "cacert in [messaging], "),
        (_no_certificate, "clientcert in [messaging], "),
    ],
)
def test_files_of_tls_that_do_not_fit(secure_broker: SecureBroker, make: Any, words: str) -> None:
    """One line each, with the setting and what is wrong."""
    url = f"amqps://guest:guest@localhost:{secure_broker.tls_port}/"
    with _one_event(url, **make(secure_broker)) as (publisher, logged):
        assert words in _await_reason(publisher, logged, Reason.TLS)


def test_tls_where_the_broker_speaks_none(rabbitmq: RabbitMQ) -> None:
    """amqps:// at the plain port: the line says so."""
    with _one_event(f"amqps://guest:guest@localhost:{rabbitmq.port}/") as (publisher, logged):
        assert "no TLS is spoken" in _await_reason(publisher, logged, Reason.TLS)


def test_no_tls_where_the_broker_speaks_it(secure_broker: SecureBroker) -> None:
    """amqp:// at the TLS port is told once, and nothing is published."""
    url = f"amqp://guest:guest@localhost:{secure_broker.tls_port}/"
    with _one_event(url, connect_timeout=0.5) as (publisher, logged):
        until(lambda: sum(publisher.status().failures.values()) > 1)
    (entry,) = logged.entries
    assert "amqps://" in entry["event"]


@pytest.mark.parametrize(
    ("name", "days", "words"),
    [
        ("localhost", -1, "renew the broker's certificate"),
        ("elsewhere.example.com", 1, "use a host name"),
    ],
)
def test_certificates_of_brokers_that_do_not_fit(
    rabbitmq: RabbitMQ, tmp_path: Path, name: str, days: int, words: str
) -> None:
    """One that has run out and one of another name are each told with what mends them."""
    authority, cacert = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(cacert))
    now = datetime.now(UTC)
    certificate = authority.issue_cert(
        name, not_before=now - timedelta(days=2), not_after=now + timedelta(days=days)
    )
    with TlsFront(server_side(authority, certificate), rabbitmq.port) as front:
        url = f"amqps://guest:guest@localhost:{front.port}/"
        with _one_event(url, cacert=cacert) as (publisher, logged):
            assert words in _await_reason(publisher, logged, Reason.TLS)
