"""What a step of the schema takes away from code that knows the schema before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

__all__ = ["contractions"]

_WIDTHS = (SmallInteger, Integer, BigInteger)


def contractions(before: MetaData, after: MetaData) -> Iterator[tuple[str, str]]:
    """Yield (name, why) of each change that code of the former schema may fail at.

    Args:
        before: the tables, reflected from a database, before a step.
        after: those after it.
    """
    for name, old in before.tables.items():
        new = after.tables.get(name)
        if new is None:
            yield name, "is gone"
            continue
        yield from _columns(old, new)
        yield from _constraints(old, new)
    for name, new in after.tables.items():
        if name not in before.tables:
            yield from _holders(new, before)


def _columns(old: Table, new: Table) -> Iterator[tuple[str, str]]:
    """Yield what columns take away from who writes or reads a table."""
    for column in old.columns:
        name = f"{old.name}.{column.name}"
        if column.name not in new.columns:
            yield name, "is gone"
            continue
        changed = new.columns[column.name]
        if not _holds(changed.type, column.type):
            yield name, f"was {column.type!r} and is {changed.type!r}"
        if _must_be_given(changed) and not _must_be_given(column):
            yield name, "must be given"
    for column in new.columns:
        if column.name not in old.columns and _must_be_given(column):
            yield f"{new.name}.{column.name}", "must be given"


def _must_be_given(column: Column[Any]) -> bool:
    """Return whether there is no row without a value that the writer gives."""
    numbered = column.primary_key and isinstance(column.type, Integer)
    return not (column.nullable or column.server_default is not None or numbered)


def _holds(wide: TypeEngine[Any], narrow: TypeEngine[Any]) -> bool:
    """Return whether a column of the one type holds whatever one of the other does."""
    if isinstance(wide, String) and isinstance(narrow, String):
        return wide.length is None or (narrow.length is not None and narrow.length <= wide.length)
    if isinstance(wide, _WIDTHS) and isinstance(narrow, _WIDTHS):
        return _width(wide) >= _width(narrow)
    return type(wide) is type(narrow)


def _width(kind: TypeEngine[Any]) -> int:
    """Return the place of an integer's type among those that hold more and more."""
    return max(place for place, width in enumerate(_WIDTHS) if isinstance(kind, width))


def _constraints(old: Table, new: Table) -> Iterator[tuple[str, str]]:
    """Yield constraints that are new, and keys that are gone, on which INSERT may count."""
    before, after = dict(_rules(old)), dict(_rules(new))
    for rule in after.keys() - before.keys():
        yield after[rule], "may refuse what was taken"
    for rule in before.keys() - after.keys():
        if rule.startswith("unique"):
            yield before[rule], "is gone"


def _rules(table: Table) -> Iterator[tuple[str, str]]:
    """Yield (what it says, its name) of each rule of a table."""
    for constraint in table.constraints:
        match constraint:
            case UniqueConstraint() | PrimaryKeyConstraint():
                kind = f"unique {sorted(column.name for column in constraint.columns)}"
            case ForeignKeyConstraint():
                kind = f"foreign {sorted(key.target_fullname for key in constraint.elements)}"
            case CheckConstraint():
                kind = f"check {constraint.sqltext}"
            case _:
                kind = type(constraint).__name__
        yield kind, f"{table.name}.{constraint.name}"
    for index in table.indexes:
        if index.unique:
            columns = sorted(column.name for column in index.columns)
            yield f"unique {columns}", f"{table.name}.{index.name}"


def _holders(new: Table, before: MetaData) -> Iterator[tuple[str, str]]:
    """Yield references by which a new table keeps rows of an old one from being deleted."""
    for constraint in new.foreign_key_constraints:
        if constraint.referred_table.name in before.tables and not constraint.ondelete:
            yield f"{new.name}.{constraint.name}", "keeps rows from being deleted"
