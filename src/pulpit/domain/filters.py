"""Filters of searches: the operators of Pulp 2's database, parsed from JSON into a small tree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pulpit.domain.clock import parse_time, render_time
from pulpit.domain.regex import Pattern, RegexError
from pulpit.errors import InvalidValue, UnsupportedValue

__all__ = [
    "EVERYTHING",
    "All",
    "AnyOf",
    "Compare",
    "Comparison",
    "Exists",
    "Filter",
    "In",
    "Leaf",
    "Not",
    "Regex",
    "fields_of",
    "filter_document",
    "parse_field",
    "parse_filter",
    "renamed",
]

#: Clauses within clauses, and values within values; SQLite's parser would take a few more.
MAX_DEPTH = 10
#: Clauses of one filter.
MAX_TERMS = 1_000
#: Values of all ``$in`` and ``$nin`` of one filter together.
MAX_LISTED = 10_000
#: Characters of a regular expression.
MAX_REGEX = 1_000
#: Characters of the dotted name of a field.
MAX_FIELD = 500
_INTEGERS = range(-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Comparison(StrEnum):
    """How a field is compared with a value."""

    EQUAL = "$eq"
    LESS = "$lt"
    LESS_OR_EQUAL = "$lte"
    GREATER = "$gt"
    GREATER_OR_EQUAL = "$gte"


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """True where each of the terms is; of none: everywhere."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """True where at least one of the terms is."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """True where the term is not."""

    term: Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """True where the field, or a member of the list in it, compares so with the value."""

    field: str
    comparison: Comparison
    #: JSON, or an aware datetime.
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class In:
    """True where the field equals one of the values."""

    field: str
    values: tuple[Any, ...]
    #: Those of the values that are text, to be looked up at once.
    texts: frozenset[str] = dataclass_field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Tell text from other values."""
        texts = frozenset(value for value in self.values if isinstance(value, str))
        object.__setattr__(self, "texts", texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regex:
    """True where the pattern is found in the text of the field."""

    field: str
    pattern: Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Exists:
    """True where the field is there; at the top of a document null counts as absent."""

    field: str


Leaf = Compare | In | Regex | Exists
Filter = All | AnyOf | Not | Leaf

#: The filter that keeps nothing out.
EVERYTHING = All(terms=())


def parse_filter(document: Any) -> Filter:
    """Return the filter that a JSON object describes.

    Raises:
        InvalidValue: it is malformed, or larger than ``MAX_DEPTH``, ``MAX_TERMS`` and so on allow.
        UnsupportedValue: it holds an operator that is not known.
    """
    return _Parser().clauses(document, "filters", MAX_DEPTH)


def parse_field(name: Any, where: str) -> str:
    """Return the dotted name of a field.

    Raises:
        InvalidValue: it is none; *where* says which property held it.
    """
    if (
        not isinstance(name, str)
        or len(name) > MAX_FIELD
        or name.count(".") >= MAX_DEPTH
        or not all(name.split("."))
        or name.startswith("$")
    ):
        raise InvalidValue(where, why=f"{_short(name)} is no name of a field")
    return _text(name, where)


def fields_of(condition: Filter) -> Iterator[str]:
    """Yield the dotted names that the filter looks at, again and again."""
    match condition:
        case All(terms=terms) | AnyOf(terms=terms):
            for term in terms:
                yield from fields_of(term)
        case Not(term=term):
            yield from fields_of(term)
        case _:
            yield condition.field


def renamed(condition: Filter, prefix: str) -> Filter:
    """Return the filter with the prefix before each name."""
    match condition:
        case All(terms=terms) | AnyOf(terms=terms):
            return replace(condition, terms=tuple(renamed(term, prefix) for term in terms))
        case Not(term=term):
            return Not(term=renamed(term, prefix))
    return replace(condition, field=prefix + condition.field)


def filter_document(leaf: Leaf) -> dict[str, Any]:
    """Return the JSON object that ``parse_filter`` makes the leaf of."""
    match leaf:
        case Compare(comparison=comparison, value=value):
            condition: dict[str, Any] = {comparison.value: _to_json(value)}
        case In(values=values):
            condition = {"$in": [_to_json(value) for value in values]}
        case Regex(pattern=pattern):
            condition = {"$regex": pattern.source, "$options": pattern.options}
        case Exists():
            condition = {"$exists": True}
    return {leaf.field: condition}


class _Parser:
    """Parses one filter, counting what it holds."""

    def __init__(self) -> None:
        self._terms = 0
        self._listed = 0

    def clauses(self, document: Any, where: str, depth: int) -> Filter:
        """Parse an object of fields and logical operators, all of which must hold."""
        if not isinstance(document, Mapping):
            raise InvalidValue(where, why="a filter must be a JSON object")
        if depth == 0:
            raise InvalidValue(where, why=f"filters nest at most {MAX_DEPTH} deep")
        return _all([self._clause(key, value, depth) for key, value in document.items()])

    def _count(self, where: str) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise InvalidValue(where, why=f"a filter holds at most {MAX_TERMS} clauses")

    def _clause(self, key: str, value: Any, depth: int) -> Filter:
        self._count(key)
        match key:
            case "$and":
                return _all(self._list(key, value, depth))
            case "$or":
                return AnyOf(terms=tuple(self._list(key, value, depth)))
            case "$nor":
                return Not(term=AnyOf(terms=tuple(self._list(key, value, depth))))
            case "$not":
                return Not(term=self.clauses(value, key, depth - 1))
        if key.startswith("$"):
            raise UnsupportedValue(key, why="the operator is not known")
        return self._condition(parse_field(key, "filters"), value, depth)

    def _list(self, key: str, value: Any, depth: int) -> list[Filter]:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise InvalidValue(key, why="it must be a list of filters that is not empty")
        return [self.clauses(item, key, depth - 1) for item in value]

    def _condition(self, field: str, value: Any, depth: int) -> Filter:
        """Parse what a field must be: a value, or an object of operators."""
        if not _is_operators(value):
            return Compare(field=field, comparison=Comparison.EQUAL, value=_value(field, value))
        if depth == 0:
            raise InvalidValue(field, why=f"filters nest at most {MAX_DEPTH} deep")
        if "$options" in value and "$regex" not in value:
            raise InvalidValue(field, why="$options goes with $regex")
        return _all(
            [
                self._operator(field, operator, operand, value, depth)
                for operator, operand in value.items()
                if operator != "$options"
            ]
        )

    def _operator(
        self, field: str, operator: str, operand: Any, beside: Mapping[str, Any], depth: int
    ) -> Filter:
        self._count(field)
        match operator:
            case "$eq":
                return self._equal(field, operand)
            case "$ne":
                return Not(term=self._equal(field, operand))
            case "$in":
                return In(field=field, values=self._values(field, operand))
            case "$nin":
                return Not(term=In(field=field, values=self._values(field, operand)))
            case "$lt" | "$lte" | "$gt" | "$gte":
                return Compare(
                    field=field, comparison=Comparison(operator), value=_ordered(field, operand)
                )
            case "$regex":
                return Regex(field=field, pattern=_pattern(field, operand, beside.get("$options")))
            case "$exists":
                there = Exists(field=field)
                return there if operand else Not(term=there)
            case "$not":
                if not _is_operators(operand):
                    raise InvalidValue(field, why="$not takes an object of operators")
                return Not(term=self._condition(field, operand, depth - 1))
        raise UnsupportedValue(operator, why=f"the operator is not known; it stands at {field}")

    def _equal(self, field: str, operand: Any) -> Compare:
        return Compare(field=field, comparison=Comparison.EQUAL, value=_value(field, operand))

    def _values(self, field: str, operand: Any) -> tuple[Any, ...]:
        if not isinstance(operand, Sequence) or isinstance(operand, str):
            raise InvalidValue(field, why="$in and $nin take a list")
        self._listed += len(operand)
        if self._listed > MAX_LISTED:
            raise InvalidValue(field, why=f"$in lists hold at most {MAX_LISTED} values together")
        return tuple(_value(field, item) for item in operand)


def _all(terms: Sequence[Filter]) -> Filter:
    """Return what is true where all terms are."""
    return terms[0] if len(terms) == 1 else All(terms=tuple(terms))


def _is_operators(value: Any) -> bool:
    """Return whether it is an object of operators, and not a value to compare with."""
    if not isinstance(value, Mapping) or value.keys() in ({"$date"}, {"$oid"}):
        return False
    return any(isinstance(key, str) and key.startswith("$") for key in value)


def _short(value: Any) -> str:
    """Return the start of a value, fit for a message."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - a line


def _text(text: str, where: str) -> str:
    """Return text that every database can hold."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidValue(where, why="text must hold neither NUL nor half a surrogate pair")
    return text


def _value(field: str, value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a value to compare with, its ``$date`` and ``$oid`` resolved."""
    if depth == 0:
        raise InvalidValue(field, why=f"values nest at most {MAX_DEPTH} deep")
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, field)
        case int() if value in _INTEGERS:
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping():
            if value.keys() == {"$date"}:
                return _date(field, value["$date"])
            if value.keys() == {"$oid"} and isinstance(value["$oid"], str):
                return _text(value["$oid"], field)
            return {
                parse_field(key, field): _value(field, item, depth - 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_value(field, item, depth - 1) for item in value]
    raise InvalidValue(field, why=f"{_short(value)} can't be compared with")


def _date(field: str, value: Any) -> datetime:
    """Return the time that a ``$date`` holds: ISO 8601, or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            moment = parse_time(value)
        else:
            moment = _EPOCH + timedelta(milliseconds=_ordered(field, value))
    except (ValueError, OverflowError, TypeError) as error:
        raise InvalidValue(field, why=f"{_short(value)} is no $date") from error
    return moment.replace(microsecond=0)


def _ordered(field: str, operand: Any) -> Any:
    """Return a value that others can be less or greater than."""
    value = _value(field, operand)
    if isinstance(value, bool) or not isinstance(value, str | int | float | datetime):
        raise InvalidValue(field, why="less and greater take a text, a number or a $date")
    return value


def _pattern(field: str, source: Any, options: Any) -> Pattern:
    """Return a compiled regular expression."""
    if not isinstance(source, str) or len(source) > MAX_REGEX:
        raise InvalidValue(field, why=f"$regex takes a text of at most {MAX_REGEX} characters")
    if not isinstance(options, str | None):
        raise InvalidValue(field, why="$options takes a text")
    try:
        return Pattern(_text(source, field), options or "")
    except RegexError as error:
        raise InvalidValue(field, why=f"$regex {_short(source)}: {error}") from error


def _to_json(value: Any) -> Any:
    """Return a value as it was sent."""
    match value:
        case datetime():
            return {"$date": render_time(value)}
        case dict():
            return {key: _to_json(item) for key, item in value.items()}
        case list():
            return [_to_json(item) for item in value]
    return value
