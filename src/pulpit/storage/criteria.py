"""Criteria as SQL: what a search selects, sorts, skips and limits.

Columns are compared by the database; what lies within JSON is judged by two functions that each
connection gets from here, so that it means the same as in ``pulpit.domain.matching``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    String,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.sql.elements import Grouping

from pulpit.domain.clock import parse_time, render_time
from pulpit.domain.criteria import Criteria
from pulpit.domain.filters import (
    All,
    AnyOf,
    Compare,
    Comparison,
    Exists,
    Filter,
    In,
    Leaf,
    Not,
    Regex,
    filter_document,
    parse_filter,
)
from pulpit.domain.matching import matches, sort_value
from pulpit.domain.regex import Pattern

__all__ = [
    "ColumnKind",
    "FieldColumn",
    "Members",
    "apply_criteria",
    "compile_filter",
    "register_functions",
]

_SECOND = timedelta(seconds=1)
#: The latest second that has one after it.
_LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC) - _SECOND
_ORDERS: Mapping[Comparison, Callable[[Any, Any], ColumnElement[bool]]] = {
    Comparison.LESS: lt,
    Comparison.LESS_OR_EQUAL: le,
    Comparison.GREATER: gt,
    Comparison.GREATER_OR_EQUAL: ge,
}
#: A database's parser takes expressions of limited depth: long ones are cut into groups.
_GROUP = 50


class ColumnKind(StrEnum):
    """What a column holds, which decides what it can be compared with."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    #: Bound and returned as aware datetimes.
    TIME = "time"
    #: Any JSON as text; dotted names reach into it.
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """A side table with one row for each member, all of them text, of a list."""

    #: The column that holds the member.
    column: ColumnElement[Any]
    #: True for the rows that belong to the searched row.
    belongs: ColumnElement[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldColumn:
    """Where a field of the API's documents stands; a null column is an absent field."""

    column: ColumnElement[Any]
    kind: ColumnKind = ColumnKind.TEXT
    #: Of a JSON column with a list of texts: where its members are indexed.
    members: Members | None = None


def apply_criteria(
    statement: Select[Any],
    criteria: Criteria,
    fields: Mapping[str, FieldColumn],
    *,
    default_order: ColumnElement[Any],
) -> Select[Any]:
    """Return the statement, narrowed to what the criteria select.

    Args:
        statement: selects from the table that the fields stand in.
        criteria: what to select; a field that *fields* does not have is absent from all documents.
        fields: name at the top of the API's documents to column.
        default_order: unique; decides where the criteria do not.
    """
    orders = [
        _order((name, ascending), fields)
        for name, ascending in criteria.sort
        if _is_sortable(name, fields)
    ]
    narrowed = statement.where(compile_filter(criteria.where, fields))
    narrowed = narrowed.order_by(*orders, default_order)
    if criteria.limit is not None:
        narrowed = narrowed.limit(criteria.limit)
    return narrowed.offset(criteria.skip) if criteria.skip else narrowed


def compile_filter(condition: Filter, fields: Mapping[str, FieldColumn]) -> ColumnElement[bool]:
    """Return an expression that is true or false, never null, as ``matches`` would say."""
    match condition:
        case All(terms=terms):
            return _joined(and_, true(), [compile_filter(term, fields) for term in terms])
        case AnyOf(terms=terms):
            return _joined(or_, false(), [compile_filter(term, fields) for term in terms])
        case Not(term=term):
            return not_(compile_filter(term, fields))
        case _:
            return _leaf(condition, fields)


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a SQLite connection the functions that compiled criteria call."""
    connection.create_function("pulpit_matches", 3, _matches_json, deterministic=True)
    connection.create_function("pulpit_regex", 3, _matches_regex, deterministic=True)
    connection.create_function("pulpit_sort", 3, _sort_json, deterministic=True)


def _joined(
    join: Callable[..., ColumnElement[bool]],
    neutral: ColumnElement[bool],
    terms: Sequence[ColumnElement[bool]],
) -> ColumnElement[bool]:
    """Return the terms as one expression whose depth grows slowly with their number."""
    while len(terms) > _GROUP:
        terms = [
            Grouping(join(*terms[start : start + _GROUP])) for start in range(0, len(terms), _GROUP)
        ]
    return join(neutral, *terms)


def _leaf(leaf: Leaf, fields: Mapping[str, FieldColumn]) -> ColumnElement[bool]:
    """Return the expression for a condition on one field."""
    top, _, below = leaf.field.partition(".")
    field = fields.get(top)
    if field is None or (below and field.kind is not ColumnKind.JSON):
        return true() if matches(leaf, {}) else false()
    if field.kind is ColumnKind.JSON:
        return _json_leaf(leaf, top, field)
    column = field.column
    match leaf:
        case Exists():
            return column.is_not(None)
        case Regex(pattern=pattern):
            return _regex(column, pattern) if field.kind is ColumnKind.TEXT else false()
        case Compare(comparison=comparison, value=value):
            return _compare(field, comparison, value)
        case In(values=values):
            return _in(field, values)


def _json_leaf(leaf: Leaf, top: str, field: FieldColumn) -> ColumnElement[bool]:
    """Return the expression for a condition on JSON, or on the members of a list."""
    texts: Sequence[Any] = ()
    match leaf:
        case Compare(comparison=Comparison.EQUAL, value=value):
            texts = (value,)
        case In(values=values):
            texts = values
    if field.members and leaf.field == top and texts and _are_texts(texts):
        wanted = field.members.column.in_(texts)
        return exists().where(field.members.belongs, wanted)
    document = literal(msgspec.json.encode(filter_document(leaf)).decode(), String)
    name = literal(top, String)
    return func.pulpit_matches(field.column, name, document, type_=Boolean) == true()


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _regex(column: ColumnElement[Any], pattern: Pattern) -> ColumnElement[bool]:
    """Return the expression for a pattern: a range of an index where it can be one."""
    terms: list[ColumnElement[bool]] = [column.is_not(None)]
    prefix = pattern.prefix
    after = prefix and _successor(prefix)
    if after:
        terms += [column >= prefix, column < after]
    if not (after and pattern.is_prefix):
        source, options = literal(pattern.source, String), literal(pattern.options, String)
        terms.append(func.pulpit_regex(column, source, options, type_=Boolean) == true())
    return and_(*terms)


def _successor(prefix: str) -> str:
    """Return the least text after all those that start with the prefix; empty if unsure."""
    last = ord(prefix[-1]) + 1
    return "" if 0xD800 <= last < 0xE000 or last > 0x10FFFF else prefix[:-1] + chr(last)  # noqa: PLR2004 - code points


def _fit(field: FieldColumn, value: Any) -> Any:
    """Return the value as the column can be compared with it, or None if it never is equal."""
    match field.kind, value:
        case ColumnKind.TIME, str():
            try:
                return parse_time(value).replace(microsecond=0)
            except (ValueError, OverflowError):
                return None
        case ColumnKind.TEXT, datetime():
            return render_time(value)
        case (
            (ColumnKind.TIME, datetime()) | (ColumnKind.TEXT, str()) | (ColumnKind.BOOLEAN, bool())
        ):
            return value
        case ColumnKind.NUMBER, int() | float() if not isinstance(value, bool):
            return value
    return None


def _compare(field: FieldColumn, comparison: Comparison, value: Any) -> ColumnElement[bool]:
    column = field.column
    if value is None:
        return column.is_(None)
    fit = _fit(field, value)
    if fit is None:
        return false()
    if field.kind is ColumnKind.TIME:
        return and_(column.is_not(None), _compare_time(column, comparison, fit))
    if comparison is Comparison.EQUAL:
        return and_(column.is_not(None), column == fit)
    return and_(column.is_not(None), _ORDERS[comparison](column, fit))


def _compare_time(
    column: ColumnElement[Any], comparison: Comparison, second: datetime
) -> ColumnElement[bool]:
    """Compare by whole seconds, which is all that clients are told of a time."""
    second = min(second, _LATEST)
    following = second + _SECOND
    match comparison:
        case Comparison.LESS:
            return column < second
        case Comparison.LESS_OR_EQUAL:
            return column < following
        case Comparison.GREATER:
            return column >= following
        case Comparison.GREATER_OR_EQUAL:
            return column >= second
    return and_(column >= second, column < following)


def _in(field: FieldColumn, values: Sequence[Any]) -> ColumnElement[bool]:
    absent = field.column.is_(None) if None in values else false()
    if field.kind is ColumnKind.TIME:
        terms = [_compare(field, Comparison.EQUAL, value) for value in values if value is not None]
        return _joined(or_, absent, terms)
    fits = [fit for value in values if (fit := _fit(field, value)) is not None]
    return or_(absent, and_(field.column.is_not(None), field.column.in_(fits)))


def _is_sortable(name: str, fields: Mapping[str, FieldColumn]) -> bool:
    """Return whether rows may differ in what stands at the dotted name."""
    top, _, below = name.partition(".")
    return top in fields and (not below or fields[top].kind is ColumnKind.JSON)


def _order(by: tuple[str, bool], fields: Mapping[str, FieldColumn]) -> ColumnElement[Any]:
    """Return the expression for one entry of ``sort``; what is absent comes before all else."""
    name, ascending = by
    field = fields[name.partition(".")[0]]
    key = field.column
    if field.kind is ColumnKind.JSON:
        key = func.pulpit_sort(key, literal(name, String), literal(ascending, Boolean))
    return key.asc().nulls_first() if ascending else key.desc().nulls_last()


@lru_cache(maxsize=64)
def _condition(document: str) -> Filter:
    """Parse the filter of a statement, which comes again for each row."""
    return parse_filter(msgspec.json.decode(document))


@lru_cache(maxsize=64)
def _pattern(source: str, options: str) -> Pattern:
    """Compile the pattern of a statement, which comes again for each row."""
    return Pattern(source, options)


def _matches_json(text: str | None, top: str, condition: str) -> bool:
    """Judge one JSON column by a filter."""
    return matches(_condition(condition), _document(text, top))


def _matches_regex(text: str | None, source: str, options: str) -> bool:
    """Judge one text column by a regular expression."""
    return text is not None and _pattern(source, options).search(text)


def _sort_json(text: str | None, name: str, ascending: int) -> float | str | bytes | None:
    """Return what a row sorts by."""
    document = _document(text, name.partition(".")[0])
    return sort_value(document, name, ascending=bool(ascending))


def _document(text: str | None, top: str) -> dict[str, Any]:
    """Return a document of one field, which holds the JSON text."""
    return {} if text is None else {top: msgspec.json.decode(text)}
