"""Searches by criteria, of which SQL judges what it can, and Python the rest.

SQLite calls Python from within its statements. PostgreSQL can't: there a statement selects no less
than what is wanted, by what its columns say, and the rest is judged here while rows come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, true

from pulpit.domain.criteria import Selection
from pulpit.domain.filters import (
    All,
    AnyOf,
    Filter,
    Leaf,
    Not,
    Regex,
    fields_of,
)
from pulpit.domain.matching import matches, sort_key, sort_value
from pulpit.storage.criteria import (
    ColumnKind,
    FieldColumn,
    Variant,
    by_code_point,
    compile_filter,
    in_order,
    prefix_range,
    prefix_terms,
    sort_column,
    uses_members,
)
from pulpit.storage.deadlines import Deadline, limited
from pulpit.storage.indexed_searches import IndexedSearch, apply_criteria
from pulpit.storage.rows import batched

__all__ = ["find", "find_among", "find_keys"]

#: Rows that are judged at once.
_ROWS = 500
#: Rows that are read at once.
_AT_ONCE = 2_000
_TRUE, _FALSE = All(terms=()), AnyOf(terms=())


def find(
    connection: Connection,
    statement: Select[Any],
    criteria: Selection,
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
    variants = [Variant(belongs=true(), fields=fields)]
    return find_among(connection, statement, criteria, variants, key=key)


def find_among(
    connection: Connection,
    statement: Select[Any],
    criteria: Selection,
    variants: Sequence[Variant],
    *,
    key: ColumnElement[Any],
    among: Select[Any] | None = None,
) -> Sequence[Row[Any]]:
    """Return the rows of some variant that the criteria select; see ``find``.

    Args:
        connection: as for ``find``.
        statement: as for ``find``.
        criteria: as for ``find``.
        variants: in which the fields stand.
        key: as for ``find``.
        among: selects the key from all rows that are searched, and from what the fields stand in;
            None: the statement does.
    """
    with limited(connection) as deadline:
        if among is None and connection.dialect.name != "sqlite" and _is_plain(criteria, variants):
            return connection.execute(apply_criteria(statement, criteria, variants, key=key)).all()
        keyed = statement.with_only_columns(key) if among is None else among
        keys = _keys(connection, keyed, criteria, variants, key=key, deadline=deadline)
        return _rows(connection, statement, key, keys, deadline)


def find_keys(
    connection: Connection,
    keyed: Select[Any],
    criteria: Selection,
    variants: Sequence[Variant],
    *,
    key: ColumnElement[Any],
) -> Sequence[Any]:
    """Return the keys of the rows that the criteria select, in their order.

    Args:
        connection: as for ``find``.
        keyed: selects the key from all rows that are searched, and from what the fields stand in.
        criteria: as for ``find``.
        variants: as for ``find_among``.
        key: as for ``find``.
    """
    with limited(connection) as deadline:
        return _keys(connection, keyed, criteria, variants, key=key, deadline=deadline)


def _keys(
    connection: Connection,
    keyed: Select[Any],
    criteria: Selection,
    variants: Sequence[Variant],
    *,
    key: ColumnElement[Any],
    deadline: Deadline,
) -> Sequence[Any]:
    """Return the keys of what is selected, by whatever means the database has."""
    if not variants:
        return []
    if connection.dialect.name == "sqlite":
        return IndexedSearch(connection, keyed, criteria, variants, key=key).keys()
    if _is_plain(criteria, variants):
        found = connection.execute(apply_criteria(keyed, criteria, variants, key=key))
        return found.scalars().all()
    return _judged(connection, keyed, criteria, variants, key=key, deadline=deadline)


def _is_plain(criteria: Selection, variants: Sequence[Variant]) -> bool:
    """Tell whether one statement of any database says all of the search."""
    wheres = (_loosened(criteria.where, variant.fields, holds=True) for variant in variants)
    return _is_sorted(criteria, variants) and all(where is criteria.where for where in wheres)


def _is_sorted(criteria: Selection, variants: Sequence[Variant]) -> bool:
    """Tell whether any database can sort as the search wants it."""
    return not criteria.sort or (
        len(variants) == 1
        and not any(_is_within_json(name, variants[0].fields) for name, _ in criteria.sort)
    )


def _judged(
    connection: Connection,
    keyed: Select[Any],
    criteria: Selection,
    variants: Sequence[Variant],
    *,
    key: ColumnElement[Any],
    deadline: Deadline,
) -> Sequence[Any]:
    """Return the keys of what is selected, judged here."""
    candidates = [
        _Candidates(connection, keyed, criteria, variant, key=key, deadline=deadline)
        for variant in variants
    ]
    if len(variants) == 1 and _is_sorted(criteria, variants):
        return candidates[0].in_order()
    return _sorted(criteria, [pair for each in candidates for pair in each.with_values()])


def _end(criteria: Selection) -> int | None:
    """Return how many rows come before what is selected no longer."""
    return None if criteria.limit is None else criteria.skip + criteria.limit


def _sorted(criteria: Selection, found: list[tuple[Any, list[Any]]]) -> Sequence[Any]:
    """Return the wanted keys, sorted by the values beside them."""
    found.sort(key=lambda pair: pair[0])
    for place, (_, ascending) in reversed([*enumerate(criteria.sort)]):
        found.sort(
            key=lambda pair, place=place: sort_key(pair[1][place]),  # type: ignore[misc]
            reverse=not ascending,
        )
    return [key for key, _ in found[criteria.skip : _end(criteria)]]


class _Candidates:
    """Rows of one variant that may be what a search looks for."""

    def __init__(
        self,
        connection: Connection,
        statement: Select[Any],
        criteria: Selection,
        variant: Variant,
        *,
        key: ColumnElement[Any],
        deadline: Deadline,
    ) -> None:
        self._connection, self._criteria, self._key = connection, criteria, key
        self._deadline = deadline
        where = _loosened(criteria.where, variant.fields, holds=True)
        fields = self._fields = variant.fields
        named = chain(fields_of(criteria.where), (name for name, _ in criteria.sort))
        self._names = sorted({name.partition(".")[0] for name in named} & fields.keys())
        self._statement = statement.with_only_columns(
            key, *(fields[name].column for name in self._names)
        ).where(variant.belongs, compile_filter(where, fields))

    def in_order(self) -> Sequence[Any]:
        """Return the keys of those that match, which the database has sorted; reads no more."""
        keys = (key for key, _ in self._matching(self._criteria.sort))
        return list(islice(keys, self._criteria.skip, _end(self._criteria)))

    def with_values(self) -> Iterator[tuple[Any, list[Any]]]:
        """Yield the keys of those that match, with what they sort by."""
        for key, document in self._matching(()):
            yield (
                key,
                [
                    sort_value(document, name, ascending=ascending)
                    for name, ascending in self._criteria.sort
                ],
            )

    def _matching(
        self, sort: Sequence[tuple[str, bool]]
    ) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """Yield keys and documents, as the API has them, of the rows that match."""
        columns = ((sort_column(by, self._fields), by[1]) for by in sort)
        order = [in_order(column, ascending=up) for column, up in columns if column is not None]
        statement = self._statement.order_by(*order, by_code_point(self._key))
        options = {"stream_results": True, "yield_per": _ROWS}
        with self._connection.execute(statement, execution_options=options) as rows:
            for row in rows:
                self._deadline.check()
                document = dict(zip(self._names, row[1:], strict=True))
                if matches(self._criteria.where, document):
                    yield row[0], document


def _rows(
    connection: Connection,
    statement: Select[Any],
    key: ColumnElement[Any],
    keys: Sequence[Any],
    deadline: Deadline,
) -> Sequence[Row[Any]]:
    """Return the rows with these keys, in their order."""
    found: dict[Any, Row[Any]] = {}
    for batch in batched(keys, _AT_ONCE):
        deadline.check()
        for row in connection.execute(statement.where(key.in_(batch))):
            found[row._mapping[key]] = row  # noqa: SLF001 - SQLAlchemy's documented name
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
        return prefix_terms(leaf) if fields[leaf.field].kind is ColumnKind.TEXT else _TRUE
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


def _is_within_json(name: str, fields: Mapping[str, FieldColumn]) -> bool:
    """Return whether the database can't sort by what stands at a dotted name."""
    field = fields.get(name.partition(".")[0])
    return field is not None and field.kind is ColumnKind.JSON
