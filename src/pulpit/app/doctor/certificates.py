"""Certificates: the files, a broker's chain, its names, and when they run out."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pulpit.app.certificates import shake_hands, valid_until
from pulpit.app.doctor.findings import Note, Problem
from pulpit.domain.clock import utc_now
from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.link import LinkOptions

__all__ = ["Chain", "check_authorities", "check_client_certificate", "left"]

#: Certificates that run out within so many days are worth a word.
_SOON = 30
_SECONDS_A_DAY = 86_400
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# verification results of OpenSSL (x509_vfy.h)
_NOT_YET_VALID, _EXPIRED, _OTHER_PURPOSE = 9, 10, 26
_CACERT = "cacert in [messaging]"
_CLIENTCERT = "clientcert in [messaging]"


def check_authorities(path: Path | None) -> str:
    """Look at the file of authorities."""
    if path is None:
        return "none set: those of the system vouch for the broker"
    text = _read(path, _CACERT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise Problem(
            f"{path} holds no certificates that can be read",
            f"write the authorities' certificates to it as PEM (-----BEGIN CERTIFICATE-----); "
            f"the setting is {_CACERT}",
        ) from error
    return f"{path}: {context.cert_store_stats()['x509']} certificate(s)"


def check_client_certificate(path: Path) -> str:
    """Look at the file of our own certificate and key."""
    text = _read(path, _CLIENTCERT)
    for mark, what in (("CERTIFICATE", "certificate"), ("PRIVATE KEY", "private key")):
        if not re.search(f"-----BEGIN [A-Z ]*{mark}-----", text):
            raise Problem(
                f"{path} holds no {what}",
                "write both, the certificate and its key, to that one file as PEM; "
                f"the setting is {_CLIENTCERT}",
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # for want of a password, OpenSSL would ask for one at the terminal
        context.load_cert_chain(path, password="")
    except (OSError, ValueError) as error:
        raise _key_problem(path, text, error) from error
    return f"{path}: {left(_own_expiry(path, context), 'our certificate', _CLIENTCERT)}"


@dataclass(slots=True)
class Chain:
    """The certificates that a broker shows, looked at in steps.

    Args:
        address: of the broker.
        options: how to connect.
    """

    address: Address
    options: LinkOptions
    _shown: dict[str, Any] = field(default_factory=dict)

    def check_chain(self) -> str:
        """Look whether the authorities vouch for it, and whether it takes our certificate."""
        try:
            self._shown = self._handshake(self._context(names=False), _peer)
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(error) from error
        except (ssl.SSLEOFError, ConnectionError) as error:
            raise Problem(
                "the broker ends the connection in the handshake",
                "look at the broker's log; it may demand a certificate that it trusts "
                f"({_CLIENTCERT})",
            ) from error
        except ssl.SSLError as error:
            raise self._refusal(error) from error
        issuer = _name(self._shown.get("issuer", ()))
        return f"vouched for by {issuer}"

    def check_name(self) -> str:
        """Look whether the certificate is for the host of the URL."""
        try:
            self._handshake(self._context(names=True), _peer)
        except ssl.SSLCertVerificationError as error:
            names = ", ".join(sorted(value for _, value in self._shown.get("subjectAltName", ())))
            raise Problem(
                f"the certificate is not for {self.address.host} but for {names or 'nobody'}",
                "write one of these names into event_notification_url in [messaging], or have "
                f"the broker's certificate issued for {self.address.host}",
            ) from error
        return f"the certificate is for {self.address.host}"

    def check_expiry(self) -> str:
        """Look how long the certificate is valid."""
        return left(
            valid_until(self._shown), "the broker's certificate", "the broker's configuration"
        )

    def _context(self, *, names: bool) -> ssl.SSLContext:
        """Return how to greet the broker."""
        context = ssl.create_default_context(
            cafile=str(self.options.cacert) if self.options.cacert else None
        )
        context.check_hostname = names
        if self.options.clientcert:
            context.load_cert_chain(self.options.clientcert, password="")
        return context

    def _handshake(
        self, context: ssl.SSLContext, look: Callable[[ssl.SSLSocket], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return what can be seen of the broker after the handshake."""
        address, seconds = self.address, self.options.timeout
        with (
            socket.create_connection((address.host, address.port), timeout=seconds) as plug,
            context.wrap_socket(plug, server_hostname=address.host) as secure,
        ):
            # in TLS 1.3 a broker tells only now what it thinks of our certificate
            # it may have ended the connection with a word that is still to be read
            with suppress(OSError):
                secure.sendall(_PROTOCOL_HEADER)
            if not secure.recv(1):
                raise ConnectionAbortedError("it says nothing")
            return look(secure)

    def _distrust(self, error: ssl.SSLCertVerificationError) -> Problem:
        """Return why its certificate is not trusted."""
        if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
            when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
            return Problem(
                f"the broker's certificate, or one above it, {when}",
                "renew it at the broker, and look at the clocks of both machines",
            )
        who = str(self.options.cacert or "the system's authorities")
        return Problem(
            f"{who} do not vouch for the broker's certificate ({error.verify_message})"
            if self.options.cacert is None
            else f"{who} does not vouch for the broker's certificate ({error.verify_message})",
            f"name the file of the authority that signed it in {_CACERT}; a broker must send "
            "the certificates between its own and that authority's, too",
        )

    def _refusal(self, error: ssl.SSLError) -> Problem:
        """Return why there is no TLS at all."""
        reason = str(error.reason or error)
        if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return Problem(
                "no TLS is spoken there",
                "use the broker's TLS port (most often 5671), or amqp:// for one without TLS",
            )
        if self.options.clientcert is None and "CERTIFICATE" in reason:
            return Problem(
                "the broker demands a certificate of us",
                f"set {_CLIENTCERT} to a file with certificate and key",
            )
        if "ALERT" in reason and self.options.clientcert:
            return Problem(
                f"the broker refuses our certificate ({reason.lower().replace('_', ' ')})",
                f"have {_CLIENTCERT}, {self.options.clientcert}, issued by an authority that the "
                "broker trusts (its cacertfile)",
            )
        return Problem(
            f"the handshake fails ({reason.lower().replace('_', ' ')})",
            "look at the broker's log, and at the versions and ciphers that it allows",
        )


