"""Content units: packages, and the documents that stand beside them in a repository."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

__all__ = [
    "FILE_TYPES",
    "MAX_FILE",
    "PACKAGE_TYPES",
    "RPM_TYPES",
    "UNIT_KEYS",
    "PackageColumns",
    "Unit",
    "UnitFile",
    "unit_key_digest",
]

#: Content type to the names that make up its unit key, in Pulp 2's order.
UNIT_KEYS: Mapping[str, tuple[str, ...]] = {
    "rpm": ("name", "epoch", "version", "release", "arch", "checksumtype", "checksum"),
    "srpm": ("name", "epoch", "version", "release", "arch", "checksumtype", "checksum"),
    "drpm": ("epoch", "version", "release", "filename", "checksumtype", "checksum"),
    "erratum": ("id",),
    "package_group": ("id", "repo_id"),
    "package_category": ("id", "repo_id"),
    "package_environment": ("id", "repo_id"),
    "package_langpacks": ("repo_id",),
    "modulemd": ("name", "stream", "version", "context", "arch"),
    "modulemd_defaults": ("name", "repo_id"),
    "distribution": ("distribution_id", "family", "variant", "version", "arch"),
    "yum_repo_metadata_file": ("data_type", "repo_id"),
    "iso": ("name", "checksum", "size"),
}
#: The types that yum repositories are made of.
RPM_TYPES = tuple(type_id for type_id in UNIT_KEYS if type_id != "iso")
#: Bytes of a file whose size nobody says before it is downloaded.
MAX_FILE = 32 << 30
#: The types whose units are package files.
PACKAGE_TYPES = frozenset({"rpm", "srpm", "drpm"})
#: The types whose units are one file each, of which size and checksum are known.
FILE_TYPES = PACKAGE_TYPES | {"iso"}


def unit_key_digest(type_id: str, key: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that stand for the unit key, equal for equal keys in any order."""
    text = msgspec.json.encode([type_id, key], order="deterministic")
    return hashlib.sha256(text).digest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageColumns:
    """What is searched of a unit that is one file; each is a column of its own.

    Of an iso, name and filename are its path in the repository, which may have folders in it; what
    only packages have is empty.
    """

    name: str
    epoch: str
    version: str
    release: str
    arch: str
    #: Base name of the file.
    filename: str
    #: Bytes of the file.
    size: int
    #: As the feed says: ``sha256``, ``sha512``, ``sha1``, ``md5``.
    checksum_type: str
    #: Lower-case hexadecimal.
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One content unit; the same unit may stand in many repositories."""

    #: Given by the store; 0 for one that is not stored yet.
    id: int = 0
    #: UUID, the ``_id`` that clients see.
    uid: str
    type_id: str
    #: As ``UNIT_KEYS`` names them; unique for each type.
    key: Mapping[str, Any]
    #: None for units that are not one file.
    package: PackageColumns | None = None
    #: JSON object of what else clients see of the unit.
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: What publishing writes back, each zstd-compressed: of a package its primary, filelists and
    #: other chunks; of an erratum or a group its XML element; of a module its YAML document.
    chunks: tuple[bytes, ...] = ()
    #: SHA-256 of the file in the store; None for one that is not downloaded, or has no file.
    artifact: str | None = None
    #: ``pulp_user_metadata``: JSON object of the users' own.
    user_metadata: Mapping[str, Any] = field(default_factory=dict)
    #: When it was last written, as the store knows; None: before stores kept that.
    updated: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFile:
    """One file of a unit, and what is known of it."""

    #: Of a unit that has several: below a publication; of a package: the name.
    path: str
    #: Bytes; None for one that is not known yet.
    size: int | None = None
    #: As in ``PackageColumns``; None where nobody says any.
    checksum_type: str | None = None
    checksum: str | None = None
    #: SHA-256 of the file in the store; None for one that is not downloaded.
    artifact: str | None = None

    @classmethod
    def of_package(cls, unit: Unit) -> UnitFile:
        """Return the file of a package.

        Raises:
            ValueError: the unit is none.
        """
        if unit.package is None:
            raise ValueError(f"unit {unit.id} is no package")
        return cls(
            path=unit.package.filename,
            size=unit.package.size,
            checksum_type=unit.package.checksum_type,
            checksum=unit.package.checksum,
            artifact=unit.artifact,
        )

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]
