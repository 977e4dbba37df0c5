"""Rows of units to units, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pulpit.domain.units import UNIT_KEYS, PackageColumns, Unit, unit_key_digest
from pulpit.storage.tables import unit_chunks, units

__all__ = ["PACKAGE_FIELDS", "UNIT_FIELDS", "chunk_row", "package_of", "unit_of", "unit_row"]

#: What ``package_of`` reads, in its order.
PACKAGE_FIELDS = (
    units.c.id,
    units.c.uid,
    units.c.type_id,
    units.c.artifact,
    units.c.name,
    units.c.epoch,
    units.c.version,
    units.c.release,
    units.c.arch,
    units.c.filename,
    units.c.size,
    units.c.checksum_type,
    units.c.checksum,
)
#: What ``unit_of`` reads, in its order.
UNIT_FIELDS = (
    *PACKAGE_FIELDS,
    units.c.key,
    units.c.metadata,
    units.c.user_metadata,
    units.c.updated,
)

_COLUMNS = tuple(column.name for column in PACKAGE_FIELDS[4:])
_CHUNKS = tuple(column.name for column in unit_chunks.c if column.name != "unit_id")
_NO_PACKAGE: Mapping[str, None] = dict.fromkeys(_COLUMNS)
#: The one name of a unit key that is spelt otherwise as a column.
_SPELT = {"checksumtype": "checksum_type"}


def unit_row(unit: Unit, *, now: datetime) -> dict[str, Any]:
    """Return the row of a unit that is not stored yet."""
    package = unit.package
    return {
        "uid": unit.uid,
        "type_id": unit.type_id,
        "key_digest": unit_key_digest(unit.type_id, unit.key),
        "key": unit.key,
        "metadata": unit.metadata,
        "artifact": unit.artifact,
        "user_metadata": unit.user_metadata or None,
        "updated": now,
        **({name: getattr(package, name) for name in _COLUMNS} if package else _NO_PACKAGE),
    }


def chunk_row(unit_id: int, chunks: tuple[bytes, ...]) -> dict[str, Any]:
    """Return the row of a unit's chunks; there is at least one."""
    padded = chunks + (None,) * (len(_CHUNKS) - len(chunks))
    return {"unit_id": unit_id, **dict(zip(_CHUNKS, padded, strict=True))}


def _package_columns(row: Sequence[Any]) -> PackageColumns | None:
    """Return the package of a row that begins with ``PACKAGE_FIELDS``."""
    if row[4] is None:
        return None
    return PackageColumns(
        name=row[4],
        epoch=row[5],
        version=row[6],
        release=row[7],
        arch=row[8],
        filename=row[9],
        size=row[10],
        checksum_type=row[11],
        checksum=row[12],
    )


def package_of(row: Sequence[Any], chunks: tuple[bytes, ...] = ()) -> Unit:
    """Return the package of a row of ``PACKAGE_FIELDS``; its metadata is left out.

    Of a unit of several files its key is left out, too.
    """
    package = _package_columns(row)
    names = UNIT_KEYS[row[2]] if package else ()
    key = {name: getattr(package, _SPELT.get(name, name)) for name in names}
    return Unit(
        id=row[0],
        uid=row[1],
        type_id=row[2],
        key=key,
        package=package,
        chunks=chunks,
        artifact=row[3],
    )


def unit_of(row: Sequence[Any], chunks: tuple[bytes, ...] = ()) -> Unit:
    """Return the unit of a row of ``UNIT_FIELDS``."""
    return Unit(
        id=row[0],
        uid=row[1],
        type_id=row[2],
        key=row[13],
        package=_package_columns(row),
        metadata=row[14],
        chunks=chunks,
        artifact=row[3],
        user_metadata=row[15] or {},
        updated=row[16],
    )
