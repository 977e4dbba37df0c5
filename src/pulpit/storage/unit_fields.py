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
    false,
    literal,
    select,
    true,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON

from pulpit.domain.associations import PREFIX
from pulpit.domain.unit_documents import ALIASES, COLUMN_FIELDS
from pulpit.domain.units import FILE_TYPES, UNIT_KEYS
from pulpit.storage.criteria import ColumnKind, FieldColumn, Variant
from pulpit.storage.tables import repository_units, units

__all__ = ["membership_variants", "unit_variants"]

#: Members of keys that are numbers.
_NUMBERS = {("modulemd", "version")}
#: Fields of associations that stand in their own table.
_MEMBERSHIP = {"repo_id", "created", "updated"}
#: Fields that have an index: columns of packages, and members of the keys of all else.
_INDEXED = {"name", "filename", "relativepath", "checksum", "id"}
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


class _IsOfType(FunctionElement[bool]):
    """Whether the unit with that id is of one of the types."""

    type = Boolean()
    inherit_cache = False

    def __init__(self, unit_id: ColumnElement[Any], type_ids: Collection[str]) -> None:
        super().__init__(unit_id)
        self.listed = ", ".join(f"'{type_id}'" for type_id in sorted(type_ids))


@compiles(_IsOfType)
def _compile_type(element: _IsOfType, compiler: SQLCompiler, **options: Any) -> str:
    """Return what SQLite answers without a look at the unit's row, which is wide."""
    unit_id = compiler.process(element.clauses, **options)
    typed = f"typed.type_id IN ({element.listed}) AND typed.id = {unit_id}"
    index = "INDEXED BY ix_units_type_id_id"
    return f"EXISTS (SELECT 1 FROM units AS typed {index} WHERE {typed})"  # noqa: S608 - known types


@compiles(_IsOfType, "postgresql")
def _compile_type_there(element: _IsOfType, compiler: SQLCompiler, **options: Any) -> str:
    """Return what PostgreSQL plans by itself."""
    unit_id = compiler.process(element.clauses, **options)
    typed = f"typed.type_id IN ({element.listed}) AND typed.id = {unit_id}"
    return f"EXISTS (SELECT 1 FROM units AS typed WHERE {typed})"  # noqa: S608 - known types


def membership_variants(type_ids: Collection[str], names: Iterable[str]) -> list[Variant]:
    """Return where the fields stand of associations, for a search that looks at no unit.

    None, if it looks at more than what the table of associations has.
    """
    fields = _association_fields(_MEMBERSHIP)
    if not fields.keys() >= set(names):
        return []
    known = UNIT_KEYS.keys() & type_ids
    if not type_ids or known == UNIT_KEYS.keys():
        return [Variant(belongs=true(), fields=fields)]
    belongs = _IsOfType(repository_units.c.unit_id, known) if known else false()
    return [Variant(belongs=belongs, fields=fields)]


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
    if not tops:
        belongs = _of_types(type_ids) if type_ids else true()
        return [Variant(belongs=belongs, fields={})]
    beside = _association_fields() if associated else {}
    groups: dict[Any, list[str]] = {}
    for type_id in sorted(UNIT_KEYS.keys() & type_ids if type_ids else UNIT_KEYS):
        alike = (tuple(COLUMN_FIELDS.get(type_id, ())) or UNIT_KEYS[type_id], _numbers(type_id))
        groups.setdefault(alike, []).append(type_id)
    return [
        Variant(
            belongs=_of_types(group),
            fields=_fields(group[0], tops) | beside,
            every=select(units.c.id).where(_of_types(group)),
        )
        for group in groups.values()
    ]


def _numbers(type_id: str) -> tuple[str, ...]:
    return tuple(name for kind, name in sorted(_NUMBERS) if kind == type_id)


def _of_types(type_ids: Collection[str]) -> ColumnElement[bool]:
    """Return what is true for units of these types."""
    return units.c.type_id.in_(sorted(type_ids))


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
            return FieldColumn(column=units.c.uid, key=units.c.id)
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
        found = units.c[columns[name]]
        return FieldColumn(column=found, kind=kind, key=units.c.id if name in _INDEXED else None)
    if name in UNIT_KEYS[type_id]:
        is_number = (type_id, name) in _NUMBERS
        kind = ColumnKind.NUMBER if is_number else ColumnKind.TEXT
        return FieldColumn(
            column=_KeyMember(name, is_number=is_number),
            kind=kind,
            key=units.c.id if name in _INDEXED else None,
            index_where=units.c.size.is_(None),
        )
    if _UNSPELT.intersection(name):
        return None
    member: ColumnElement[Any] = _Member(
        units.c.metadata, literal(f'$."{name}"', String), literal(name, String)
    )
    if name == "checksums" and "checksumtype" in columns:
        member = _Either(member, _OneMember(units.c.checksum_type, units.c.checksum))
    return FieldColumn(column=member, kind=ColumnKind.JSON)


def _association_fields(names: Collection[str] | None = None) -> dict[str, FieldColumn]:
    """Return the fields of associations; of those names, or all."""
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
    return {
        PREFIX + name: field for name, field in fields.items() if names is None or name in names
    }
