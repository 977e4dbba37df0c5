"""What clients send of event listeners, checked: event types, filters, configurations, secrets."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from pulpit.domain.listeners import (
    EVENT_TYPES,
    Filters,
    NotifierType,
    Secrets,
    SigningSecret,
    is_event_type,
)
from pulpit.domain.repositories import MASK
from pulpit.errors import InvalidValue, UnsupportedValue
from pulpit.services.documents import optional, refuse_unknown, required

__all__ = [
    "changes_secrets",
    "event_types",
    "filters",
    "merged_config",
    "merged_secrets",
    "new_signing_secret",
    "notifier_type",
    "split_config",
]

#: Bytes of a configuration, as JSON.
_CONFIG_BYTES = 64 << 10
#: Event types, repositories or tags of one listener.
_MOST = 100
#: Characters of a repository's id or a tag, and of a password.
_NAME_LENGTH, _PASSWORD_LENGTH = 1_000, 1_000
#: Keys of configurations that are kept apart, sealed.
_SECRET_KEYS = ("password", "secret")
_SIGNING_PREFIX = "whsec_"
#: Bytes of a signing secret, and of one that is made here.
_SIGNING_BYTES, _NEW_SIGNING_BYTES = range(24, 65), 32


def notifier_type(sent: Mapping[str, Any], known: Collection[NotifierType]) -> NotifierType:
    """Return the type that a new listener is to have.

    Raises:
        MissingValue, InvalidValue: there is none, or none that is known.
    """
    name = required(sent, "notifier_type_id", str)
    if name not in known:
        choice = ", ".join(kind.value for kind in known)
        raise InvalidValue("notifier_type_id", why=f"choose of {choice}")
    return NotifierType(name)


def event_types(listed: list[Any]) -> tuple[str, ...]:
    """Return the event types of a list, each once.

    Raises:
        InvalidValue: it is empty or too long, or one is not known.
    """
    if not 0 < len(listed) <= _MOST:
        raise InvalidValue("event_types", why=f"name at least one and at most {_MOST}")
    if not all(isinstance(name, str) and is_event_type(name) for name in listed):
        raise InvalidValue("event_types", why=f"choose of {', '.join(EVENT_TYPES)}")
    return tuple(dict.fromkeys(listed))


def filters(sent: Mapping[str, Any]) -> Filters:
    """Return the filters of a listener's document; those that let everything through for null.

    Raises:
        InvalidValue, UnsupportedValue: they can't be used.
    """
    given = optional(sent, "filters", dict) or {}
    refuse_unknown(given, ("repositories", "tags"))
    return Filters(repositories=_names(given, "repositories"), tags=_names(given, "tags"))


def _names(given: Mapping[str, Any], key: str) -> tuple[str, ...]:
    listed = optional(given, key, list) or []
    if len(listed) > _MOST:
        raise InvalidValue(key, why=f"name at most {_MOST}")
    if not all(isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH for name in listed):
        raise InvalidValue(key, why=f"must be texts of 1 to {_NAME_LENGTH} characters")
    return tuple(dict.fromkeys(listed))


def split_config(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of a configuration anybody may read, and what nobody may."""
    plain = {key: value for key, value in config.items() if key not in _SECRET_KEYS}
    return plain, {key: config[key] for key in _SECRET_KEYS if key in config}


def merged_config(kept: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with what was sent: keys merge, and null takes one away.

    Raises:
        InvalidValue: it is too large.
    """
    merged = {key: value for key, value in {**kept, **sent}.items() if value is not None}
    if len(msgspec.json.encode(merged)) > _CONFIG_BYTES:
        raise InvalidValue("notifier_config", why=f"use at most {_CONFIG_BYTES >> 10} KiB")
    return merged


def changes_secrets(sent: Mapping[str, Any]) -> bool:
    """Tell whether the secret part of a configuration holds more than masks."""
    return any(value != MASK for value in sent.values())


def merged_secrets(kind: NotifierType, kept: Secrets, sent: Mapping[str, Any]) -> Secrets:
    """Return a listener's secrets with what was sent; deliveries by http always have one to sign.

    Args:
        kind: the listener's type.
        kept: those that it has.
        sent: the secret part of the configuration; a mask keeps what there is.

    Raises:
        InvalidValue, UnsupportedValue: one can't be used.
    """
    if kind is not NotifierType.HTTP:
        if sent:
            raise UnsupportedValue(*sent)
        return kept
    return Secrets(password=_password(kept, sent), signing=_signing(kept, sent))


def _password(kept: Secrets, sent: Mapping[str, Any]) -> str | None:
    if "password" not in sent:
        return kept.password
    password = optional(sent, "password", str)
    if password != MASK:
        if password and not (len(password) <= _PASSWORD_LENGTH and password.isprintable()):
            why = f"use at most {_PASSWORD_LENGTH} characters, none of them a control character"
            raise InvalidValue("password", why=why)
        return password
    if kept.password is None:
        raise InvalidValue("password", why=f"{MASK} stands for one that is kept, and none is")
    return kept.password


def _signing(kept: Secrets, sent: Mapping[str, Any]) -> tuple[SigningSecret, ...]:
    if "secret" not in sent:
        return kept.signing or (new_signing_secret(),)
    value = optional(sent, "secret", str)
    if value is None:
        raise InvalidValue("secret", why="deliveries are always signed; leave it out to keep it")
    if value == MASK:
        if not kept.signing:
            raise InvalidValue("secret", why=f"{MASK} stands for one that is kept, and none is")
        return kept.signing
    if kept.signing and kept.signing[0].value == value:
        return kept.signing
    return (SigningSecret(value=_checked(value), is_chosen=True),)


def _checked(value: str) -> str:
    """Return a signing secret that a client has chosen, if it can be used."""
    try:
        key = base64.b64decode(value.removeprefix(_SIGNING_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not value.startswith(_SIGNING_PREFIX) or len(key) not in _SIGNING_BYTES:
        shortest, longest = _SIGNING_BYTES[0], _SIGNING_BYTES[-1]
        why = f"must be {_SIGNING_PREFIX} and the base64 of {shortest} to {longest} bytes"
        raise InvalidValue("secret", why=why)
    return value


def new_signing_secret() -> SigningSecret:
    """Return a secret that nobody can guess."""
    text = base64.b64encode(secrets.token_bytes(_NEW_SIGNING_BYTES)).decode()
    return SigningSecret(value=_SIGNING_PREFIX + text)
