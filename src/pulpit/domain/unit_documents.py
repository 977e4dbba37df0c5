"""Units as searches see them, and as clients are shown them, under Pulp 2's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from pulpit.domain.associations import PREFIX, UNSEARCHED, Association, association_values
from pulpit.domain.clock import render_time
from pulpit.domain.criteria import Selection, project
from pulpit.domain.filters import fields_of
from pulpit.domain.units import FILE_TYPES, PACKAGE_TYPES, Unit
from pulpit.errors import UnsupportedValue

__all__ = [
    "ALIASES",
    "COLUMN_FIELDS",
    "MADE",
    "UNITS_HREF",
    "association_document",
    "refuse_unsearched",
    "required_streams",
    "unit_document",
    "unit_values",
    "wanted_of",
]

UNITS_HREF = "/pulp/api/v2/content/units/"

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
#: Content type to other names of fields, and what these are names of.
ALIASES: Mapping[str, Mapping[str, str]] = {"erratum": {"from_str": "from"}}
#: Fields that are made from a unit's chunks when a document is made, and kept nowhere.
MADE = frozenset(
    {
        "header_range",
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
#: Those of them that are large, and there only for who asks for them by name.
_LARGE = frozenset({"repodata"})
#: What no search can look at.
_UNSEARCHED = MADE | {"_href", "_storage_path", "children", "repository_memberships"}
_UNSEARCHED_HERE = _UNSEARCHED | {PREFIX + name for name in UNSEARCHED}
#: What documents have whichever fields are asked for, so that clients know what they are of.
_ALWAYS = ("_id", "_content_type_id", "_href")
#: What a module's document says of its dependencies.
_DEPENDENCY_KINDS = {"requires", "buildrequires"}
#: What a package has where nothing better is known.
_PACKAGE_DEFAULTS: Mapping[str, Any] = {
    "base_url": None,
    "is_modular": False,
    "relative_url_path": None,
    "signing_key": None,
}


def unit_values(unit: Unit) -> dict[str, Any]:
    """Return what searches see of a unit."""
    values = {
        **unit.metadata,
        **unit.key,
        **_columns(unit),
        "_id": unit.uid,
        "_content_type_id": unit.type_id,
        "_ns": f"units_{unit.type_id}",
        "_last_updated": None if unit.updated is None else int(unit.updated.timestamp()),
        "downloaded": unit.artifact is not None or unit.type_id not in FILE_TYPES,
        "pulp_user_metadata": unit.user_metadata,
    }
    for alias, name in ALIASES.get(unit.type_id, {}).items():
        values[alias] = values.get(name)
    return values


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


def wanted_of(fields: Sequence[str] | None) -> frozenset[str]:
    """Return which of ``MADE`` documents with these fields need; None: with all."""
    if fields is None:
        return MADE - _LARGE
    return MADE & {name.partition(".")[0] for name in fields}


def unit_document(
    unit: Unit,
    *,
    made: Mapping[str, Any],
    storage_path: str | None,
    fields: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the document of ``GET /pulp/api/v2/content/units/<type>/<id>/``.

    Args:
        unit: whose.
        made: fields that its chunks tell; see ``MADE``.
        storage_path: of its file; None for one without.
        fields: which to return, beside those that tell what the document is of; None for all.
    """
    values = unit_values(unit)
    if unit.type_id in PACKAGE_TYPES:
        values = {**_PACKAGE_DEFAULTS, **values}
    if unit.type_id == "modulemd":
        values["dependencies"] = required_streams(values.get("dependencies"))
    document = {
        **values,
        **made,
        "_href": f"{UNITS_HREF}{unit.type_id}/{unit.uid}/",
        "_storage_path": storage_path,
        "children": {},
    }
    return document if fields is None else project(document, [*_ALWAYS, *fields])


def association_document(
    association: Association, metadata: Mapping[str, Any], *, fields: Sequence[str] | None
) -> dict[str, Any]:
    """Return an association as ``POST repositories/<id>/search/units/`` shows it.

    Args:
        association: which.
        metadata: the document of its unit.
        fields: of the association, beside its ids; None for all.
    """
    values = association_values(association)
    document = {
        **{name: _shown(value) for name, value in values.items()},
        "_id": {"$oid": association.oid},
        "id": association.oid,
        "_ns": "repo_content_units",
    }
    if fields is not None:
        document = project(document, ["_id", "unit_id", "unit_type_id", *fields])
    return {**document, "metadata": metadata}


def _shown(value: Any) -> Any:
    """Return a time as clients see it, and anything else as it is."""
    return render_time(value) if isinstance(value, datetime) else value


def required_streams(dependencies: Any) -> list[dict[str, list[str]]]:
    """Return what a module needs at run time, as Pulp 2 shows it: module to streams, in a list.

    Kept is what the module's document says: a list of such alternatives, or in its first version
    one, of which each module has one stream.
    """
    listed = dependencies if isinstance(dependencies, list) else [dependencies]
    parts = (one for one in listed if isinstance(one, Mapping))
    needs = (one.get("requires") if one.keys() <= _DEPENDENCY_KINDS else one for one in parts)
    return [
        {str(name): _listed(streams) for name, streams in one.items()}
        for one in needs
        if isinstance(one, Mapping)
    ]


def _listed(streams: Any) -> list[str]:
    return [str(stream) for stream in (streams if isinstance(streams, list) else [streams])]


def refuse_unsearched(selection: Selection) -> None:
    """Raise UnsupportedValue for a search by what is made for documents alone."""
    sorted_by = (name for name, _ in selection.sort)
    names = {name.partition(".")[0] for name in chain(fields_of(selection.where), sorted_by)}
    if refused := sorted(name.removeprefix(PREFIX) for name in names & _UNSEARCHED_HERE):
        raise UnsupportedValue(*refused, why="units can't be searched or sorted by it")
