"""Associations: which units are in which repository, and how they are searched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pulpit.domain.criteria import Selection, parse_count, parse_fields, parse_sort
from pulpit.domain.filters import All, parse_filter, renamed
from pulpit.domain.units import Unit
from pulpit.errors import InvalidValue, UnsupportedValue, WrongJsonType

__all__ = [
    "PREFIX",
    "UNSEARCHED",
    "Association",
    "UnitCriteria",
    "association_values",
    "owner_of",
    "parse_unit_criteria",
]

#: Stands before the names of an association's fields where those of its unit stand beside them.
PREFIX = "association:"
#: Fields of an association's document that are made for the document alone.
UNSEARCHED = frozenset({"_id", "id", "_ns", "metadata"})
_KNOWN = ("type_ids", "filters", "sort", "limit", "skip", "fields", "remove_duplicates")
_SIDES = ("association", "unit")
_MAX_TYPES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """That a unit is in a repository."""

    repo_id: str
    #: Without its chunks.
    unit: Unit
    created: datetime

    @property
    def oid(self) -> str:
        """24 hexadecimal digits, always the same ones for the same association."""
        text = f"{self.repo_id}/{self.unit.uid}".encode()
        return hashlib.sha256(text).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCriteria(Selection):
    """Which units of a repository a search selects.

    Names in ``where`` and ``sort`` are those of units, and ``PREFIX`` with those of associations.
    """

    #: Content types; none: all.
    type_ids: frozenset[str] = frozenset()
    #: The fields of units to return; None for all.
    fields: Sequence[str] | None = None
    #: The fields of associations to return; None for all.
    association_fields: Sequence[str] | None = None


def owner_of(type_id: str) -> str:
    """Return the importer that brings units of the type."""
    return "iso_importer" if type_id == "iso" else "yum_importer"


def association_values(association: Association) -> dict[str, Any]:
    """Return what searches see of an association beside its unit."""
    return {
        "repo_id": association.repo_id,
        "unit_id": association.unit.uid,
        "unit_type_id": association.unit.type_id,
        "owner_type": "importer",
        "owner_id": owner_of(association.unit.type_id),
        "created": association.created,
        "updated": association.created,
    }


def parse_unit_criteria(document: Any) -> UnitCriteria:
    """Return the criteria that a JSON object describes; null is the empty one.

    It holds ``type_ids``; ``filters`` and ``fields``, each with what is asked of ``association``
    and of ``unit``; ``sort`` alike, or a list for the units; ``limit`` and ``skip``.
    ``remove_duplicates`` is accepted: here a unit is in a repository once.

    Raises:
        WrongJsonType: it is no JSON object.
        InvalidValue: a part of it is malformed, or too large.
        UnsupportedValue: it holds a property, a field or an operator that is not known.
    """
    if document is None:
        return UnitCriteria()
    if not isinstance(document, Mapping):
        raise WrongJsonType("criteria must be a JSON object")
    if unknown := sorted(str(key) for key in document.keys() - set(_KNOWN)):
        raise UnsupportedValue(*unknown, why=f"criteria take {', '.join(_KNOWN)}")
    given = {key: value for key, value in document.items() if value is not None}
    filters, fields = _sides(given, "filters"), _sides(given, "fields")
    sort = given.get("sort")
    sorts = {"unit": sort} if isinstance(sort, list | tuple) else _sides(given, "sort")
    association = parse_filter(filters.get("association", {}))
    by_association = parse_sort(sorts.get("association", []))
    return UnitCriteria(
        type_ids=_type_ids(given.get("type_ids", [])),
        where=All(terms=(parse_filter(filters.get("unit", {})), renamed(association, PREFIX))),
        sort=(
            *((PREFIX + name, ascending) for name, ascending in by_association),
            *parse_sort(sorts.get("unit", [])),
        ),
        limit=parse_count("limit", given["limit"], least=1) if "limit" in given else None,
        skip=parse_count("skip", given.get("skip", 0), least=0),
        fields=parse_fields(fields.get("unit", [])) or None,
        association_fields=parse_fields(fields.get("association", [])) or None,
    )


def _sides(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what a part of the criteria asks of associations and of units."""
    sides = given.get(name, {})
    if not isinstance(sides, Mapping) or not sides.keys() <= set(_SIDES):
        raise InvalidValue(name, why="it must be an object with association, unit, or both")
    return {side: value for side, value in sides.items() if value is not None}


def _type_ids(value: Any) -> frozenset[str]:
    """Parse content types; a lone one may stand without its list."""
    listed = [value] if isinstance(value, str) else value
    if (
        not isinstance(listed, list | tuple)
        or len(listed) > _MAX_TYPES
        or not all(isinstance(type_id, str) for type_id in listed)
    ):
        raise InvalidValue("type_ids", why=f"it must be a list of at most {_MAX_TYPES} names")
    return frozenset(listed)
