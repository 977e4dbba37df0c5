"""Searches of SQLite that find the keys first, by indexes alone as far as those go.

SQLite keeps no statistics that tell a rare value from a frequent one, and prefers the order of the
table over an index if few rows are wanted: it would read a million rows for ten of the last week.
So what indexes say of a search is looked at here. If that leaves few rows, these are judged;
otherwise what is wanted is frequent, and found soon in the order that it is wanted in. The rows
themselves, which are wide, are read only once it is known which.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    case,
    column,
    false,
    func,
    intersect,
    literal,
    null,
    or_,
    select,
    union,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from pulpit.domain.criteria import Selection
from pulpit.domain.filters import (
    Compare,
    Filter,
    fields_of,
)
from pulpit.storage.criteria import (
    Variant,
    by_code_point,
    compile_filter,
    in_order,
    sort_column,
)
from pulpit.storage.index_lookups import ALTERNATIVES, begins_late, gathered, is_end, lookups_of

__all__ = ["Bounds", "IndexedSearch", "apply_criteria"]


class _OffIndex(FunctionElement[Any]):
    """A column that no index is used for."""

    inherit_cache = True


@compiles(_OffIndex)
def _compile_off(element: _OffIndex, compiler: SQLCompiler, **options: Any) -> str:
    """Return SQLite's spelling: the sign changes nothing, and indexes do not have it."""
    return f"+{compiler.process(element.clauses, **options)}"


