"""How a connection to a broker is made: who we are, by SASL and over TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import amqp
from amqp import sasl

from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.reasons import LinkError, Reason

__all__ = ["LinkOptions", "always", "login_of", "new_connection"]

# the default of the library (1 s) ends a connection that the broker has merely blocked
_SOCKET_OPTIONS = {socket.TCP_USER_TIMEOUT: 0}


def always() -> bool:
    """Say yes."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How connections to brokers are made."""

    #: PEM file of the authorities that sign brokers' certificates; None: those of the system.
    cacert: Path | None = None
    #: PEM file with our certificate and its key.
    clientcert: Path | None = None
    #: Seconds for each step until the connection is usable.
    timeout: float = 5.0
    #: Seconds between heartbeats that we ask for.
    heartbeat: int = 30
    #: Tells whether anything may be sent; see ``Link``.
    may_send: Callable[[], bool] = always


def new_connection(address: Address, options: LinkOptions, *, name: str) -> Any:
    """Return a connection of the library, not opened.

    Args:
        address: of the broker.
        options: how to connect.
        name: under which the broker lists it.

    Raises:
        LinkError: a file of certificates can't be used.
    """
    return amqp.Connection(
        host=address.netloc,
        authentication=_authentication(address, options),
        virtual_host=address.virtual_host,
        ssl=_tls(address, options),
        connect_timeout=options.timeout,
        heartbeat=options.heartbeat,
        socket_settings=_SOCKET_OPTIONS,
        client_properties={"product": "Pulpit", "connection_name": name},
    )


def login_of(address: Address, options: LinkOptions) -> str:
    """Return whom we log in as, in words."""
    if address.user is None and address.tls and options.clientcert:
        return f"the certificate in {options.clientcert}, or else of user guest"
    return f"user {address.user or 'guest'}"


def _authentication(address: Address, options: LinkOptions) -> tuple[Any, ...]:
    """Return the SASL mechanisms to offer, the best first."""
    user, password = address.user or "guest", address.password or "guest"
    by_name = sasl.PLAIN(user, password), sasl.AMQPLAIN(user, password)
    if address.user is None and address.tls and options.clientcert:
        return sasl.EXTERNAL(), *by_name
    return by_name


def _tls(address: Address, options: LinkOptions) -> Any:
    """Return the library's TLS options, or False."""
    if not address.tls:
        return False
    _check_files(address, options)
    return {
        "ca_certs": str(options.cacert) if options.cacert else None,
        "certfile": str(options.clientcert) if options.clientcert else None,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": address.host,
    }


def _check_files(address: Address, options: LinkOptions) -> None:
    """Load the certificates once, since the errors of a handshake don't name the file.

    Raises:
        LinkError: one can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # for want of a password, OpenSSL would ask for that of a key at the terminal
    loads: tuple[tuple[str, Path | None, Callable[[Path], None]], ...] = (
        ("cacert", options.cacert, context.load_verify_locations),
        ("clientcert", options.clientcert, partial(context.load_cert_chain, password="")),
    )
    for setting, path, load in loads:
        if path is None:
            continue
        try:
            load(path)
        except (OSError, ValueError) as error:
            raise LinkError(
                f"no TLS with {address}: {setting} in [messaging], {path}, can't be used: "
                f"{error}; it must be a PEM file that the server's user may read",
                reason=Reason.TLS,
                refused=True,
            ) from error
