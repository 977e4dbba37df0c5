"""The authority of users' client certificates, opened when there is a need for it."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pulpit.config import Settings
from pulpit.domain.users import Identity
from pulpit.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from pulpit.storage.authority import FileAuthority

__all__ = ["UserAuthority"]


class UserAuthority:
    """Implements ``pulpit.ports.CertificateAuthority``; the library it needs is slow to import.

    Args:
        settings: of the server.
        log: where it is told why no certificate can be made.

    Raises:
        ConfigurationError: the files that are set can't be used.
    """

    def __init__(self, settings: Settings, *, log: Any) -> None:
        self._settings, self._log = settings, log
        self._authority: FileAuthority | None = None
        self._turn = threading.Lock()
        if settings.security.cacert:
            self.opened()

    def for_handshakes(self) -> str | None:
        """Return the authority's certificate as PEM; None where clients aren't asked for theirs.

        Raises:
            ConfigurationError: the authority can't be used.
        """
        is_asked = self._settings.security.client_certificates and self._settings.server.certificate
        return self.opened().certificate if is_asked else None

    def issue(self, subject: Identity, *, now: datetime, days: int) -> tuple[str, str]:
        try:
            authority = self.opened()
        except ConfigurationError as error:
            self._log.warning("client certificates can't be made", reason=error.message)
            raise Unavailable("No certificate can be made: the server's log says why") from error
        return authority.issue(subject, now=now, days=days)

    def identify(self, certificate: bytes, *, now: datetime) -> Identity | None:
        try:
            authority = self.opened()
        except ConfigurationError:
            # nobody can have one that was made here
            return None
        return authority.identify(certificate, now=now)

    def opened(self) -> FileAuthority:
        """Return the authority, made if there is none yet, or raise ConfigurationError."""
        from pulpit.storage.authority import open_authority  # noqa: PLC0415 - slow to import

        security = self._settings.security
        with self._turn:
            if self._authority is None:
                self._authority = open_authority(
                    self._settings.storage.data, certificate=security.cacert, key=security.cakey
                )
            return self._authority
