"""Tokens of users: made, listed and revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pulpit.domain.clock import new_oid, parse_time
from pulpit.domain.tokens import Token, new_secret, secret_digest
from pulpit.domain.users import Caller
from pulpit.errors import InvalidValue, MissingResource, PermissionDenied
from pulpit.ports import Clock, Storage
from pulpit.services.access import existing_user, require_power_over
from pulpit.services.documents import as_object, optional, refuse_unknown, required

__all__ = ["Tokens"]

_KEYS = ("name", "expires", "read_only")
#: Characters of a name, and tokens that a user may have.
_MOST_CHARACTERS, _MOST_TOKENS = 255, 100


class Tokens:
    """What is done with tokens."""

    def __init__(self, storage: Storage, *, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def list(self, login: str) -> Sequence[Token]:
        """Return the user's tokens, by name, or raise MissingResource."""
        with self._storage.read() as transaction:
            existing_user(transaction, login)
            return transaction.tokens.list(login)

    def create(self, login: str, document: Any, *, by: Caller) -> tuple[Token, str]:
        """Make a token; return it with its secret, which nobody can be told again.

        Args:
            login: of the user whom it lets in.
            document: the JSON of ``POST users/<login>/tokens/``: name, and if need be expires
                (ISO 8601) and read_only.
            by: who does it.

        Raises:
            RequestError: a value is missing or invalid, the user has one of that name, or the one
                who does it may do less than the user, or came in without a password.
        """
        if not by.has_password:
            # else a token or a certificate that somebody has stolen would never end
            raise PermissionDenied("Send login and password to make a token")
        sent = as_object(document)
        refuse_unknown(sent, _KEYS)
        now, secret = self._clock(), new_secret()
        token = Token(
            id=new_oid(now),
            login=login,
            name=_checked_name(required(sent, "name", str)),
            digest=secret_digest(secret),
            read_only=optional(sent, "read_only", bool) or False,
            created=now,
            expires=_expires(optional(sent, "expires", str), now),
        )
        with self._storage.write() as transaction:
            require_power_over(transaction, by.access, existing_user(transaction, login))
            if len(transaction.tokens.list(login)) >= _MOST_TOKENS:
                raise InvalidValue("name", why=f"a user has at most {_MOST_TOKENS} tokens")
            transaction.tokens.add(token)
        return token, secret

    def revoke(self, login: str, token_id: str, *, by: Caller) -> None:
        """Make a token void at once.

        Raises:
            RequestError: there is none, or the one who does it may do less than the user.
        """
        with self._storage.write() as transaction:
            require_power_over(transaction, by.access, existing_user(transaction, login))
            if not transaction.tokens.remove(login, token_id):
                raise MissingResource(token_id=token_id)


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= _MOST_CHARACTERS:
        raise InvalidValue("name", why=f"use 1 to {_MOST_CHARACTERS} characters")
    return name


def _expires(text: str | None, now: datetime) -> datetime | None:
    """Return when a token is to end, or raise InvalidValue."""
    if text is None:
        return None
    try:
        moment = parse_time(text)
    except (ValueError, OverflowError):
        raise InvalidValue("expires", why="must be a time such as 2027-01-31T00:00:00Z") from None
    if moment <= now:
        raise InvalidValue("expires", why="must be in the future")
    return moment
