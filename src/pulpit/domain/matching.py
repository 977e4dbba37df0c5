"""Whether a document matches a filter, and how documents sort: as Pulp 2's database had it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import ge, gt, le, lt
from typing import Any

import msgspec

from pulpit.domain.clock import parse_time, render_time
from pulpit.domain.filters import (
    All,
    AnyOf,
    Compare,
    Comparison,
    Exists,
    Filter,
    In,
    Not,
    Regex,
)

__all__ = ["matches", "sort_value"]


class _Absent(Enum):
    """What stands where a document has nothing."""

    ABSENT = "absent"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT = _Absent.ABSENT
_ORDERS: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.LESS: lt,
    Comparison.LESS_OR_EQUAL: le,
    Comparison.GREATER: gt,
    Comparison.GREATER_OR_EQUAL: ge,
}


def matches(condition: Filter, document: Mapping[str, Any]) -> bool:
    """Return whether the document matches.

    Args:
        condition: the filter.
        document: JSON, in which datetimes may stand; they compare by whole seconds, with text too.
    """
    match condition:
        case All(terms=terms):
            return all(matches(term, document) for term in terms)
        case AnyOf(terms=terms):
            return any(matches(term, document) for term in terms)
        case Not(term=term):
            return not matches(term, document)
        case Exists(field=field):
            return any(value is not _ABSENT for value in _found(document, field))
        case Regex(field=field, pattern=pattern):
            return any(
                isinstance(value, str) and pattern.search(value)
                for value in _with_members(document, field)
            )
        case Compare(field=field, comparison=comparison, value=operand):
            return any(
                _compares(value, comparison, operand) for value in _with_members(document, field)
            )
        case In(field=field):
            return any(_is_in(value, condition) for value in _with_members(document, field))


def _found(document: Mapping[str, Any], field: str) -> Iterator[Any]:
    """Yield what stands at a dotted name; several values where lists are on the way."""
    parts = field.split(".")
    top = document.get(parts[0])
    yield from _below(_ABSENT if top is None else top, parts[1:])


def _below(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    if not parts:
        yield value
    elif isinstance(value, Mapping):
        yield from _below(value.get(parts[0], _ABSENT), parts[1:])
    elif isinstance(value, list | tuple):
        if parts[0].isascii() and parts[0].isdigit() and int(parts[0]) < len(value):
            yield from _below(value[int(parts[0])], parts[1:])
        for item in value:
            if isinstance(item, Mapping):
                yield from _below(item, parts)
    else:
        yield _ABSENT


def _with_members(document: Mapping[str, Any], field: str) -> Iterator[Any]:
    """Yield what stands at a dotted name, and the members of what is a list."""
    for value in _found(document, field):
        yield _plain(value)
        if isinstance(value, list | tuple):
            yield from map(_plain, value)


def _plain(value: Any) -> Any:
    """Return an object id as its text, a state as its text, and anything else as it is."""
    if isinstance(value, Mapping) and value.keys() == {"$oid"}:
        return value["$oid"]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _aligned(value: Any, operand: Any) -> tuple[Any, Any] | None:
    """Return both as what can be ordered, or None for two of different kinds."""
    if isinstance(value, datetime):
        value = value.replace(microsecond=0)
        if isinstance(operand, str):
            try:
                operand = parse_time(operand).replace(microsecond=0)
            except (ValueError, OverflowError):
                return None
        return (value, operand) if isinstance(operand, datetime) else None
    if isinstance(value, str):
        text = render_time(operand) if isinstance(operand, datetime) else operand
        return (value, text) if isinstance(text, str) else None
    return (value, operand) if _is_number(value) and _is_number(operand) else None


def _compares(value: Any, comparison: Comparison, operand: Any) -> bool:
    if comparison is Comparison.EQUAL:
        return _equal(value, operand)
    pair = _aligned(value, operand)
    return pair is not None and _ORDERS[comparison](*pair)


def _is_in(value: Any, listed: In) -> bool:
    """Return whether a value of a document is one of the listed ones."""
    if isinstance(value, str) and value in listed.texts:
        return True
    return any(
        _equal(value, operand)
        for operand in listed.values
        if not (isinstance(value, str) and isinstance(operand, str))
    )


def _equal(value: Any, operand: Any) -> bool:
    """Return whether a value of a document is the operand; absent is equal to null."""
    if operand is None:
        return value is None or value is _ABSENT
    if isinstance(operand, bool):
        return value is operand
    if isinstance(operand, Mapping):
        return (
            isinstance(value, Mapping)
            and value.keys() == operand.keys()
            and all(_equal(_plain(value[key]), operand[key]) for key in operand)
        )
    if isinstance(operand, list):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(operand)
            and all(map(_equal, map(_plain, value), operand))
        )
    pair = _aligned(value, operand)
    return pair is not None and bool(pair[0] == pair[1])


def sort_value(
    document: Mapping[str, Any], field: str, *, ascending: bool
) -> float | str | bytes | None:
    """Return what a document sorts by: absent and null, then numbers, texts, objects, truth values.

    Of a list its least member counts (the greatest one when descending). The kinds are those that
    SQLite can return from a function and sorts in the same order.
    """
    values = [
        _sortable(value)
        for value in _with_members(document, field)
        if not isinstance(value, list | tuple)
    ]
    if not values:
        return None
    return (min if ascending else max)(values, key=sort_key)


def sort_key(value: float | str | bytes | None) -> tuple[int, Any]:
    """Return a key by which values of different kinds can be ordered."""
    match value:
        case None:
            return (0, 0)
        case str():
            return (2, value)
        case bytes():
            return (3, value)
    return (1, value)


def _sortable(value: Any) -> float | str | bytes | None:
    match value:
        case None | _Absent.ABSENT:
            return None
        case bool():
            return b"\xff\x01" if value else b"\xff\x00"
        case int():
            # SQLite has no larger integers
            return value if -(2**63) <= value < 2**63 else float(value)
        case float() | str():
            return value
        case datetime():
            return (value - _EPOCH) // timedelta(microseconds=1)
    return msgspec.json.encode(value, order="deterministic")
