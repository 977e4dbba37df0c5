"""What the indexes of SQLite can say of a filter: which keys rows have that may match it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from sqlalchemy import Select, select

from pulpit.domain.filters import All, AnyOf, Compare, Comparison, Filter, In, Leaf, Not, Regex
from pulpit.storage.criteria import (
    ColumnKind,
    FieldColumn,
    Variant,
    compile_filter,
    prefix_range,
    prefix_terms,
    texts_of,
    uses_members,
)

__all__ = ["ALTERNATIVES", "begins_late", "gathered", "is_end", "lookups_of"]

#: Alternatives that are looked up in indexes; of more, SQLite's statements would be too large.
ALTERNATIVES = 50


def _terms(condition: Filter) -> Iterator[Filter]:
    """Yield what must all be true."""
    if isinstance(condition, All):
        for term in condition.terms:
            yield from _terms(term)
    else:
        yield condition


def gathered(condition: Filter) -> Sequence[Filter]:
    """Return what must all be true, with the ends of a range together."""
    ranges: dict[str, list[Filter]] = {}
    others: list[Filter] = []
    for term in _terms(condition):
        if is_end(term):
            ranges.setdefault(term.field, []).append(term)
        else:
            others.append(term)
    return [*others, *(All(terms=tuple(terms)) for terms in ranges.values())]


def is_end(term: Filter) -> TypeGuard[Compare]:
    """Tell whether the term is an end of a range."""
    return isinstance(term, Compare) and term.comparison is not Comparison.EQUAL


def begins_late(term: Filter, variant: Variant) -> bool:
    """Tell whether the term is a range of times that has a beginning; later rows are newer."""
    if not isinstance(term, All):
        return False
    ends = [each for each in term.terms if isinstance(each, Compare)]
    fields = [variant.fields.get(each.field) for each in ends]
    return all(
        field is not None and field.key is not None and field.kind is ColumnKind.TIME
        for field in fields
    ) and any(each.comparison in {Comparison.GREATER, Comparison.GREATER_OR_EQUAL} for each in ends)


def lookups_of(term: Filter, fields: Mapping[str, FieldColumn]) -> list[Select[Any]] | None:
    """Return what together select all keys of rows that can meet the term; None if none can."""
    match term:
        case AnyOf(terms=terms):
            found: list[Select[Any]] = []
            for each in terms[: ALTERNATIVES + 1]:
                part = lookups_of(each, fields)
                if part is None or len(found) + len(part) > ALTERNATIVES:
                    return None
                found += part
            return found
        case All(terms=terms):
            ends = [each for each in terms if is_end(each)]
            if len(ends) == len(terms) > 0 and len({end.field for end in ends}) == 1:
                return _leaves(ends, fields)
            parts = (lookups_of(each, fields) for each in gathered(term))
            return next((part for part in parts if part is not None), None)
        case Not():
            return None
    return _leaves([term], fields)


def _leaves(leaves: Sequence[Leaf], fields: Mapping[str, FieldColumn]) -> list[Select[Any]] | None:
    """Return what selects the keys that conditions on one field leave."""
    field = fields.get(leaves[0].field)
    if field is None:
        return None
    if field.members and len(leaves) == 1 and uses_members(leaves[0], field):
        return [select(field.members.key).where(field.members.column.in_(texts_of(leaves[0])))]
    if field.key is None or field.kind is ColumnKind.JSON or not all(map(_narrows, leaves)):
        return None
    # an expression is judged later: to look through the whole index for it might take seconds
    condition = All(
        terms=tuple(prefix_terms(leaf) if isinstance(leaf, Regex) else leaf for leaf in leaves)
    )
    found = select(field.key).where(compile_filter(condition, {leaves[0].field: field}))
    return [found if field.index_where is None else found.where(field.index_where)]


def _narrows(leaf: Leaf) -> bool:
    """Tell whether an index can be used for a condition."""
    match leaf:
        case Compare(value=value):
            return value is not None
        case In(values=values):
            return None not in values
        case Regex(pattern=pattern):
            return prefix_range(pattern) is not None
    return False
