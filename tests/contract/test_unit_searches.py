"""Searches of units: SQL selects what memory selects, of one type and of many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from pulpit.domain.associations import parse_unit_criteria
from pulpit.domain.criteria import parse_criteria
from pulpit.domain.units import UNIT_KEYS, Unit, unit_key_digest
from pulpit.errors import MissingResource
from pulpit.storage.sqlite import SqliteStorage
from tests.contract.databases import (
    NOW,
    Database,
    memory_database,
    new_erratum,
    new_package,
    new_repository,
    postgresql_database,
    sqlite_database,
)


def _module(name: str, stream: str, version: int) -> Unit:
    """Return a module stream, whose version is a number."""
    key = {"name": name, "stream": stream, "version": version, "context": "c", "arch": "noarch"}
    metadata = {"summary": name, "artifacts": ["bell-0:1.0-1.noarch"], "profiles": {"a": ["bell"]}}
    return Unit(uid=f"module-{name}-{stream}", type_id="modulemd", key=key, metadata=metadata)


def _units() -> list[Unit]:
    """Return units of several types, in the order in which they are added."""
    bell = new_package("bell", "1.0", metadata={"summary": "rings", "signing_key": "1234abcd"})
    sums = {"checksums": {"md5": "m", "sha256": "s"}, "description": None}
    return [
        replace(bell, uid="bell", user_metadata={"cdn_path": "/a", "n": 2}),
        new_package("candle", "2.0", uid="candle", artifact="ab" * 32, metadata=sums),
        new_package("bell", "1.0", uid="source", type_id="srpm", metadata={}),
        new_erratum("E1", uid="e1", metadata={"id": "other", "severity": "Low", "pushcount": "1"}),
        new_erratum("E2", uid="e2", metadata={"severity": None, "reboot_suggested": True}),
        _module("duck", "0", 20),
        _module("duck", "1", 3),
        Unit(
            uid="g1",
            type_id="package_group",
            key={"id": "birds", "repo_id": "zoo"},
            metadata={"name": "Birds", "default": True, "mandatory_package_names": ["duck"]},
        ),
    ]


def _fill(database: Database) -> None:
    """Keep the units; put all but the last candle into one repository, and one into another."""
    units = _units()
    with database.write() as transaction:
        for repo_id in ("zoo", "bear"):
            transaction.repositories.add(new_repository(repo_id))
        ids = [transaction.content.add([unit]) for unit in units]
        numbers = [next(iter(found.values())) for found in ids]
        transaction.content.associate("bear", numbers[1:2], now=NOW)
        for place in range(len(units) - 1):
            later = NOW + timedelta(seconds=place // 2)
            transaction.content.associate("zoo", [numbers[place]], now=later)


@pytest.fixture(scope="module")
def databases(
    empty_database: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Database]]:
    """Yield a database of each kind that holds the same units."""
    server = request.getfixturevalue("postgresql_session")
    makers = {
        "memory": memory_database,
        "sqlite": sqlite_database(empty_database),
        "postgresql": postgresql_database(server),
    }
    with tempfile.TemporaryDirectory() as folder:
        made = {name: make(Path(folder)) for name, make in makers.items()}
        for database in made.values():
            _fill(database)
        yield made
        for database in made.values():
            database.close()


texts = st.sampled_from(["bell", "duck", "E1", "1.0", "a", "zoo", "rpm", "1234abcd", "source", ""])
values = st.one_of(texts, st.none(), st.booleans(), st.sampled_from([0, 2, 3, 20, 20_000]))
names = st.sampled_from(
    [
        *("name", "version", "arch", "filename", "size", "checksum", "checksums.md5", "id"),
        *("checksums.sha256", "relativepath", "stream", "repo_id", "_id", "_content_type_id"),
        *("summary", "severity", "signing_key", "description", "artifacts", "profiles.a"),
        *("pulp_user_metadata.n", "pulp_user_metadata", "downloaded", "reboot_suggested"),
        *("default", "mandatory_package_names", "_ns", 'odd"name', "nothing", "version.x"),
    ]
)
conditions = st.one_of(
    values,
    st.builds(lambda it: {"$ne": it}, values),
    st.builds(lambda it: {"$in": it}, st.lists(values, max_size=3)),
    st.builds(lambda it: {"$exists": it}, st.booleans()),
    st.builds(lambda it: {"$gt": it}, st.sampled_from(["b", "1.5", 2, 5])),
    st.builds(lambda it: {"$regex": it}, st.sampled_from(["^be", "^E", "l$", "^1", "o"])),
)
clauses = st.dictionaries(names, conditions, max_size=2)
filters = st.one_of(
    clauses,
    st.builds(
        lambda join, terms: {join: terms},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(clauses, min_size=1, max_size=2),
    ),
)
directions = st.sampled_from(["ascending", "descending"])
sorts = st.lists(st.tuples(names, directions), max_size=2)
types: st.SearchStrategy[list[str]] = st.one_of(
    st.just([]),
    st.sampled_from(["rpm", "srpm", "erratum", "modulemd", "package_group"]).map(lambda it: [it]),
    st.lists(st.sampled_from([*sorted(UNIT_KEYS), "unheard_of"]), max_size=4),
)
pages = {"limit": st.none() | st.integers(1, 4), "skip": st.integers(0, 3)}


@given(types=types, wanted=st.fixed_dictionaries({"filters": filters, "sort": sorts, **pages}))
@settings(max_examples=80, deadline=None)
def test_all_databases_find_the_same_units(
    databases: dict[str, Database], types: list[str], wanted: dict[str, Any]
) -> None:
    """For any criteria all databases select the same units in the same order."""
    criteria = parse_criteria(wanted)
    found = {}
    for name, database in databases.items():
        with database.read() as transaction:
            found[name] = transaction.content.search(types, criteria)
    assert found["sqlite"] == found["memory"]
    assert found["postgresql"] == found["memory"]


association_names = st.sampled_from(["created", "unit_type_id", "owner_id", "repo_id", "unit_id"])
association_conditions = st.one_of(
    texts,
    st.builds(lambda it: {"$gte": {"$date": it}}, st.just("2026-03-01T12:00:02Z")),
    st.builds(lambda it: {"$regex": it}, st.sampled_from(["^e", "rpm$"])),
)
association_filters = st.dictionaries(association_names, association_conditions, max_size=1)
unit_criteria = st.fixed_dictionaries(
    {
        "type_ids": types,
        "filters": st.fixed_dictionaries({"unit": filters, "association": association_filters}),
        "sort": st.one_of(
            sorts,
            st.fixed_dictionaries(
                {
                    "association": st.lists(st.tuples(association_names, directions), max_size=1),
                    "unit": sorts,
                }
            ),
        ),
        **pages,
    }
)


@given(wanted=unit_criteria)
@settings(max_examples=80, deadline=None)
def test_all_databases_find_the_same_associations(
    databases: dict[str, Database], wanted: dict[str, Any]
) -> None:
    """For any criteria all databases select the same units of a repository in the same order."""
    criteria = parse_unit_criteria(wanted)
    found = {}
    for name, database in databases.items():
        with database.read() as transaction:
            content = transaction.content
            found[name] = content.search_associations("zoo", criteria)
            ids = content.select_members("zoo", criteria)
        assert ids == [association.unit.id for association in found[name]]
    assert found["sqlite"] == found["memory"]
    assert found["postgresql"] == found["memory"]


def _found(database: Database, repo_id: str, **criteria: Any) -> list[str]:
    """Return the ids of the units of a repository that criteria select."""
    with database.read() as transaction:
        parsed = parse_unit_criteria(criteria)
        return [it.unit.uid for it in transaction.content.search_associations(repo_id, parsed)]


@pytest.mark.parametrize(
    ("criteria", "uids"),
    [
        ({"type_ids": ["rpm"]}, ["bell", "candle"]),
        ({"type_ids": "srpm"}, ["source"]),
        ({"type_ids": ["unheard_of"]}, []),
        ({"filters": {"unit": {"name": "bell"}}}, ["bell", "source"]),
        ({"filters": {"unit": {"version": {"$gt": 5}}}}, ["module-duck-0"]),
        ({"filters": {"unit": {"id": "E1"}}}, ["e1"]),
        ({"filters": {"unit": {"checksums.sha256": "bell-1.0"}}}, ["bell", "source"]),
        ({"filters": {"unit": {"checksums.md5": "m"}}}, ["candle"]),
        ({"filters": {"unit": {"pulp_user_metadata.cdn_path": {"$regex": "^/"}}}}, ["bell"]),
        ({"filters": {"association": {"unit_type_id": "erratum"}}}, ["e1", "e2"]),
        (
            {"type_ids": ["modulemd"], "sort": [["version", "ascending"]], "limit": 1},
            ["module-duck-1"],
        ),
        ({"type_ids": ["rpm", "erratum"], "skip": 1, "limit": 2}, ["candle", "e1"]),
        (
            {"sort": {"association": [["created", "descending"]]}, "limit": 2},
            ["module-duck-1", "e2"],
        ),
    ],
)
@pytest.mark.parametrize("name", ["memory", "sqlite", "postgresql"])
def test_what_clients_ask_for(
    databases: dict[str, Database], name: str, criteria: dict[str, Any], uids: list[str]
) -> None:
    """Searches of the kinds that clients send select what they mean."""
    assert _found(databases[name], "zoo", **criteria) == uids
    assert _found(databases[name], "nowhere", **criteria) == []


@pytest.mark.parametrize("name", ["memory", "sqlite", "postgresql"])
def test_units_are_had_by_what_clients_know(databases: dict[str, Database], name: str) -> None:
    """A unit is found by type and id, its repositories and chunks by its number."""
    with databases[name].read() as transaction:
        candle = transaction.content.by_uid("rpm", "candle")
        assert (candle.key["name"], candle.chunks) == ("candle", ())
        assert candle.updated is not None
        duck = transaction.content.by_uid("modulemd", "module-duck-0")
        with pytest.raises(MissingResource):
            transaction.content.by_uid("erratum", "candle")
        memberships = transaction.content.memberships([candle.id, duck.id])
        assert memberships == {candle.id: ["bear", "zoo"], duck.id: ["zoo"]}
        chunks = transaction.content.chunks([candle.id, duck.id])
        assert chunks == {candle.id: (b"primary", b"filelists", b"other")}


@pytest.mark.parametrize(
    ("type_id", "filters", "index"),
    [
        ("erratum", {"id": "E1"}, "ix_units_key_id"),
        ("erratum", {"id": {"$regex": "^E"}}, "ix_units_key_id"),
        ("modulemd", {"name": "duck", "stream": "0"}, "ix_units_key_name"),
        ("rpm", {"name": {"$in": ["bell", "candle"]}, "version": "1.0"}, "ix_units_name"),
        ("srpm", {"checksum": "bell-1.0"}, "ix_units_checksum"),
        ("rpm", {"$or": [{"filename": "a"}, {"name": "b", "arch": "c"}]}, "ix_units_filename"),
        ("rpm", {"_id": "bell"}, "sqlite_autoindex_units"),
        ("rpm", {}, "ix_units_type_id_"),
    ],
)
def test_sqlite_uses_the_indexes(
    databases: dict[str, Database], type_id: str, filters: dict[str, Any], index: str
) -> None:
    """What units are searched by is looked up, and no row of another unit is read."""
    database = databases["sqlite"]
    assert isinstance(database, SqliteStorage)
    told: list[Any] = []
    with database.read() as transaction:
        engine = transaction.connection.engine
        event.listen(engine, "before_cursor_execute", lambda *seen: told.append(seen[2:4]))
        transaction.content.search([type_id], parse_criteria({"filters": filters}))
        plans = [
            row[3]
            for statement, values in tuple(told)
            for row in transaction.connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", values
            )
        ]
    assert any(index in plan for plan in plans), plans
    assert not [plan for plan in plans if plan == "SCAN units"]


def test_users_metadata_are_kept(database: Database) -> None:
    """The users' own object takes the place of the former one, and outlives a new sync."""
    bell = new_package("bell")
    with database.write() as transaction:
        [unit_id] = transaction.content.add([bell]).values()
        assert transaction.content.unit(unit_id).user_metadata == {}
        transaction.content.set_user_metadata(unit_id, {"a": {"b": 1}})
        transaction.content.set_user_metadata(unit_id, {"c": [2]})
        transaction.content.replace([replace(bell, metadata={"summary": "new"})])
        kept = transaction.content.unit(unit_id)
        assert (kept.user_metadata, kept.metadata) == ({"c": [2]}, {"summary": "new"})
        assert transaction.content.known("rpm", [unit_key_digest("rpm", bell.key)])
        transaction.content.set_user_metadata(unit_id, {})
        assert transaction.content.unit(unit_id).user_metadata == {}
