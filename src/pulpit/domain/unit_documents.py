"""Units as searches see them, and as clients are shown them, under Pulp 2's names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from pulpit.domain.associations import PREFIX, UNSEARCHED
from pulpit.domain.criteria import Selection
from pulpit.domain.filters import fields_of
from pulpit.domain.units import PACKAGE_TYPES, Unit
from pulpit.errors import UnsupportedValue

__all__ = ["COLUMN_FIELDS", "MADE", "refuse_unsearched", "unit_values"]

_PACKAGE_FIELDS: Mapping[str, str] = {
    "name": "name",
    "epoch": "epoch",
    "version": "version",
    "release": "release",
    "arch": "arch",
    "filename": "filename",
    "relativepath": "filename",
    "size": "size",
    "checksumtype": "checksum_type",
    "checksum": "checksum",
}
#: Content type to the fields of its documents that are columns, and the names of these.
COLUMN_FIELDS: Mapping[str, Mapping[str, str]] = {
    "rpm": _PACKAGE_FIELDS,
    "srpm": _PACKAGE_FIELDS,
    "drpm": _PACKAGE_FIELDS,
    "iso": {"name": "name", "size": "size", "checksum": "checksum"},
}
#: Fields that are made from a unit's chunks when a document is made, and kept nowhere.
MADE = frozenset(
    {
        "requires",
        "provides",
        "conflicts",
        "obsoletes",
        "recommends",
        "suggests",
        "supplements",
        "enhances",
        "files",
        "changelog",
        "repodata",
    }
)
#: What no search can look at.
_UNSEARCHED = MADE | {"_href", "_storage_path", "repository_memberships"}
_UNSEARCHED_HERE = _UNSEARCHED | {PREFIX + name for name in UNSEARCHED}


def unit_values(unit: Unit) -> dict[str, Any]:
    """Return what searches see of a unit; times in it are aware datetimes."""
    return {
        **unit.metadata,
        **unit.key,
        **_columns(unit),
        "_id": unit.uid,
        "_content_type_id": unit.type_id,
        "_ns": f"units_{unit.type_id}",
        "_last_updated": unit.updated,
        "downloaded": unit.artifact is not None or unit.type_id not in PACKAGE_TYPES,
        "pulp_user_metadata": unit.user_metadata,
    }


def _columns(unit: Unit) -> dict[str, Any]:
    """Return what a package has of columns of its own."""
    package = unit.package
    if package is None:
        return {}
    values = {
        field: getattr(package, column)
        for field, column in COLUMN_FIELDS.get(unit.type_id, {}).items()
    }
    if "checksumtype" in values and "checksums" not in unit.metadata:
        values["checksums"] = {package.checksum_type: package.checksum}
    return values


def refuse_unsearched(selection: Selection) -> None:
    """Raise UnsupportedValue for a search by what is made for documents alone."""
    sorted_by = (name for name, _ in selection.sort)
    names = {name.partition(".")[0] for name in chain(fields_of(selection.where), sorted_by)}
    if refused := sorted(name.removeprefix(PREFIX) for name in names & _UNSEARCHED_HERE):
        raise UnsupportedValue(*refused, why="units can't be searched or sorted by it")
