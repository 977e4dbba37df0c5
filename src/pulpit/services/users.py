"""Users of the API: who may come in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from pulpit.domain.clock import new_oid
from pulpit.domain.users import User
from pulpit.errors import AuthenticationFailed
from pulpit.ports import Clock, Storage

__all__ = ["Users"]

_PASSWORD_BYTES = 15
#: Passwords that are verified at a time, whoever asks: each takes 64 MiB and a processor.
_VERIFIED_AT_ONCE = 2


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """Return what looks like the hash of a password, takes as long to verify, and fits none.

    It costs nothing, where to hash a password would hold up each start of a server.
    """
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v=19${cost}${salt}${digest}"


class Users:
    """What the server asks of users.

    Args:
        storage: where they are kept.
        clock: the present time.
        hasher: of passwords; the default is slow on purpose.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock, hasher: PasswordHasher | None = None
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        # a login that is unknown must take as long as one that is not
        self._nobody = _hash_of_nothing(self._hasher)
        # argon2 is slow on purpose; who has just proven a password need not do it again
        self._key = secrets.token_bytes(32)
        self._proven: dict[str, tuple[bytes, str]] = {}
        self._turn = threading.Semaphore(_VERIFIED_AT_ONCE)

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

    def recall(self, login: str, password: str) -> User | None:
        """Return the user if this very password was verified before; takes no time."""
        proven, password_hash = self._proven.get(login, (b"", ""))
        if not hmac.compare_digest(proven, self._mark(password)):
            return None
        with self._storage.read() as transaction:
            user = transaction.users.get(login)
        return user if user and user.password_hash == password_hash else None

    def authenticate(self, login: str, password: str) -> User:
        """Return the user; takes as long as its hash wants when the password is new here.

        Raises:
            AuthenticationFailed: there is no user of that login and password.
        """
        if user := self.recall(login, password):
            return user
        with self._storage.read() as transaction:
            user = transaction.users.get(login)
        try:
            with self._turn:
                self._hasher.verify(user.password_hash if user else self._nobody, password)
        except (VerificationError, UnicodeEncodeError):
            raise AuthenticationFailed from None
        if user is None:
            raise AuthenticationFailed
        self._proven[login] = (self._mark(password), user.password_hash)
        return user

    def _mark(self, password: str) -> bytes:
        """Return what stands for a password in memory."""
        return hmac.digest(self._key, password.encode(errors="surrogatepass"), hashlib.sha256)
