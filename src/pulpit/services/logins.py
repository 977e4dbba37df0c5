"""Who may come in: by password, token or client certificate; and what they may do then.

What was proven is remembered, and what somebody may do as well, both together with the name of the
state that they were read from (``PermissionStore.revision``). One small read for each request tells
whether that still is the present state, on however many servers it may have been changed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pulpit.domain.tokens import PREFIX, Token, secret_digest
from pulpit.domain.users import Caller, identity
from pulpit.errors import AuthenticationFailed, DatabaseFailed, WrongPassword
from pulpit.ports import CertificateAuthority, Clock, Storage, Transaction
from pulpit.services.access import access_of

__all__ = ["Logins"]

#: Passwords that are verified at a time, whoever asks: each takes 64 MiB and a processor.
_VERIFIED_AT_ONCE = 2
#: Callers, by whatever means they come in, that are remembered at a time.
_REMEMBERED = 1_000
#: How old the knowledge may be by which somebody who reads on and on is let go on.
_RECENT = timedelta(seconds=5)
_T = TypeVar("_T")


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


@dataclass(slots=True)
class _Remembered(Generic[_T]):
    """What was found out in a state, for a bounded number of callers."""

    known: dict[str, tuple[str, _T]]

    def get(self, key: str, revision: str) -> _T | None:
        found = self.known.get(key)
        return found[1] if found and found[0] == revision else None

    def put(self, key: str, revision: str, value: _T) -> None:
        if len(self.known) >= _REMEMBERED and key not in self.known:
            self.known.clear()
        self.known[key] = (revision, value)


class Logins:
    """Knows who asks.

    Args:
        storage: where users are kept.
        clock: the present time.
        hasher: of passwords; the default is slow on purpose.
        authority: of client certificates; None where there are none.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        hasher: PasswordHasher | None = None,
        authority: CertificateAuthority | None = None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._authority = authority
        # a login that is unknown must take as long as one that is not
        self._nobody = _hash_of_nothing(self._hasher)
        # argon2 is slow on purpose; who has just proven a password need not do it again
        self._key = secrets.token_bytes(32)
        self._proven: dict[str, tuple[bytes, str]] = {}
        self._turn = threading.Semaphore(_VERIFIED_AT_ONCE)
        self._callers: _Remembered[Caller] = _Remembered({})
        self._tokens: _Remembered[Caller] = _Remembered({})
        self._latest: tuple[datetime, str] | None = None

    def recall(self, login: str, password: str) -> Caller | None:
        """Return the user if this very password was verified before; takes no time."""
        proven, password_hash = self._proven.get(login, (b"", ""))
        if not hmac.compare_digest(proven, self._mark(password)):
            return None
        caller = self._caller(login)
        if caller is None or caller.user.password_hash != password_hash:
            return None
        return replace(caller, has_password=True)

    def authenticate(self, login: str, password: str) -> Caller:
        """Return the user; takes as long as its hash wants when the password is new here.

        Raises:
            WrongPassword: there is no user of that login and password.
        """
        if known := self.recall(login, password):
            return known
        caller = self._caller(login)
        password_hash = caller.user.password_hash if caller else ""
        try:
            with self._turn:
                self._hasher.verify(password_hash or self._nobody, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            raise WrongPassword from None
        if caller is None:
            raise WrongPassword
        if len(self._proven) >= _REMEMBERED and login not in self._proven:
            self._proven.clear()
        self._proven[login] = (self._mark(password), password_hash)
        return replace(caller, has_password=True)

    def with_token(self, secret: str) -> Caller:
        """Return whose token it is, with no more rights than it has.

        Raises:
            AuthenticationFailed: it is nobody's, or its time is over.
        """
        if not secret.startswith(PREFIX):
            raise AuthenticationFailed
        digest, now = secret_digest(secret), self._clock()
        caller = self._remembered(self._tokens, digest, lambda t: _of_token(t, digest))
        if caller is None or caller.token is None or not caller.token.is_valid(now):
            raise AuthenticationFailed
        if caller.token.is_stale(now):
            self._keep_use(digest, caller, now)
        return caller

    def with_certificate(self, certificate: bytes) -> Caller:
        """Return whom a client certificate (DER) of ours is for.

        Raises:
            AuthenticationFailed: it is none, or void: its time is over, the user is gone, or has
                another password by now.
        """
        now = self._clock()
        shown = self._authority.identify(certificate, now=now) if self._authority else None
        caller = self._caller(shown.login) if shown else None
        if caller is None or identity(caller.user) != shown:
            raise AuthenticationFailed
        return caller

    def renewed(self, caller: Caller) -> Caller | None:
        """Return somebody who was let in as they are now; None if they would not be let in again.

        As of a few seconds ago, so that many who read on and on cost one look at the database.
        """
        now, token = self._clock(), caller.token
        if token is not None and not token.is_valid(now):
            return None
        if self.is_surely_current(caller):
            return caller
        with self._storage.read() as transaction:
            self._latest = (now, transaction.permissions.revision())
        if caller.revision == self._latest[1]:
            return caller
        if token is not None:
            return self._remembered(
                self._tokens, token.digest, lambda t: _of_token(t, token.digest)
            )
        present = self._caller(caller.user.login)
        is_same = present is not None and identity(present.user) == identity(caller.user)
        return present if is_same else None

    def is_surely_current(self, caller: Caller) -> bool:
        """Tell whether ``renewed`` would return the same caller without a look at the database."""
        now, latest = self._clock(), self._latest
        return (
            latest is not None
            and timedelta(0) <= now - latest[0] < _RECENT
            and caller.revision == latest[1]
            and (caller.token is None or caller.token.is_valid(now))
        )

    def _caller(self, login: str) -> Caller | None:
        """Return the user as they are now; None if there is none of that login."""
        return self._remembered(self._callers, login, lambda t: _of_user(t, login))

    def _remembered(
        self,
        memory: _Remembered[Caller],
        key: str,
        load: Callable[[Transaction], Caller | None],
    ) -> Caller | None:
        """Return what is remembered of a caller if it is of the present state, else load it."""
        with self._storage.read() as transaction:
            revision = transaction.permissions.revision()
            if known := memory.get(key, revision):
                return known
            caller = load(transaction)
        if caller is None:
            return None
        caller = replace(caller, revision=revision)
        memory.put(key, revision, caller)
        return caller

    def _keep_use(self, digest: str, caller: Caller, now: datetime) -> None:
        """Write when a token was used; a database that can't be written now hears the next use."""
        assert caller.token is not None
        used = replace(caller.token, last_used=now)
        self._tokens.put(digest, caller.revision, replace(caller, token=used))
        with (
            contextlib.suppress(DatabaseFailed),
            self._storage.write_beside() as transaction,
        ):
            transaction.tokens.used(used.id, now=now)

    def _mark(self, password: str) -> bytes:
        """Return what stands for a password in memory."""
        return hmac.digest(self._key, password.encode(errors="surrogatepass"), hashlib.sha256)


def _of_user(transaction: Transaction, login: str) -> Caller | None:
    user = transaction.users.get(login)
    return Caller(user=user, access=access_of(transaction, user)) if user else None


def _of_token(transaction: Transaction, digest: str) -> Caller | None:
    token: Token | None = transaction.tokens.with_digest(digest)
    caller = _of_user(transaction, token.login) if token else None
    if token is None or caller is None:
        return None
    return replace(caller, token=token, access=replace(caller.access, read_only=token.read_only))
