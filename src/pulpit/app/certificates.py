"""Certificates and keys in files, looked at by showing them to ourselves, in memory."""

from __future__ import annotations

import re
import ssl
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pulpit.errors import ConfigurationError

__all__ = [
    "Distrust",
    "ServerCertificate",
    "load_certificate",
    "own_certificate",
    "shake_hands",
    "trusting",
    "valid_until",
]

# verification results of OpenSSL (x509_vfy.h)
_REASONS = {
    9: "is not valid yet",
    10: "has expired",
    26: "is not for servers (extended key usage)",
}
_MARKS = {
    "certificate": r"-----BEGIN ([A-Z0-9 ]+ )?CERTIFICATE-----",
    "private_key": r"-----BEGIN ([A-Z0-9 ]+ )?PRIVATE KEY-----",
}
#: Others read the key, or members of its group write it, as no guide for any server has it.
_TOO_OPEN = stat.S_IRWXO | stat.S_IWGRP


class Distrust(Exception):
    """A certificate is not one that clients take; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """What a server shows to its clients."""

    #: For the handshakes, with certificate and key.
    context: ssl.SSLContext
    #: What clients, or whoever looks after the machine, may not like.
    warnings: tuple[str, ...]


def load_certificate(certificate: Path, private_key: Path) -> ServerCertificate:
    """Return what the files hold, for TLS 1.2 and later.

    Args:
        certificate: PEM; the certificates between it and its authority may follow.
        private_key: PEM, without a password.

    Raises:
        ConfigurationError: a file can't be read, or the two do not belong together.
    """
    for key, path in (("certificate", certificate), ("private_key", private_key)):
        _check_text(key, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # for want of a password, OpenSSL would ask for one at the terminal
        context.load_cert_chain(certificate, private_key, password="")
    except (OSError, ValueError) as error:
        raise _key_error(certificate, private_key, error) from None
    return ServerCertificate(
        context=context, warnings=tuple(_warnings(certificate, private_key, context))
    )


def own_certificate(path: Path, context: ssl.SSLContext) -> dict[str, object]:
    """Return a server's certificate, taken apart as by ``SSLSocket.getpeercert``.

    Args:
        path: its file.
        context: that has it loaded.

    Raises:
        Distrust: its dates or its purpose are wrong.
    """
    try:
        shown, _ = shake_hands(trusting(path), context)
    except ssl.SSLCertVerificationError as error:
        raise Distrust(_REASONS.get(error.verify_code, error.verify_message)) from None
    return dict(shown.getpeercert() or {})


def trusting(path: Path) -> ssl.SSLContext:
    """Return a client's context that trusts the certificates of a file, whatever the name."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # a certificate vouches for itself: all that is judged are its dates and its purpose
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(path)
    return client


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, *, name: str | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return client and server as they see each other after a handshake in memory.

    Args:
        client: what the one does.
        server: what the other does.
        name: of the server, as the client knows it.

    Raises:
        ssl.SSLError: one does not want the other.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=name)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [asking, answering]
    while waiting:
        for side in tuple(waiting):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                waiting.remove(side)
    return asking, answering


def valid_until(shown: Mapping[str, object]) -> datetime:
    """Return until when a certificate that was taken apart is valid."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)


def _check_text(key: str, path: Path) -> None:
    """Raise ConfigurationError unless the file holds what the setting of that name is for."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise _error(key, f"{path} can't be read: {error.strerror}") from None
    if not re.search(_MARKS[key], text):
        kind = key.replace("_", " ").upper()
        raise _error(key, f"{path} holds none as PEM (-----BEGIN {kind}-----)")


def _key_error(certificate: Path, private_key: Path, error: Exception) -> ConfigurationError:
    """Return why certificate and key can't be used together."""
    reason = str(getattr(error, "reason", None) or error)
    if reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
        return _error(
            "private_key",
            f"{private_key} is not the key of the first certificate in {certificate}: name the "
            "one that it was requested with, and put the server's own certificate first",
        )
    if "ENCRYPTED" in private_key.read_text(encoding="ascii", errors="replace"):
        return _error(
            "private_key",
            f"{private_key} is protected by a password: write it without one, readable by the "
            "server's user alone (openssl pkey -in … -out …)",
        )
    words = reason.lower().replace("_", " ")
    return _error("certificate", f"{certificate} and {private_key} can't be used ({words})")


def _warnings(certificate: Path, private_key: Path, context: ssl.SSLContext) -> list[str]:
    """Return what may be wrong, though the server can do with it."""
    told = []
    try:
        own_certificate(certificate, context)
    except Distrust as distrust:
        told.append(f"{certificate} {distrust}: clients will refuse it")
    if private_key.stat().st_mode & _TOO_OPEN:
        told.append(f"others may read or change {private_key}: run chmod 640 {private_key}")
    return told


def _error(key: str, reason: str) -> ConfigurationError:
    return ConfigurationError(reason, section="server", key=key)
