"""Users of the API: who may come in."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from pulpit.domain.clock import new_oid
from pulpit.domain.users import User
from pulpit.errors import AuthenticationFailed
from pulpit.ports import Clock, Storage

__all__ = ["Users"]

_PASSWORD_BYTES = 15


class Users:
    """What the server asks of users."""

    def __init__(self, storage: Storage, *, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._hasher = PasswordHasher()
        # a login that is unknown must take as long as one that is not
        self._nobody = self._hasher.hash(secrets.token_hex())
        # argon2 is slow on purpose; who has just proven a password need not do it again
        self._key = secrets.token_bytes(32)
        self._proven: dict[str, tuple[bytes, str]] = {}

    def ensure_first(self, login: str, password: str | None) -> str | None:
        """Create the first user if there is none yet.

        Args:
            login: of the user.
            password: of the user; None to make one up.

        Returns:
            The password that was made up, to be shown once; else None.
        """
        with self._storage.write() as transaction:
            if transaction.users.count():
                return None
            chosen = password or secrets.token_urlsafe(_PASSWORD_BYTES)
            now = self._clock()
            transaction.users.set(
                User(
                    login=login,
                    oid=new_oid(now),
                    name=login,
                    password_hash=self._hasher.hash(chosen),
                    created=now,
                ),
            )
        return None if password else chosen

    def authenticate(self, login: str, password: str) -> User:
        """Return the user, or raise AuthenticationFailed."""
        with self._storage.read() as transaction:
            user = transaction.users.get(login)
        mark = hmac.digest(self._key, password.encode(), hashlib.sha256)
        if user and self._has_proven(user, mark):
            return user
        try:
            self._hasher.verify(user.password_hash if user else self._nobody, password)
        except VerificationError:
            raise AuthenticationFailed from None
        if user is None:
            raise AuthenticationFailed
        self._proven[login] = (mark, user.password_hash)
        return user

    def _has_proven(self, user: User, mark: bytes) -> bool:
        """Tell whether this very password was verified against the hash that is kept now."""
        proven, password_hash = self._proven.get(user.login, (b"", ""))
        return password_hash == user.password_hash and hmac.compare_digest(proven, mark)
