"""Client certificates of users, which stand for their passwords for some days."""

from __future__ import annotations

from collections.abc import Mapping

from pulpit.domain.users import Caller, identity
from pulpit.errors import PermissionDenied
from pulpit.ports import CertificateAuthority, Clock

__all__ = ["Certificates"]


class Certificates:
    """What is done with client certificates.

    Args:
        authority: makes them.
        clock: the present time.
        days: for which one is valid.
    """

    def __init__(self, authority: CertificateAuthority, *, clock: Clock, days: int) -> None:
        self._authority = authority
        self._clock = clock
        self._days = days

    def issue(self, by: Caller) -> Mapping[str, str]:
        """Return a new certificate and its key, as Pulp 2 names them.

        Raises:
            PermissionDenied: whoever asks has come in by a token or a certificate, which would
                never end if it could be made anew by itself.
            Unavailable: the authority's own certificate or key can't be used.
        """
        if not by.has_password:
            raise PermissionDenied("Send login and password to get a certificate")
        subject = identity(by.user)
        certificate, key = self._authority.issue(subject, now=self._clock(), days=self._days)
        return {"certificate": certificate, "key": key}
