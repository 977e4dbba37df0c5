"""Users of the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = ["User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may use the API."""

    login: str
    oid: str
    name: str
    #: An argon2 hash; never leaves the server.
    password_hash: str
    created: datetime
