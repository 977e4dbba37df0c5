"""The configuration of an iso distributor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from pulpit.domain.published import checked_relative_url
from pulpit.errors import InvalidValue

__all__ = ["IsoPublishConfig"]

#: Grows whenever equal content would be written otherwise than before.
_FORMAT = 1
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoPublishConfig:
    """What a configuration, checked, asks for."""

    #: Without slashes at its ends; None: the id of the repository.
    relative_url: str | None
    #: Publish even what is published already.
    force_full: bool
    #: All of the configuration, as JSON, that may change what is written.
    canonical: bytes

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Check a configuration; keys that mean nothing here are accepted.

        ``serve_http`` and ``serve_https`` say where Pulp 2's web server was to find the files; here
        both are served by what the server listens at.

        Raises:
            InvalidValue: a value can't be used, or would have the files kept from somebody.
        """
        present = {key: value for key, value in config.items() if value is not None}
        force_full = _boolean(present, "force_full", default=False)
        served = [_boolean(present, name, default=True) for name in ("serve_http", "serve_https")]
        if not any(served):
            raise InvalidValue("serve_http", "serve_https", why="one of them must be true")
        if present.get("ssl_auth_ca_cert"):
            reason = "published files are open to everybody: leave it out if they may be"
            raise InvalidValue("ssl_auth_ca_cert", why=reason)
        shaping = {key: value for key, value in present.items() if key != "force_full"}
        return cls(
            relative_url=_relative_url(present.get("relative_url", "")),
            force_full=force_full,
            canonical=msgspec.json.encode(shaping, order="deterministic"),
        )

    def fingerprint(self, content_revision: int) -> str:
        """Return what is equal for publications with equal content."""
        text = msgspec.json.encode([_FORMAT, content_revision, msgspec.Raw(self.canonical)])
        return hashlib.sha256(text).hexdigest()


def _relative_url(value: Any) -> str | None:
    """Return the path below ``/pulp/isos/``, which Pulp 2 did not look at and so did not check."""
    if not isinstance(value, str):
        raise InvalidValue("relative_url", why="must be a string")
    path = value.strip("/")
    try:
        return checked_relative_url(path) if path else None
    except ValueError as error:
        raise InvalidValue("relative_url", why=str(error)) from error


def _boolean(config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """Return a boolean, which old clients send as a word."""
    value = config.get(key, default)
    if isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    if not isinstance(value, bool):
        raise InvalidValue(key, why="must be true or false")
    return value
