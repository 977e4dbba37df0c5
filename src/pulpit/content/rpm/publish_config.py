"""The configuration of a yum distributor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from pulpit.content.checksums import canonical_type
from pulpit.content.rpm.layout import PACKAGES
from pulpit.content.rpm.repodata import Compression
from pulpit.domain.published import checked_relative_url
from pulpit.errors import InvalidValue, MissingValue

__all__ = ["PublishConfig"]

#: Grows whenever equal content would be written otherwise than before.
_FORMAT = 2
_CHECKSUM_TYPES = ("sha256", "sha512", "sha384", "sha224", "sha1")
#: Those that errata may say of packages, too.
_PACKAGE_CHECKSUM_TYPES = (*_CHECKSUM_TYPES, "md5")
_COMPRESSIONS = (Compression.GZ, Compression.ZSTD)
_BOOLEANS = {"true": True, "false": False}
#: Characters of the key that packages are signed with.
_MAX_KEY = 1 << 20
#: Folders that hold something else than packages.
_TAKEN = ("repodata", "drpms")
_OPEN = "published content is open to everybody who reaches the server"
#: What is not made here, and what to do instead.
_NOT_MADE = {
    "generate_sqlite": "SQLite files are not made here, no client needs them: set it to false",
    "repoview": "pages about packages are not made here, folders can be browsed: set it to false",
    "gpg_sign_metadata": "metadata are not signed here: set it to false",
    "protected": f"{_OPEN}: set it to false, or keep others out by a proxy",
}
#: What would say that only those with a certificate may read.
_CERTIFICATES = ("auth_ca", "auth_cert")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishConfig:
    """What a configuration, checked, asks for."""

    #: Without slashes at its ends.
    relative_url: str
    #: Of the metadata files; None: as the repository's scratchpad says.
    checksum_type: str | None
    #: Of what errata say of their packages; None: all that they say.
    updateinfo_checksum_type: str | None
    compression: Compression
    #: Those for which listing files are told of.
    protocols: tuple[str, ...]
    #: Publish even what is published already.
    force_full: bool
    #: Take over from the former publication what has not changed.
    fast_forward: bool
    #: The text of the key that packages are signed with, to be published beside them.
    gpgkey: str | None
    #: Content types that are left out.
    skipped: frozenset[str]
    #: Folder of the packages, a path without slashes at its ends.
    packages_directory: str
    #: All of the configuration, as JSON, that may change what is written.
    canonical: bytes

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Check a configuration; keys that mean nothing here are accepted.

        Raises:
            MissingValue: there is no relative_url.
            InvalidValue: a value can't be used, or asks for what is not made here.
        """
        present = {key: value for key, value in config.items() if value is not None}
        if "relative_url" not in present:
            raise MissingValue("relative_url")
        _refuse_not_made(present)
        shaping = {key: value for key, value in present.items() if key != "force_full"}
        return cls(
            relative_url=_path(present, "relative_url"),
            checksum_type=_checksum_type(present, "checksum_type", _CHECKSUM_TYPES),
            updateinfo_checksum_type=_checksum_type(
                present, "updateinfo_checksum_type", _PACKAGE_CHECKSUM_TYPES
            ),
            compression=Compression(_choice(present, "compress_type", _COMPRESSIONS)),
            protocols=_protocols(present),
            force_full=_boolean(present, "force_full", default=False),
            fast_forward=_boolean(present, "use_fast_forward", default=False),
            gpgkey=_key(present),
            skipped=_skipped(present),
            packages_directory=_packages_directory(present),
            canonical=msgspec.json.encode(shaping, order="deterministic"),
        )

    def checksum_type_for(self, scratchpad: Mapping[str, Any]) -> str:
        """Return the checksum type of metadata files.

        Args:
            scratchpad: of the repository, where a sync keeps what its feed had.
        """
        kind = self.checksum_type or canonical_type(str(scratchpad.get("checksum_type", "")))
        return kind if kind in _CHECKSUM_TYPES else _CHECKSUM_TYPES[0]

    def fingerprint(self, content_revision: int, checksum_type: str) -> str:
        """Return what is equal for publications with equal content."""
        facts = [_FORMAT, content_revision, checksum_type, msgspec.Raw(self.canonical)]
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()

    def package_files(self, checksum_type: str) -> list[Any]:
        """Return what shapes the files that list packages, beside the packages."""
        return [_FORMAT, checksum_type, self.compression, self.packages_directory]


def _refuse_not_made(config: Mapping[str, Any]) -> None:
    """Refuse what is not made here, and what would be open though it must not be."""
    for key, reason in _NOT_MADE.items():
        if _boolean(config, key, default=False):
            raise InvalidValue(key, why=reason)
    for key in _CERTIFICATES:
        if config.get(key):
            raise InvalidValue(key, why=f"{_OPEN}: leave it out, or keep others out by a proxy")


def _path(config: Mapping[str, Any], key: str) -> str:
    """Return a path below ``/pulp/repos/``, or below a publication."""
    if not isinstance(config[key], str):
        raise InvalidValue(key, why="must be a string")
    try:
        return checked_relative_url(config[key])
    except ValueError as error:
        raise InvalidValue(key, why=str(error)) from error


def _packages_directory(config: Mapping[str, Any]) -> str:
    """Return the folder of the packages."""
    key = "packages_directory"
    path = _path({key: PACKAGES, **config}, key)
    if path.partition("/")[0] in _TAKEN:
        raise InvalidValue(key, why=f"must not lie in {' or '.join(_TAKEN)}")
    return path


def _protocols(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the protocols that are not turned off."""
    protocols = tuple(name for name in ("http", "https") if _boolean(config, name, default=True))
    if not protocols:
        raise InvalidValue("http", "https", why="at least one of the two must be true")
    return protocols


def _key(config: Mapping[str, Any]) -> str | None:
    """Return the text of a key."""
    text = config.get("gpgkey")
    if text is not None and (not isinstance(text, str) or len(text) > _MAX_KEY or "\0" in text):
        raise InvalidValue("gpgkey", why="must be the text of a key")
    return text or None


def _skipped(config: Mapping[str, Any]) -> frozenset[str]:
    """Return the types to leave out, which Pulp 2 took as a list, or as type to boolean."""
    value = config.get("skip", ())
    if isinstance(value, Mapping):
        value = [name for name, skipped in value.items() if skipped]
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise InvalidValue("skip", why="must be a list of content types")
    return frozenset(value)


def _checksum_type(config: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str | None:
    """Return a checksum type; None for none, which some clients send as an empty string."""
    value = config.get(key)
    if value in (None, ""):
        return None
    kind = canonical_type(value) if isinstance(value, str) else ""
    if kind not in choices:
        raise InvalidValue(key, why=f"choose one of {', '.join(choices)}")
    return kind


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
