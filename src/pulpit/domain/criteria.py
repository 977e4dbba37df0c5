"""The criteria of searches: filters, sort, skip, limit and fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pulpit.domain.filters import EVERYTHING, Filter, parse_field, parse_filter
from pulpit.domain.matching import matches, sort_key, sort_value
from pulpit.errors import InvalidValue, NotJson, UnsupportedValue, WrongJsonType

__all__ = [
    "Criteria",
    "Selection",
    "criteria_from_query",
    "parse_count",
    "parse_criteria",
    "parse_fields",
    "parse_sort",
    "project",
    "select",
]

_T = TypeVar("_T")

#: Entries of ``sort``, and of ``fields``.
MAX_SORT = 32
MAX_FIELDS = 200
#: What ``limit`` and ``skip`` may be at the most.
MAX_COUNT = 2**63 - 1
_DIRECTIONS: Mapping[Any, bool] = {"ascending": True, "descending": False, 1: True, -1: False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a search selects, in which order, and how much of it, as it is understood."""

    where: Filter = EVERYTHING
    #: (field, True for ascending).
    sort: Sequence[tuple[str, bool]] = ()
    limit: int | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria(Selection):
    """A selection as clients write it, and the fields that they want.

    Raises:
        InvalidValue: the filters are malformed, or too large.
        UnsupportedValue: the filters hold an operator that is not known.
    """

    #: The filter as sent: field names and operators to values.
    filters: Mapping[str, Any] = field(default_factory=dict)
    #: The filter as understood.
    where: Filter = field(init=False, repr=False, compare=False)
    #: The fields to return; None for all.
    fields: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Understand the filters, or refuse them."""
        object.__setattr__(self, "where", parse_filter(self.filters))


def parse_criteria(document: Any) -> Criteria:
    """Return the criteria that the JSON value of ``criteria`` describes.

    Raises:
        WrongJsonType: it is no JSON object.
        InvalidValue: a part of it is malformed, or too large.
        UnsupportedValue: it holds a property or an operator that is not known.
    """
    if not isinstance(document, Mapping):
        raise WrongJsonType("criteria must be a JSON object")
    given = {key: value for key, value in document.items() if value is not None}
    known = {"filters", "sort", "limit", "skip", "fields"}
    if unknown := sorted(str(key) for key in document.keys() - known):
        raise UnsupportedValue(*unknown, why="criteria take filters, sort, limit, skip and fields")
    return Criteria(
        filters=given.get("filters", {}),
        sort=parse_sort(given.get("sort", [])),
        limit=parse_count("limit", given["limit"], least=1) if "limit" in given else None,
        skip=parse_count("skip", given.get("skip", 0), least=0),
        # as in Pulp 2, naming no field is asking for all
        fields=parse_fields(given.get("fields", [])) or None,
    )


def criteria_from_query(pairs: Iterable[tuple[str, str]]) -> Criteria:
    """Return the criteria of a search by GET: ``?field=id&limit=20&id=zoo``.

    ``field`` may be repeated; ``filters`` and ``sort`` hold JSON; any other name is a field that
    must have the value (one of the values if it is repeated).

    Raises:
        NotJson: ``filters`` or ``sort`` is not JSON.
        InvalidValue, UnsupportedValue: as for ``parse_criteria``.
    """
    document: dict[str, Any] = {}
    fields: list[str] = []
    wanted: dict[str, list[str]] = {}
    for name, value in pairs:
        match name:
            case "field":
                fields.append(value)
            case "limit" | "skip":
                document[name] = value
            case "filters" | "sort":
                document[name] = _from_json(name, value)
            case _:
                wanted.setdefault(parse_field(name, "query"), []).append(value)
    conditions = [
        {name: values[0] if len(values) == 1 else {"$in": values}}
        for name, values in wanted.items()
    ]
    # null is no filter; what else is no object is refused
    if (filters := document.get("filters")) not in ({}, None):
        conditions.append(filters)
    filters = conditions[0] if len(conditions) == 1 else {"$and": conditions}
    return parse_criteria(document | {"fields": fields, "filters": filters if conditions else {}})


def select(
    items: Iterable[_T], criteria: Selection, document_of: Callable[[_T], Mapping[str, Any]]
) -> list[_T]:
    """Return the items that the criteria select, sorted, skipped and limited as they say.

    Args:
        items: in the order in which those come that the criteria do not tell apart.
        criteria: whose fields are of no matter here; see ``project``.
        document_of: returns the document of an item; see ``matches`` for what may stand in it.
    """
    found = [
        (item, document) for item in items if matches(criteria.where, document := document_of(item))
    ]
    for name, ascending in reversed(criteria.sort):
        found.sort(
            key=lambda pair, name=name, ascending=ascending: sort_key(  # type: ignore[misc]
                sort_value(pair[1], name, ascending=ascending)
            ),
            reverse=not ascending,
        )
    end = None if criteria.limit is None else criteria.skip + criteria.limit
    return [item for item, _ in found[criteria.skip : end]]


def project(document: Mapping[str, Any], fields: Sequence[str] | None) -> dict[str, Any]:
    """Return what the document has of the fields (dotted names), and nothing else; None: all."""
    if fields is None:
        return dict(document)
    below: dict[str, list[str]] = {}
    for name in fields:
        first, _, rest = name.partition(".")
        below.setdefault(first, []).append(rest)
    return {
        name: document[name] if "" in rests else _project_value(document[name], rests)
        for name, rests in below.items()
        if name in document
    }


def _project_value(value: Any, fields: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return project(value, fields)
    if isinstance(value, list | tuple):
        return [_project_value(item, fields) for item in value if isinstance(item, Mapping)]
    return value


def parse_sort(value: Any) -> tuple[tuple[str, bool], ...]:
    """Return the pairs of a field and True for ascending that a list describes.

    Raises:
        InvalidValue: it is malformed, or too long.
    """
    if not isinstance(value, list | tuple) or len(value) > MAX_SORT:
        raise InvalidValue("sort", why=f"it must be a list of at most {MAX_SORT} pairs")
    parsed = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004 - a pair
            raise InvalidValue("sort", why='write each as ["name", "ascending"]')
        name, direction = pair
        if not isinstance(direction, str | int) or direction not in _DIRECTIONS:
            raise InvalidValue("sort", why="the direction must be ascending or descending")
        parsed.append((parse_field(name, "sort"), _DIRECTIONS[direction]))
    return tuple(parsed)


def parse_fields(value: Any) -> tuple[str, ...]:
    """Return a list of dotted names, or raise InvalidValue."""
    if not isinstance(value, list | tuple) or len(value) > MAX_FIELDS:
        raise InvalidValue("fields", why=f"it must be a list of at most {MAX_FIELDS} names")
    return tuple(parse_field(name, "fields") for name in value)


def parse_count(name: str, value: Any, *, least: int) -> int:
    """Return a number, which may stand in a text, as Pulp 2 had it; or raise InvalidValue."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:  # noqa: PLR2004 - digits of 64 bits
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_COUNT:
        raise InvalidValue(name, why=f"it must be a whole number from {least} to {MAX_COUNT}")
    return value


def _from_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"{name} in the query must be JSON") from error
