"""Searches by criteria, of which SQL judges what it can, and Python the rest.

SQLite calls Python from within its statements. PostgreSQL can't: there a statement selects no less
than what is wanted, by what its columns say, and the rest is judged here while rows come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from pulpit.domain.criteria import Criteria
from pulpit.domain.filters import (
    All,
    AnyOf,
    Compare,
    Comparison,
    Exists,
    Filter,
    Leaf,
    Not,
    Regex,
)
from pulpit.domain.matching import matches, sort_key, sort_value
from pulpit.storage.criteria import (
    ColumnKind,
    FieldColumn,
    apply_criteria,
    by_code_point,
    compile_filter,
    is_sortable,
    orders,
    prefix_range,
    uses_members,
)
from pulpit.storage.rows import batched

__all__ = ["find"]

#: Rows that are judged at once.
_ROWS = 500
_TRUE, _FALSE = All(terms=()), AnyOf(terms=())


def find(
    connection: Connection,
    statement: Select[Any],
    criteria: Criteria,
    fields: Mapping[str, FieldColumn],
    *,
    key: ColumnElement[Any],
) -> Sequence[Row[Any]]:
    """Return the rows that the criteria select, in their order.

    Args:
        connection: in a transaction.
        statement: selects *key* and whatever else is wanted, from the table of the fields.
        criteria: what to select; a field that *fields* does not have is absent from all documents.
        fields: name at the top of the API's documents to column.
        key: unique; decides the order where the criteria do not.
    """
    plain = _loosened(criteria.where, fields, holds=True)
    is_sorted = not any(_is_within_json(name, fields) for name, _ in criteria.sort)
    if connection.dialect.name == "sqlite" or (plain is criteria.where and is_sorted):
        return connection.execute(
            apply_criteria(statement, criteria, fields, default_order=key)
        ).all()
    candidates = _Candidates(connection, criteria, fields, key)
    keys = candidates.in_order(plain) if is_sorted else candidates.sorted(plain)
    return _rows(connection, statement, key, keys)


class _Candidates:
    """Rows that may be what a search looks for."""

    def __init__(
        self,
        connection: Connection,
        criteria: Criteria,
        fields: Mapping[str, FieldColumn],
        key: ColumnElement[Any],
    ) -> None:
        self._connection, self._criteria = connection, criteria
        self._fields, self._key = fields, key
        self._sort = [(name, up) for name, up in criteria.sort if is_sortable(name, fields)]
        named = {*_tops(criteria.where), *(name.partition(".")[0] for name, _ in self._sort)}
        self._names = sorted(named & fields.keys())

    def in_order(self, plain: Filter) -> Sequence[Any]:
        """Return the keys of those that match, which the database has sorted; reads no more."""
        keys = (key for key, _ in self._matching(plain, self._sort))
        return list(islice(keys, self._criteria.skip, self._end))

    def sorted(self, plain: Filter) -> Sequence[Any]:
        """Return the keys of those that match, sorted here by the little that this takes."""
        found = [
            (key, [sort_value(document, name, ascending=up) for name, up in self._sort])
            for key, document in self._matching(plain, ())
        ]
        for place, (_, ascending) in reversed([*enumerate(self._sort)]):
            found.sort(
                key=lambda pair, place=place: sort_key(pair[1][place]),  # type: ignore[misc]
                reverse=not ascending,
            )
        return [key for key, _ in found[self._criteria.skip : self._end]]

    @property
    def _end(self) -> int | None:
        limit = self._criteria.limit
        return None if limit is None else self._criteria.skip + limit

    def _matching(
        self, plain: Filter, sort: Sequence[tuple[str, bool]]
    ) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """Yield keys and documents, as the API has them, of the rows that match."""
        columns = [self._fields[name].column for name in self._names]
        statement = (
            select(self._key, *columns)
            .where(compile_filter(plain, self._fields))
            .order_by(*orders(sort, self._fields), by_code_point(self._key))
        )
        options = {"stream_results": True, "yield_per": _ROWS}
        with self._connection.execute(statement, execution_options=options) as rows:
            for row in rows:
                document = dict(zip(self._names, row[1:], strict=True))
                if matches(self._criteria.where, document):
                    yield row[0], document


def _rows(
    connection: Connection, statement: Select[Any], key: ColumnElement[Any], keys: Sequence[Any]
) -> Sequence[Row[Any]]:
    """Return the rows with these keys, in their order."""
    found = {
        row._mapping[key]: row  # noqa: SLF001 - SQLAlchemy's documented name
        for batch in batched(keys)
        for row in connection.execute(statement.where(key.in_(batch)))
    }
    return [found[each] for each in keys if each in found]


def _loosened(condition: Filter, fields: Mapping[str, FieldColumn], *, holds: bool) -> Filter:
    """Return a filter of what columns say: true where that is (*holds*), or false where it is not.

    The very same filter, if columns say it all.
    """
    match condition:
        case All(terms=terms) | AnyOf(terms=terms):
            loose = tuple(_loosened(term, fields, holds=holds) for term in terms)
            same = all(new is old for new, old in zip(loose, terms, strict=True))
            return condition if same else replace(condition, terms=loose)
        case Not(term=term):
            opposite = _loosened(term, fields, holds=not holds)
            return condition if opposite is term else Not(term=opposite)
    return _loose_leaf(condition, fields, holds=holds)


def _loose_leaf(leaf: Leaf, fields: Mapping[str, FieldColumn], *, holds: bool) -> Filter:
    """Return a condition that is true where that is (*holds*), or false where it is not."""
    if _says_all(leaf, fields):
        return leaf
    if holds and isinstance(leaf, Regex) and "." not in leaf.field:
        return _may_match(leaf) if fields[leaf.field].kind is ColumnKind.TEXT else _TRUE
    return _TRUE if holds else _FALSE


def _says_all(leaf: Leaf, fields: Mapping[str, FieldColumn]) -> bool:
    """Return whether columns say all about a condition."""
    top, _, below = leaf.field.partition(".")
    field = fields.get(top)
    if field is None:
        return True
    if field.kind is ColumnKind.JSON:
        return uses_members(leaf, field)
    if below or field.kind is not ColumnKind.TEXT or not isinstance(leaf, Regex):
        return True
    return leaf.pattern.is_prefix and prefix_range(leaf.pattern) is not None


def _may_match(leaf: Regex) -> Filter:
    """Return the condition that there is a text, and in the range of those that can match."""
    field, bounds = leaf.field, prefix_range(leaf.pattern)
    if bounds is None:
        return Exists(field=field)
    at_least = Compare(field=field, comparison=Comparison.GREATER_OR_EQUAL, value=bounds[0])
    less = Compare(field=field, comparison=Comparison.LESS, value=bounds[1])
    return All(terms=(Exists(field=field), at_least, less))


def _tops(condition: Filter) -> Iterable[str]:
    """Yield the names at the top of documents that a filter looks at."""
    match condition:
        case All(terms=terms) | AnyOf(terms=terms):
            for term in terms:
                yield from _tops(term)
        case Not(term=term):
            yield from _tops(term)
        case _:
            yield condition.field.partition(".")[0]


def _is_within_json(name: str, fields: Mapping[str, FieldColumn]) -> bool:
    """Return whether the database can't sort by what stands at a dotted name."""
    field = fields.get(name.partition(".")[0])
    return field is not None and field.kind is ColumnKind.JSON