def _peer(secure: ssl.SSLSocket) -> dict[str, Any]:
    """Return the certificate of the peer, taken apart."""
    return dict(secure.getpeercert() or {})


def _read(path: Path, setting: str) -> str:
    """Return the text of a file of certificates."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError as error:
        raise Problem(f"{path} is not there", f"correct {setting}") from error
    except OSError as error:
        raise Problem(
            f"{path} can't be read: {error.strerror}",
            f"let the server's user read it, or correct {setting}",
        ) from error


def _key_problem(path: Path, text: str, error: Exception) -> Problem:
    """Return what is wrong with certificate and key."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return Problem(
            f"the key in {path} is not that of the certificate in it",
            "write the key with which the certificate was requested",
        )
    if "ENCRYPTED" in text:
        return Problem(
            f"the key in {path} is protected by a password",
            "write it without one, readable by the server's user alone (openssl pkey -in … -out …)",
        )
    return Problem(
        f"{path} can't be used ({getattr(error, 'reason', None) or error})",
        "write certificate and key to it as PEM",
    )


def _own_expiry(path: Path, server: ssl.SSLContext) -> datetime:
    """Return how long our certificate is valid: shown to ourselves, in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain(path, password="")
    server.verify_mode = ssl.CERT_REQUIRED
    # the certificate vouches for itself: all that is wanted are its dates and purpose
    server.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    server.load_verify_locations(path)
    try:
        shown = dict(shake_hands(client, server)[1].getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        words = {
            _EXPIRED: "has expired",
            _NOT_YET_VALID: "is not valid yet",
            _OTHER_PURPOSE: "is not for clients (extended key usage)",
        }
        raise Problem(
            f"our certificate in {path} {words.get(error.verify_code, error.verify_message)}",
            f"renew it; the setting is {_CLIENTCERT}",
        ) from error
    return valid_until(shown)


def left(until: datetime, whose: str, where: str) -> str:
    """Return how long a certificate is valid still."""
    days = int((until - utc_now()).total_seconds() // _SECONDS_A_DAY)
    words = f"valid until {until:%Y-%m-%d} ({days} days)"
    if days < _SOON:
        raise Note(f"{whose} is {words}", f"renew it in time; see {where}")
    return words


def _name(parts: Any) -> str:
    """Return a distinguished name in a word."""
    known = {key: value for part in parts for key, value in part}
    return str(known.get("commonName") or known.get("organizationName") or "an authority")
