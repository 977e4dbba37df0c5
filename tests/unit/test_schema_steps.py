"""Steps of the schema add first and take away later, or say what they take away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
)

from pulpit.storage.migrations import HEAD
from pulpit.storage.migrations.run import configuration, oldest_code, script
from tests.contractions import contractions

_STEPS = [step.revision for step in reversed([*script().walk_revisions()])]


def _tables(connection: Connection, step: str) -> MetaData:
    """Return the tables as they are once the step was run."""
    command.upgrade(configuration(connection), step)
    found = MetaData()
    found.reflect(connection)
    return found


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression")
def test_steps_say_what_they_take_away() -> None:
    """What old code may fail at is declared, and by then no code that may run still uses it."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        before = _tables(connection, _STEPS[0])
        for step in _STEPS[1:]:
            after = _tables(connection, step)
            declared: dict[str, str] = getattr(script().get_revision(step).module, "contracts", {})
            for name, why in contractions(before, after):
                assert name in declared, f"step {step}: {name} {why}"
                assert declared[name] <= oldest_code(step), f"step {step}: {name} is still used"
            before = after
    engine.dispose()


def test_oldest_code_only_grows() -> None:
    """No step lets older code back in, and none shuts out its own."""
    oldest = [oldest_code(step) for step in _STEPS]
    assert oldest == sorted(oldest)
    assert all(code <= step for code, step in zip(oldest, _STEPS, strict=True))
    assert _STEPS[-1] == HEAD
    assert sorted(_STEPS) == _STEPS, "later steps compare greater"


def _schema(change: Callable[[dict[str, list[Any]]], None] | None = None) -> MetaData:
    """Return tables, changed or not."""
    items: dict[str, list[Any]] = {
        "zoo": [
            Column("id", Integer, primary_key=True),
            Column("name", String(10), nullable=False),
            Column("note", String),
            Column("size", BigInteger),
            UniqueConstraint("name", name="uq_name"),
        ],
        "cage": [Column("id", Integer, primary_key=True)],
    }
    if change:
        change(items)
    metadata = MetaData()
    for name, parts in items.items():
        Table(name, metadata, *parts)
    return metadata


def _add(table: str, *parts: Any) -> Callable[[dict[str, list[Any]]], None]:
    return lambda items: items.setdefault(table, []).extend(parts)


def _replace(place: int, *parts: Any) -> Callable[[dict[str, list[Any]]], None]:
    def change(items: dict[str, list[Any]]) -> None:
        items["zoo"][place : place + 1] = parts

    return change


def _changed(change: Callable[[dict[str, list[Any]]], None]) -> list[str]:
    """Return the names of what a change takes away."""
    return sorted(name for name, _ in contractions(_schema(), _schema(change)))


_CHILD = Column("zoo_id", Integer, ForeignKey("zoo.id", name="fk_zoo"))
_CASCADING = Column("zoo_id", Integer, ForeignKey("zoo.id", ondelete="CASCADE"))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda items: items.pop("cage"), ["cage"]),
        (_replace(2), ["zoo.note"]),
        (_replace(2, Column("remark", String)), ["zoo.note"]),
        (_replace(1, Column("name", String(9), nullable=False)), ["zoo.name"]),
        (_replace(2, Column("note", String(1_000_000))), ["zoo.note"]),
        (_replace(2, Column("note", Integer)), ["zoo.note"]),
        (_replace(2, Column("note", String, nullable=False)), ["zoo.note"]),
        (_replace(3, Column("size", Integer)), ["zoo.size"]),
        (_add("zoo", Column("more", String, nullable=False)), ["zoo.more"]),
        (_add("zoo", UniqueConstraint("note", name="uq_note")), ["zoo.uq_note"]),
        (_add("zoo", CheckConstraint("size > 0", name="ck_size")), ["zoo.ck_size"]),
        (_replace(4), ["zoo.uq_name"]),
        (_add("child", Column("id", Integer, primary_key=True), _CHILD), ["child.fk_zoo"]),
    ],
)
def test_what_takes_away_is_found(
    change: Callable[[dict[str, list[Any]]], None], names: list[str]
) -> None:
    """Whatever old code could fail at has a name."""
    assert _changed(change) == names


@pytest.mark.parametrize(
    "change",
    [
        _add("zoo", Column("more", String)),
        _add("zoo", Column("more", String, nullable=False, server_default="x")),
        _replace(1, Column("name", String(11), nullable=False)),
        _replace(1, Column("name", String, nullable=True)),
        _add("child", Column("id", Integer, primary_key=True), _CASCADING),
    ],
)
def test_what_only_adds_is_let_through(change: Callable[[dict[str, list[Any]]], None]) -> None:
    """Old code never sees it."""
    assert _changed(change) == []
