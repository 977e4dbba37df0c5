"""The server's own certificate: its files, for whom and how long it is, and what clients see."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pulpit.app.certificates import (
    Distrust,
    load_certificate,
    own_certificate,
    shake_hands,
    trusting,
    valid_until,
)
from pulpit.app.doctor.certificates import left
from pulpit.app.doctor.findings import Check, Note, Problem
from pulpit.client.connection import authorities
from pulpit.config import Settings
from pulpit.errors import ConfigurationError

__all__ = ["OwnCertificate"]

_SETTING = "certificate in [server]"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """What the settings name, if they do.

    Args:
        settings: of the server.
        cafile: the authorities that clients here trust; None for the system's.
    """

    settings: Settings
    cafile: str | None

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at; nothing without a certificate."""
        if self.settings.server.certificate is None:
            return ()
        needs = ("own_files",)
        return (
            Check(name="own_files", title="Files", answer=self.check_files),
            Check(name="own_name", title="Name", answer=self.check_name, needs=needs),
            Check(name="own_expiry", title="Expiry", answer=self.check_expiry, needs=needs),
            Check(name="own_chain", title="Chain", answer=self.check_chain, needs=needs),
        )

    def check_files(self) -> str:
        """Look whether the server can use certificate and key."""
        certificate, key = self._files
        try:
            found = load_certificate(certificate, key)
        except ConfigurationError as error:
            raise Problem(
                error.message, "correct the file, or the setting, as the server's user"
            ) from error
        if found.warnings:
            raise Note("; ".join(found.warnings))
        return f"{certificate} and its key"

    def check_name(self) -> str:
        """Look whether it is for the name under which clients reach the server."""
        name = urlsplit(self.settings.event_source).hostname or ""
        client = trusting(self._files[0])
        client.check_hostname = True
        try:
            shake_hands(client, self._context, name=name)
        except ssl.SSLCertVerificationError as error:
            if "mismatch" not in error.verify_message:
                raise Note(f"it can't be told: the certificate {error.verify_message}") from error
            raise Problem(
                f"it is not for {name}, under which clients reach the server",
                "have one issued for that name, or correct server_name in [server]",
            ) from error
        return f"it is for {name}"

    def check_expiry(self) -> str:
        """Look how long it is valid."""
        try:
            shown = own_certificate(self._files[0], self._context)
        except Distrust as distrust:
            raise Problem(f"the certificate {distrust}", f"renew it; see {_SETTING}") from distrust
        return left(valid_until(shown), "the server's certificate", _SETTING)

    def check_chain(self) -> str:
        """Look whether clients on this machine trust it."""
        whose = self.cafile or "the system's authorities"
        client = authorities(self.cafile)
        client.check_hostname = False
        try:
            shake_hands(client, self._context)
        except ssl.SSLCertVerificationError as error:
            raise Note(
                f"{whose}: no trust in it on this machine ({error.verify_message})",
                "clients need the file of its authority (--cafile, PULPIT_CAFILE); the server's "
                "file must hold those between it and that authority's, too",
            ) from error
        return f"trusted by {whose}"

    @property
    def _files(self) -> tuple[Path, Path]:
        """The paths of certificate and key, which are set together."""
        server = self.settings.server
        assert server.certificate is not None
        assert server.private_key is not None
        return server.certificate, server.private_key

    @property
    def _context(self) -> ssl.SSLContext:
        """What the server would show."""
        return load_certificate(*self._files).context