def _off_index(given: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column without its indexes."""
    wrapped = _OffIndex(given)
    wrapped.type = given.type
    return wrapped


def apply_criteria(
    statement: Select[Any],
    criteria: Selection,
    variants: Sequence[Variant],
    *,
    key: ColumnElement[Any],
    judged: Sequence[Variant] | None = None,
) -> Select[Any]:
    """Return the statement, narrowed to what the criteria select.

    Args:
        statement: selects from the table that the fields stand in.
        criteria: what to select.
        variants: in which the fields stand.
        key: unique; decides the order where the criteria do not.
        judged: the variants, as rows are to be judged by; None: as they are.
    """
    wheres = [
        and_(variant.belongs, compile_filter(criteria.where, variant.fields))
        for variant in judged or variants
    ]
    narrowed = statement.where(or_(false(), *wheres))
    narrowed = narrowed.order_by(*_orders(criteria, variants), by_code_point(key))
    # drivers of PostgreSQL would take them for 32 bits
    if criteria.limit is not None:
        narrowed = narrowed.limit(literal(criteria.limit, BigInteger))
    return narrowed.offset(literal(criteria.skip, BigInteger)) if criteria.skip else narrowed


def _orders(criteria: Selection, variants: Sequence[Variant]) -> list[ColumnElement[Any]]:
    """Return what to order by before the key."""
    columns = ((_sort_column(by, variants), by[1]) for by in criteria.sort)
    return [in_order(found, ascending=up) for found, up in columns if found is not None]


def _sort_column(by: tuple[str, bool], variants: Sequence[Variant]) -> ColumnElement[Any] | None:
    """Return what one entry of ``sort`` orders by, in each variant."""
    columns = [
        (variant.belongs, found)
        for variant in variants
        if (found := sort_column(by, variant.fields)) is not None
    ]
    if len(variants) == 1 and columns:
        return columns[0][1]
    return case(*columns, else_=null()) if columns else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many rows are judged that indexes leave."""

    #: So few whatever else there is.
    few: int = 1_000
    #: So many rather than to look for them in the order of the table.
    many: int = 20_000
    #: So many rather than to look for them in the order that they are sorted in.
    sorted: int = 4_000
    #: So many before it is seen whether more are wanted.
    batch: int = 2_000


_BOUNDS = Bounds()


class IndexedSearch:
    """One search of SQLite.

    Args:
        connection: in a transaction.
        keyed: selects the key from all rows that are searched.
        criteria: what to select.
        variants: in which the fields stand.
        key: unique; decides the order where the criteria do not.
        bounds: how many rows are judged.
    """

    def __init__(
        self,
        connection: Connection,
        keyed: Select[Any],
        criteria: Selection,
        variants: Sequence[Variant],
        *,
        key: ColumnElement[Any],
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self._bounds = bounds
        self._connection, self._keyed, self._criteria = connection, keyed, criteria
        self._variants, self._key = variants, key
        self._terms = gathered(criteria.where)

    def keys(self) -> Sequence[Any]:
        """Return the keys of what is selected, in order."""
        if self._is_one_value():
            return self._scan()
        lookups = [each for term in self._terms if (each := self._lookup(term)) is not None]
        few = self._few(lookups)
        if few is None:
            return self._sorted_scan() if self._criteria.sort else self._scan()
        return self._sorted_among(few) if self._criteria.sort else self._among(sorted(few))

    def _is_one_value(self) -> bool:
        """Tell whether all rows with one value of a column are wanted, as its index has them."""
        if len(self._terms) > 1 or len(self._variants) > 1 or self._criteria.sort:
            return False
        if self._keyed.whereclause is not None or self._variants[0].every is not None:
            return False
        return all(isinstance(term, Compare) and not is_end(term) for term in self._terms)

    def _lookup(self, term: Filter) -> Any | None:
        """Return what selects all keys of rows that can meet the term, from indexes alone."""
        found: list[Any] = []
        for variant in self._variants:
            part: Sequence[Any] | None = lookups_of(term, variant.fields)
            if part is None and len(self._variants) > 1 and variant.every is not None:
                part = [variant.every]
            if part is None or len(found) + len(part) > ALTERNATIVES:
                return None
            found += part
        if not found:
            return select(null()).where(false())
        return found[0] if len(found) == 1 else union(*found)

    def _few(self, lookups: Sequence[Any]) -> set[Any] | None:
        """Return keys among which all that is selected is; None if there would be many."""
        most = self._bounds.sorted if self._criteria.sort else self._bounds.many
        limited: list[Any] = []
        for lookup in lookups:
            found = set(self._first(lookup, self._bounds.few + 1))
            if len(found) <= self._bounds.few:
                return found
            counted = select(func.count()).select_from(lookup.limit(most + 1).subquery())
            if self._connection.execute(counted).scalar_one() <= most:
                limited.append(lookup)
        if not limited:
            return None
        together: Any = limited[0] if len(limited) == 1 else intersect(*limited)
        return set(self._connection.execute(together).scalars())

    def _first(self, lookup: Any, count: int) -> Sequence[Any]:
        return self._connection.execute(lookup.limit(count)).scalars().all()

    def _scan(self) -> Sequence[Any]:
        """Return the keys as SQLite finds them, in their own order."""
        late = [
            term
            for term in self._terms
            if any(begins_late(term, variant) for variant in self._variants)
        ]
        # an index has the rows of one value in the order of their keys
        values = [term.field for term in self._terms if isinstance(term, Compare)]
        kept = {name for term in late for name in fields_of(term)} or set(values)
        statement = apply_criteria(
            self._keyed,
            self._criteria,
            self._variants,
            key=self._key,
            judged=self._unindexed(kept),
        )
        if late:
            # all of the range, rather than all of the table up to where it begins
            statement = statement.order_by(None).order_by(_off_index(self._key))
        return self._connection.execute(statement).scalars().all()

    def _sorted_scan(self) -> Sequence[Any]:
        """Return the keys in the order of an index, if there is one of what they are sorted by."""
        name = self._criteria.sort[0][0]
        fields = [variant.fields.get(name) for variant in self._variants]
        has_index = all(field is not None and field.key is not None for field in fields)
        statement = apply_criteria(
            self._keyed,
            self._criteria,
            self._variants,
            key=self._key,
            judged=self._unindexed(()) if has_index else None,
        )
        return self._connection.execute(statement).scalars().all()

    def _among(self, candidates: Sequence[Any]) -> Sequence[Any]:
        """Return those of the keys that are selected; judges no more than are wanted."""
        limit, skip = self._criteria.limit, self._criteria.skip
        found: list[Any] = []
        for start, end in pairwise(
            [*range(0, len(candidates), self._bounds.batch), len(candidates)]
        ):
            found += self._judged(candidates[start:end], ())
            if limit is not None and len(found) >= skip + limit:
                break
        return found[skip : None if limit is None else skip + limit]

    def _sorted_among(self, candidates: set[Any]) -> Sequence[Any]:
        """Return those of the keys that are selected, sorted."""
        limit, skip = self._criteria.limit, self._criteria.skip
        found = self._judged([*candidates], _orders(self._criteria, self._unindexed()))
        return found[skip : None if limit is None else skip + limit]

    def _judged(
        self, candidates: Sequence[Any], orders: Sequence[ColumnElement[Any]]
    ) -> Sequence[Any]:
        """Return those of the keys whose rows match."""
        listed = func.json_each(literal(msgspec.json.encode(candidates).decode(), String))
        among: Any = select(column("value")).select_from(listed)
        wheres = [
            and_(variant.belongs, compile_filter(self._criteria.where, variant.fields))
            for variant in self._unindexed()
        ]
        statement = self._keyed.where(self._key.in_(among), or_(false(), *wheres))
        statement = statement.order_by(*orders, self._key)
        return self._connection.execute(statement).scalars().all()

    def _unindexed(self, kept: Collection[str] | None = None) -> Sequence[Variant]:
        """Return the variants without indexes, but for those of the fields that keep theirs.

        Without such fields, no index tells which variant a row is of either.
        """
        return [
            replace(
                variant,
                belongs=_off_index(variant.belongs) if kept is None else variant.belongs,
                fields={
                    name: field
                    if name in (kept or ())
                    else replace(field, column=_off_index(field.column))
                    for name, field in variant.fields.items()
                },
            )
            for variant in self._variants
        ]
