"""The configuration of a yum distributor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from pulpit.content.rpm.repodata import Compression
from pulpit.domain.published import checked_relative_url
from pulpit.errors import InvalidValue, MissingValue

__all__ = ["PublishConfig"]

#: Grows whenever equal content would be written otherwise than before.
_FORMAT = 1
_CHECKSUM_TYPES = ("sha256", "sha512", "sha384", "sha224", "sha1")
_COMPRESSIONS = (Compression.GZ, Compression.ZSTD)
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishConfig:
    """What a configuration, checked, asks for."""

    #: Without slashes at its ends.
    relative_url: str
    #: Of the metadata files.
    checksum_type: str
    compression: Compression
    #: Those for which listing files are told of.
    protocols: tuple[str, ...]
    #: Publish even what is published already.
    force_full: bool
    #: All of the configuration, as JSON, that may change what is written.
    canonical: bytes

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Check a configuration; keys that mean nothing here are accepted.

        Raises:
            MissingValue: there is no relative_url.
            InvalidValue: a value can't be used.
        """
        present = {key: value for key, value in config.items() if value is not None}
        if "relative_url" not in present:
            raise MissingValue("relative_url")
        force_full = _boolean(present, "force_full", default=False)
        shaping = {key: value for key, value in present.items() if key != "force_full"}
        return cls(
            relative_url=_relative_url(present["relative_url"]),
            checksum_type=_choice(present, "checksum_type", _CHECKSUM_TYPES),
            compression=Compression(_choice(present, "compress_type", _COMPRESSIONS)),
            protocols=tuple(
                name for name in ("http", "https") if _boolean(present, name, default=True)
            ),
            force_full=force_full,
            canonical=msgspec.json.encode(shaping, order="deterministic"),
        )

    def fingerprint(self, content_revision: int) -> str:
        """Return what is equal for publications with equal content."""
        text = msgspec.json.encode([_FORMAT, content_revision, msgspec.Raw(self.canonical)])
        return hashlib.sha256(text).hexdigest()


def _relative_url(value: Any) -> str:
    """Return the path below ``/pulp/repos/``."""
    if not isinstance(value, str):
        raise InvalidValue("relative_url", why="must be a string")
    try:
        return checked_relative_url(value)
    except ValueError as error:
        raise InvalidValue("relative_url", why=str(error)) from error


def _choice(config: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
    """Return one of the choices, the first one by default."""
    value = config.get(key, choices[0])
    if value not in choices:
        raise InvalidValue(key, why=f"choose one of {', '.join(choices)}")
    return str(value)


def _boolean(config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """Return a boolean, which old clients send as a word."""
    value = config.get(key, default)
    if isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    if not isinstance(value, bool):
        raise InvalidValue(key, why="must be true or false")
    return value
