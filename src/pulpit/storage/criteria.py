"""Criteria as SQL: what a search selects, sorts, skips and limits.

Columns are compared by the database; what lies within JSON is judged on SQLite by the functions
of ``pulpit.storage.functions``, elsewhere by ``pulpit.storage.searches``, so that it means the
same as in ``pulpit.domain.matching``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import ge, gt, le, lt
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
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
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from pulpit.domain.clock import parse_time, render_time
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
)
from pulpit.domain.matching import matches
from pulpit.domain.regex import Pattern
from pulpit.storage.functions import register_functions

__all__ = [
    "ColumnKind",
    "FieldColumn",
    "Members",
    "Variant",
    "by_code_point",
    "compile_filter",
    "in_order",
    "is_sortable",
    "prefix_range",
    "prefix_terms",
    "register_functions",
    "sort_column",
    "texts_of",
    "uses_members",
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
#: Filters with more conditions are compiled for a database whose parser takes limited depth.
_PLAIN = 100
#: How many terms stand side by side then.
_GROUP = 16


class ColumnKind(StrEnum):
    """What a column holds, which decides what it can be compared with."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    #: ``pulpit.storage.tables.UtcTime``: microseconds since 1970.
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
    #: The column that holds the searched row's key; an index of the table goes from member to it.
    key: ColumnElement[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldColumn:
    """Where a field of the API's documents stands; a null column is an absent field."""

    column: ColumnElement[Any]
    kind: ColumnKind = ColumnKind.TEXT
    #: Of a JSON column with a list of texts: where its members are indexed.
    members: Members | None = None
    #: The key of the rows, if an index of the table goes from the column to it.
    key: ColumnElement[Any] | None = None
    #: What is true of all rows in that index.
    index_where: ColumnElement[bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Rows whose documents are alike: a name means the same column in all of them."""

    #: True for these rows, and for those of no other variant.
    belongs: ColumnElement[bool]
    #: Name at the top of the API's documents to column.
    fields: Mapping[str, FieldColumn]
    #: Selects the keys of all these rows, where an index knows them.
    every: Select[Any] | None = None


def compile_filter(condition: Filter, fields: Mapping[str, FieldColumn]) -> ColumnElement[bool]:
    """Return an expression that is true or false, never null, as ``matches`` would say."""
    return _compile(condition, fields, deep=_size(condition) > _PLAIN)


def _size(condition: Filter) -> int:
    """Return how many conditions the filter holds."""
    match condition:
        case All(terms=terms) | AnyOf(terms=terms):
            return sum(map(_size, terms))
        case Not(term=term):
            return _size(term)
    return 1


def _compile(
    condition: Filter, fields: Mapping[str, FieldColumn], *, deep: bool
) -> ColumnElement[bool]:
    """Compile a part of a filter; *deep* when the whole of it is large."""
    match condition:
        case All(terms=terms):
            compiled = [_compile(term, fields, deep=deep) for term in terms]
            return _joined(and_, true(), compiled, deep=deep)
        case AnyOf(terms=terms):
            compiled = [_compile(term, fields, deep=deep) for term in terms]
            return _joined(or_, false(), compiled, deep=deep)
        case Not(term=term):
            return not_(_compile(term, fields, deep=deep))
        case _:
            return _leaf(condition, fields)


def _joined(
    join: Callable[..., ColumnElement[bool]],
    neutral: ColumnElement[bool],
    terms: Sequence[ColumnElement[bool]],
    *,
    deep: bool,
) -> ColumnElement[bool]:
    """Join terms by AND or OR; if *deep*, as a tree whose depth grows slowly with their number."""
    if not deep:
        return join(neutral, *terms)
    while len(terms) > _GROUP:
        groups = [terms[start : start + _GROUP] for start in range(0, len(terms), _GROUP)]
        terms = [_Apart(join(neutral, *group)) for group in groups]
    return _Apart(join(neutral, *terms))


class _Apart(FunctionElement[bool]):
    """A term in parentheses, which isn't merged with those around it."""

    type = Boolean()
    inherit_cache = True


@compiles(_Apart)
def _compile_apart(element: _Apart, compiler: SQLCompiler, **options: Any) -> str:
    """Return the term in parentheses."""
    return f"({compiler.process(element.clauses, **options)})"


class _ByCodePoint(FunctionElement[Any]):
    """A text that is ordered by its characters' numbers, whatever the database's collation."""

    inherit_cache = True


@compiles(_ByCodePoint)
def _compile_by_code_point(element: _ByCodePoint, compiler: SQLCompiler, **options: Any) -> str:
    """Return the text as it is: SQLite orders so."""
    return compiler.process(element.clauses, **options)


@compiles(_ByCodePoint, "postgresql")
def _compile_by_c(element: _ByCodePoint, compiler: SQLCompiler, **options: Any) -> str:
    """Return the text with the collation that compares UTF-8 byte by byte."""
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'


def by_code_point(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what orders as the column does in ``pulpit.domain.matching``."""
    if not isinstance(column.type, String):
        return column
    ordered = _ByCodePoint(column)
    ordered.type = column.type
    return ordered


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
    if field.members and uses_members(leaf, field):
        wanted = field.members.column.in_(texts_of(leaf))
        return exists().where(field.members.belongs, wanted)
    document = literal(msgspec.json.encode(filter_document(leaf)).decode(), String)
    name = literal(top, String)
    return func.pulpit_matches(field.column, name, document, type_=Boolean) == true()


def uses_members(leaf: Leaf, field: FieldColumn) -> bool:
    """Return whether the side table of a list says all about a condition on it."""
    texts = texts_of(leaf)
    return (
        field.members is not None
        and "." not in leaf.field
        and bool(texts)
        and all(isinstance(text, str) for text in texts)
    )


def texts_of(leaf: Leaf) -> Sequence[Any]:
    """Return the values, one of which a field must be equal to."""
    match leaf:
        case Compare(comparison=Comparison.EQUAL, value=value):
            return (value,)
        case In(values=values):
            return values
    return ()


def _regex(column: ColumnElement[Any], pattern: Pattern) -> ColumnElement[bool]:
    """Return the expression for a pattern: a range of an index where it can be one."""
    terms: list[ColumnElement[bool]] = [column.is_not(None)]
    bounds = prefix_range(pattern)
    if bounds:
        ordered = by_code_point(column)
        terms += [ordered >= bounds[0], ordered < bounds[1]]
    if not (bounds and pattern.is_prefix):
        source, options = literal(pattern.source, String), literal(pattern.options, String)
        terms.append(func.pulpit_regex(column, source, options, type_=Boolean) == true())
    return and_(*terms)


def prefix_range(pattern: Pattern) -> tuple[str, str] | None:
    """Return (first, after): all that matches is from the first on, and before the other."""
    prefix = pattern.prefix
    after = prefix and _successor(prefix)
    return (prefix, after) if after else None


def prefix_terms(leaf: Regex) -> Filter:
    """Return the condition that there is a text, and in the range of those that can match."""
    field, bounds = leaf.field, prefix_range(leaf.pattern)
    if bounds is None:
        return Exists(field=field)
    at_least = Compare(field=field, comparison=Comparison.GREATER_OR_EQUAL, value=bounds[0])
    less = Compare(field=field, comparison=Comparison.LESS, value=bounds[1])
    return All(terms=(Exists(field=field), at_least, less))


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
    return and_(column.is_not(None), _ORDERS[comparison](by_code_point(column), fit))


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
    fits = {fit for value in values if (fit := _fit(field, value)) is not None}
    if field.kind is ColumnKind.TIME:
        # a range for each of ten thousand times would take seconds to compile
        seconds = type_coerce(field.column, BigInteger) // literal(1_000_000, BigInteger)
        wanted = [int(fit.timestamp()) for fit in fits]
        return or_(absent, and_(field.column.is_not(None), seconds.in_(wanted)))
    return or_(absent, and_(field.column.is_not(None), field.column.in_(fits)))


def is_sortable(name: str, fields: Mapping[str, FieldColumn]) -> bool:
    """Return whether rows may differ in what stands at the dotted name."""
    top, _, below = name.partition(".")
    return top in fields and (not below or fields[top].kind is ColumnKind.JSON)


def sort_column(
    by: tuple[str, bool], fields: Mapping[str, FieldColumn]
) -> ColumnElement[Any] | None:
    """Return what one entry of ``sort`` orders by; None if rows do not differ in it."""
    name, ascending = by
    if not is_sortable(name, fields):
        return None
    field = fields[name.partition(".")[0]]
    if field.kind is ColumnKind.JSON:
        return func.pulpit_sort(field.column, literal(name, String), literal(ascending, Boolean))
    return by_code_point(field.column)


def in_order(column: ColumnElement[Any], *, ascending: bool) -> ColumnElement[Any]:
    """Return what to order by; what is absent comes before all else."""
    return column.asc().nulls_first() if ascending else column.desc().nulls_last()
