"""The certificates that another server shows: who vouches for them, for whom, how long."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulpit.app.certificates import valid_until
from pulpit.app.doctor.certificates import (
    OwnCertificate,
    check_authorities,
    check_client_certificate,
    left,
)
from pulpit.app.doctor.findings import Check, Problem

__all__ = ["Chain", "Peer", "client_context", "tls_checks"]

# verification results of OpenSSL (x509_vfy.h)
_NOT_YET_VALID, _EXPIRED = 9, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is reached by TLS, how, and what findings call it and its settings."""

    #: Such as ``the broker``.
    called: str
    #: Its name, as its certificate should have it.
    host: str
    #: Returns a connection that is ready for the handshake; raises OSError.
    connect: Callable[[], socket.socket]
    #: What it answers to after the handshake, whatever that may be.
    greeting: bytes
    #: File or folder of the authorities that sign its certificate; None for the system's.
    authorities: Path | None
    own: OwnCertificate | None = None
    #: Days left of a certificate that are worth a word.
    soon: int = 30
    #: The setting that names the authorities, in words.
    authorities_setting: str
    #: The setting that names a certificate of ours.
    own_setting: str
    #: The setting that has its name.
    address_setting: str
    #: What to do where no TLS is spoken.
    without_tls: str


def tls_checks(peer: Peer, *, needs: Sequence[str]) -> Sequence[Check]:
    """Return what there is to look at of TLS.

    Args:
        peer: who is reached.
        needs: the checks without which none makes sense.
    """
    chain, own = Chain(peer), peer.own
    ours = []
    if own is not None:
        ours.append(
            Check(
                name="tls_client_certificate",
                title="Our certificate",
                answer=lambda: check_client_certificate(own, soon=peer.soon),
            )
        )
    before = (*needs, "tls_authorities", *(check.name for check in ours))
    shown = ("tls_chain",)
    return (
        Check(
            name="tls_authorities",
            title="Authorities",
            answer=lambda: check_authorities(
                peer.authorities, setting=peer.authorities_setting, whom=peer.called
            ),
        ),
        *ours,
        Check(name="tls_chain", title="TLS chain", answer=chain.check_chain, needs=before),
        Check(name="tls_name", title="TLS name", answer=chain.check_name, needs=shown),
        Check(name="tls_expiry", title="TLS expiry", answer=chain.check_expiry, needs=shown),
    )


def client_context(peer: Peer, *, names: bool) -> ssl.SSLContext:
    """Return how a server is greeted by TLS.

    Args:
        peer: the server.
        names: whether its certificate must be for its name.
    """
    known, own = peer.authorities, peer.own
    folder = known is not None and known.is_dir()
    context = ssl.create_default_context(
        cafile=str(known) if known and not folder else None,
        capath=str(known) if known and folder else None,
    )
    context.check_hostname = names
    if own is not None:
        context.load_cert_chain(own.certificate, own.key, password="")
    return context


@dataclass(slots=True)
class Chain:
    """The certificates that a server shows, looked at in steps.

    Args:
        peer: the server.
    """

    peer: Peer
    _shown: dict[str, Any] = field(default_factory=dict)

    def check_chain(self) -> str:
        """Look whether the authorities vouch for it, and whether it takes our certificate."""
        try:
            self._shown = self._handshake(names=False)
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(error) from error
        except (ssl.SSLEOFError, ConnectionError) as error:
            raise Problem(
                f"{self.peer.called} ends the connection in the handshake",
                f"look at the log of {self.peer.called}; it may demand a certificate that it "
                f"trusts ({self.peer.own_setting})",
            ) from error
        except ssl.SSLError as error:
            raise self._refusal(error) from error
        issuer = _name(self._shown.get("issuer", ()))
        return f"vouched for by {issuer}"

    def check_name(self) -> str:
        """Look whether the certificate is for the host of the URL."""
        try:
            self._handshake(names=True)
        except ssl.SSLCertVerificationError as error:
            names = ", ".join(sorted(value for _, value in self._shown.get("subjectAltName", ())))
            raise Problem(
                f"the certificate is not for {self.peer.host} but for {names or 'nobody'}",
                f"write one of these names into {self.peer.address_setting}, or have the "
                f"certificate of {self.peer.called} issued for {self.peer.host}",
            ) from error
        return f"the certificate is for {self.peer.host}"

    def check_expiry(self) -> str:
        """Look how long the certificate is valid."""
        called = self.peer.called
        return left(
            valid_until(self._shown),
            f"the certificate of {called}",
            f"the configuration of {called}",
            soon=self.peer.soon,
        )

    def _handshake(self, *, names: bool) -> dict[str, Any]:
        """Return its certificate, taken apart.

        Args:
            names: whether it must be for the name of the server.
        """
        with (
            self.peer.connect() as plug,
            client_context(self.peer, names=names).wrap_socket(
                plug, server_hostname=self.peer.host
            ) as secure,
        ):
            # in TLS 1.3 a server tells only now what it thinks of our certificate
            # it may have ended the connection with a word that is still to be read
            with suppress(OSError):
                secure.sendall(self.peer.greeting)
            if not secure.recv(1):
                raise ConnectionAbortedError("it says nothing")
            return dict(secure.getpeercert() or {})

    def _distrust(self, error: ssl.SSLCertVerificationError) -> Problem:
        """Return why its certificate is not trusted."""
        called, known = self.peer.called, self.peer.authorities
        if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
            when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
            return Problem(
                f"the certificate of {called}, or one above it, {when}",
                f"renew it at {called}, and look at the clocks of both machines",
            )
        who = f"{known} does" if known else "the system's authorities do"
        return Problem(
            f"{who} not vouch for the certificate of {called} ({error.verify_message})",
            f"name the file of the authority that signed it in {self.peer.authorities_setting}; "
            f"{called} must send the certificates between its own and that authority's, too",
        )

    def _refusal(self, error: ssl.SSLError) -> Problem:
        """Return why there is no TLS at all."""
        reason, called, own = str(error.reason or error), self.peer.called, self.peer.own
        if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return Problem("no TLS is spoken there", self.peer.without_tls)
        words = reason.lower().replace("_", " ")
        if own is None and "CERTIFICATE" in reason:
            return Problem(
                f"{called} demands a certificate of us",
                f"set {self.peer.own_setting} to a file with certificate and key",
            )
        if own is not None and "ALERT" in reason:
            return Problem(
                f"{called} refuses our certificate ({words})",
                f"have {own.setting}, {own.certificate}, issued by an authority that {called} "
                "trusts",
            )
        return Problem(
            f"the handshake fails ({words})",
            f"look at the log of {called}, and at the versions and ciphers that it allows",
        )


def _name(parts: Any) -> str:
    """Return a distinguished name in a word."""
    known = {key: value for part in parts for key, value in part}
    return str(known.get("commonName") or known.get("organizationName") or "an authority")
