"""Where the fields of units and associations stand, which is not the same for all types.

What a package is searched by has columns of its own; the keys of other units, and all that is
shown beside, are members of JSON objects. Those of keys have indexes, whose expressions must be
spelt as here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    String,
    case,
    literal,
    or_,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON

from pulpit.domain.associations import PREFIX
from pulpit.domain.unit_documents import ALIASES, COLUMN_FIELDS
from pulpit.domain.units import FILE_TYPES, UNIT_KEYS
from pulpit.storage.criteria import ColumnKind, FieldColumn
from pulpit.storage.searches import Variant
from pulpit.storage.tables import repository_units, units

__all__ = ["unit_variants"]

#: Members of keys that are numbers.
_NUMBERS = {("modulemd", "version")}
#: Characters that a path within JSON can't spell; nothing that is kept has such a name.
_UNSPELT = frozenset('"\\')
_KINDS = {"size": ColumnKind.NUMBER}


class _KeyMember(FunctionElement[Any]):
    """A member of a unit's key, as its index has it."""

    inherit_cache = False

    def __init__(self, name: str, *, is_number: bool) -> None:
        super().__init__(units.c.key)
        self.name, self.is_number = name, is_number
        self.type = BigInteger() if is_number else String()


@compiles(_KeyMember)
def _compile_key(element: _KeyMember, compiler: SQLCompiler, **options: Any) -> str:
    """Return the expression for SQLite, of which a member has the type of its value."""
    return f"json_extract({compiler.process(element.clauses, **options)}, '$.{element.name}')"


@compiles(_KeyMember, "postgresql")
def _compile_key_there(element: _KeyMember, compiler: SQLCompiler, **options: Any) -> str:
    """Return the expression for PostgreSQL, compared by code point."""
    text = f"({compiler.process(element.clauses, **options)} ->> '{element.name}')"
    return f"CAST({text} AS BIGINT)" if element.is_number else f'({text} COLLATE "C")'


class _Member(FunctionElement[Any]):
    """A member of a JSON object, as JSON; the second clause is its name or path."""

    type = JSON()
    inherit_cache = True


@compiles(_Member)
def _compile_member(element: _Member, compiler: SQLCompiler, **options: Any) -> str:
    """Return the member as SQLite spells it."""
    column, path, _ = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} -> {path})"


@compiles(_Member, "postgresql")
def _compile_member_there(element: _Member, compiler: SQLCompiler, **options: Any) -> str:
    """Return the member as PostgreSQL spells it."""
    column, _, name = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} -> {name})"


class _Either(FunctionElement[Any]):
    """JSON, or other JSON where it is null."""

    type = JSON()
    inherit_cache = True


@compiles(_Either)
def _compile_either(element: _Either, compiler: SQLCompiler, **options: Any) -> str:
    return f"coalesce({compiler.process(element.clauses, **options)})"


class _OneMember(FunctionElement[Any]):
    """A JSON object with one member: name and value."""

    type = JSON()
    inherit_cache = True


@compiles(_OneMember)
def _compile_one(element: _OneMember, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_object({compiler.process(element.clauses, **options)})"


@compiles(_OneMember, "postgresql")
def _compile_one_there(element: _OneMember, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_build_object({compiler.process(element.clauses, **options)})"


def unit_variants(
    type_ids: Collection[str], names: Iterable[str], *, associated: bool = False
) -> list[Variant]:
    """Return where the fields stand of units of these types.

    Args:
        type_ids: none for all; of one that is not known there are no units.
        names: dotted names of the fields that are of interest.
        associated: whether rows are associations with their units.
    """
    tops = {name.partition(".")[0] for name in names}
    beside = _association_fields() if associated else {}
    groups: dict[Any, list[str]] = {}
    for type_id in sorted(UNIT_KEYS.keys() & type_ids if type_ids else UNIT_KEYS):
        alike = (tuple(COLUMN_FIELDS.get(type_id, ())) or UNIT_KEYS[type_id], _numbers(type_id))
        groups.setdefault(alike, []).append(type_id)
    return [
        Variant(belongs=_of_types(group), fields=_fields(group[0], tops) | beside)
        for group in groups.values()
    ]


def _numbers(type_id: str) -> tuple[str, ...]:
    return tuple(name for kind, name in sorted(_NUMBERS) if kind == type_id)


def _of_types(type_ids: Collection[str]) -> ColumnElement[bool]:
    """Return what is true for units of these types."""
    return or_(*(units.c.type_id == type_id for type_id in type_ids))


def _fields(type_id: str, names: Collection[str]) -> dict[str, FieldColumn]:
    """Return the fields of that name of units of the type, and of those alike."""
    found = {}
    for name in names:
        known = ALIASES.get(type_id, {}).get(name, name)
        field = _common(type_id, known) or _own(type_id, known)
        if field is not None:
            found[name] = field
    return found


def _common(type_id: str, name: str) -> FieldColumn | None:
    """Return a field that units of all types have."""
    match name:
        case "_id":
            return FieldColumn(column=units.c.uid)
        case "_content_type_id":
            return FieldColumn(column=units.c.type_id)
        case "_ns":
            return FieldColumn(column=literal("units_", String) + units.c.type_id)
        case "_last_updated":
            seconds = type_coerce(units.c.updated, BigInteger) // literal(1_000_000, BigInteger)
            return FieldColumn(column=seconds, kind=ColumnKind.NUMBER)
        case "downloaded":
            has_file = units.c.artifact if type_id in FILE_TYPES else units.c.uid
            there = type_coerce(has_file.is_not(None), Boolean)
            return FieldColumn(column=there, kind=ColumnKind.BOOLEAN)
        case "pulp_user_metadata":
            column = _Either(units.c.user_metadata, literal({}, JSON))
            return FieldColumn(column=column, kind=ColumnKind.JSON)
    return None


def _own(type_id: str, name: str) -> FieldColumn | None:
    """Return a field that units of this type have."""
    columns = COLUMN_FIELDS.get(type_id, {})
    if name in columns:
        kind = _KINDS.get(name, ColumnKind.TEXT)
        return FieldColumn(column=units.c[columns[name]], kind=kind)
    if name in UNIT_KEYS[type_id]:
        is_number = (type_id, name) in _NUMBERS
        kind = ColumnKind.NUMBER if is_number else ColumnKind.TEXT
        return FieldColumn(column=_KeyMember(name, is_number=is_number), kind=kind)
    if _UNSPELT.intersection(name):
        return None
    member: ColumnElement[Any] = _Member(
        units.c.metadata, literal(f'$."{name}"', String), literal(name, String)
    )
    if name == "checksums" and "checksumtype" in columns:
        member = _Either(member, _OneMember(units.c.checksum_type, units.c.checksum))
    return FieldColumn(column=member, kind=ColumnKind.JSON)


def _association_fields() -> dict[str, FieldColumn]:
    """Return the fields of associations."""
    owner = case((units.c.type_id == "iso", "iso_importer"), else_="yum_importer")
    created = FieldColumn(column=repository_units.c.created, kind=ColumnKind.TIME)
    fields = {
        "repo_id": FieldColumn(column=repository_units.c.repo_id),
        "unit_id": FieldColumn(column=units.c.uid),
        "unit_type_id": FieldColumn(column=units.c.type_id),
        "owner_type": FieldColumn(column=literal("importer", String)),
        "owner_id": FieldColumn(column=type_coerce(owner, String)),
        "created": created,
        "updated": created,
    }
    return {PREFIX + name: field for name, field in fields.items()}
