"""Brokers beside the one of the test run, for publishers that know several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.services import free_ports, missing
from tests.services import rabbitmq as rabbitmq_service
from tests.services.rabbitmq import RabbitMQ

__all__ = ["SecureBroker", "secure_broker"]


@dataclass(frozen=True, kw_only=True)
class SecureBroker:
    """A broker with TLS that demands no certificate, and knows no SASL mechanism PLAIN."""

    broker: RabbitMQ
    tls_port: int
    authority: trustme.CA
    #: PEM file of the authority's certificate.
    cacert: Path
    folder: Path

    def certificate(self, name: str, *, authority: trustme.CA | None = None) -> Path:
        """Return the PEM file of key and certificate of a client with this common name."""
        made = (authority or self.authority).issue_cert(f"{name}.example.com", common_name=name)
        path = self.folder / f"{name}.pem"
        made.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


@pytest.fixture(scope="module")
def secure_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """Yield a second broker, with a certificate for localhost."""
    if not rabbitmq_service.installed():
        missing("rabbitmq-server")
    folder, authority = tmp_path_factory.mktemp("secure"), trustme.CA()
    cacert, cert, key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
    authority.cert_pem.write_to_path(str(cacert))
    made = authority.issue_cert("localhost", "127.0.0.1")
    made.cert_chain_pems[0].write_to_path(str(cert))
    made.private_key_pem.write_to_path(str(key))
    (port,) = free_ports(1)
    config = f"""\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {cacert}
ssl_options.certfile = {cert}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = AMQPLAIN
auth_mechanisms.2 = EXTERNAL
"""
    broker = RabbitMQ(folder / "broker", config=config, plugins=["rabbitmq_auth_mechanism_ssl"])
    try:
        broker.start()
        yield SecureBroker(
            broker=broker, tls_port=port, authority=authority, cacert=cacert, folder=folder
        )
    finally:
        broker.stop()
