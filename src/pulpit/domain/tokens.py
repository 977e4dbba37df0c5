"""Tokens: secrets by which programs use the API as a user, without the password."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pulpit.domain.clock import render_time

__all__ = ["PREFIX", "Token", "new_secret", "secret_digest", "token_document"]

#: What tokens begin with, so that those who look for leaked secrets know them.
PREFIX = "pulpit_"
_SECRET_BYTES = 32
#: How old the time of a token's last use may be before it is written again.
_COARSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, without its secret, which nobody keeps."""

    #: 24 hexadecimal digits.
    id: str
    login: str
    name: str
    #: SHA-256 of the secret, hexadecimal; the secret is random, so this needs no salt.
    digest: str
    #: Whether it may only read.
    read_only: bool
    created: datetime
    #: From when on it is void; None for never.
    expires: datetime | None = None
    #: When it was used last, up to an hour before the latest use; None for never.
    last_used: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it may still be used."""
        return self.expires is None or now < self.expires

    def is_stale(self, now: datetime) -> bool:
        """Tell whether a use now is worth to be written."""
        return self.last_used is None or now - self.last_used >= _COARSE


def new_secret() -> str:
    """Return a secret that nobody can guess."""
    return f"{PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"


def secret_digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def token_document(token: Token) -> dict[str, Any]:
    """Return the token as the API shows it, without its secret."""
    return {
        "_id": {"$oid": token.id},
        "_ns": "tokens",
        "_href": f"/pulp/api/v2/users/{token.login}/tokens/{token.id}/",
        "id": token.id,
        "login": token.login,
        "name": token.name,
        "read_only": token.read_only,
        "created": render_time(token.created),
        "expires": render_time(token.expires),
        "last_used": render_time(token.last_used),
    }
