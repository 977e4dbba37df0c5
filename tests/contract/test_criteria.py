"""One meaning of criteria: what SQL selects is what matching in memory selects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    true,
)
from sqlalchemy import select as sql_select
from sqlalchemy.pool import StaticPool

from pulpit.domain.criteria import Criteria, parse_criteria, select
from pulpit.storage.criteria import (
    ColumnKind,
    FieldColumn,
    Members,
    Variant,
    register_functions,
)
from pulpit.storage.indexed_searches import Bounds, IndexedSearch, apply_criteria
from pulpit.storage.postgresql_connections import postgresql_engine
from pulpit.storage.searches import find
from pulpit.storage.tables import UtcTime
from tests.services.postgresql import PostgresServer

METADATA = MetaData()
ROWS = Table(
    "rows",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("text", String),
    Column("size", Float),
    Column("flag", Boolean),
    Column("at", UtcTime),
    Column("tags", JSON(none_as_null=True)),
    Column("json", JSON(none_as_null=True)),
)
TAGS = Table("tags", METADATA, Column("tag", String), Column("number", Integer))
FIELDS = {
    "text": FieldColumn(column=ROWS.c.text, key=ROWS.c.number),
    "size": FieldColumn(column=ROWS.c.size, kind=ColumnKind.NUMBER),
    "flag": FieldColumn(column=ROWS.c.flag, kind=ColumnKind.BOOLEAN),
    "at": FieldColumn(column=ROWS.c.at, kind=ColumnKind.TIME, key=ROWS.c.number),
    "tags": FieldColumn(
        column=ROWS.c.tags,
        kind=ColumnKind.JSON,
        members=Members(
            column=TAGS.c.tag, belongs=TAGS.c.number == ROWS.c.number, key=TAGS.c.number
        ),
    ),
    "json": FieldColumn(column=ROWS.c.json, kind=ColumnKind.JSON),
}
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)

texts = st.sampled_from(
    ["", "a", "ab", "abc", "b", "B", "é", "2026-03-01T12:00:00Z", "10", "%", "_"]
)
numbers = st.sampled_from([-1, 0, 1, 2, 2.5, 2**62])
moments = st.integers(-3, 3).map(lambda half: MOMENT + timedelta(milliseconds=500 * half))
dates = st.sampled_from(
    [
        {"$date": "2026-03-01T12:00:00Z"},
        {"$date": "2026-03-01T13:00:01+01:00"},
        {"$date": "9999-12-31T23:59:59Z"},
    ]
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "0"]), inner, max_size=2)
    ),
    max_leaves=5,
)
rows = st.fixed_dictionaries(
    {
        "text": st.none() | texts,
        "size": st.none() | numbers,
        "flag": st.none() | st.booleans(),
        "at": st.none() | moments,
        "tags": st.none() | st.lists(texts, max_size=3),
        "json": values,
    }
)
names = st.sampled_from(
    [
        "text",
        "text.a",
        "size",
        "flag",
        "at",
        "tags",
        "tags.1",
        "json",
        "json.a",
        "json.a.b",
        "json.0",
        "unknown",
    ]
)
operands = values | dates
ordered = texts | numbers | dates
patterns = st.sampled_from(["^a", "^ab", "^A", "b$", "^abc$", "a|é", "", ".", "^%", "^_", "^é"])
conditions = st.one_of(
    operands,
    st.dictionaries(st.sampled_from(["$eq", "$ne"]), operands, min_size=1),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered, min_size=1),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(operands, max_size=4), min_size=1),
    st.builds(lambda it: {"$exists": it}, st.booleans()),
    st.builds(lambda it: {"$regex": it}, patterns),
    st.builds(lambda it: {"$regex": it, "$options": "i"}, patterns),
    st.builds(lambda it: {"$not": {"$regex": it}}, patterns),
)
clauses = st.dictionaries(names, conditions, max_size=3)
filters = st.recursive(
    clauses,
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, min_size=1, max_size=3),
            min_size=1,
            max_size=2,
        )
        | st.builds(lambda it: {"$not": it}, inner)
    ),
    max_leaves=4,
)
sorts = st.lists(st.tuples(names, st.sampled_from(["ascending", "descending"])), max_size=2)


def _sqlite() -> Engine:
    """Return a database in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    event.listen(engine, "connect", lambda raw, _entry: register_functions(raw))
    return engine


def _postgresql(server: PostgresServer) -> Engine:
    """Return a new database on the server."""
    return postgresql_engine(server.url(server.create_database()), connections=1, idle_seconds=60)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Yield a connection to an empty database that has the tables."""
    if request.param == "sqlite":
        engine = _sqlite()
    else:
        engine = _postgresql(request.getfixturevalue("postgresql_session"))
    with engine.connect() as connected:
        METADATA.create_all(connected)
        yield connected
    engine.dispose()


@pytest.fixture(scope="module")
def indexed() -> Iterator[Connection]:
    """Yield a connection to a SQLite database."""
    engine = _sqlite()
    with engine.connect() as connected:
        METADATA.create_all(connected)
        yield connected
    engine.dispose()


def _fill(connection: Connection, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the documents into the tables; return them with their numbers."""
    numbered = [{"number": number, **row} for number, row in enumerate(documents, 1)]
    connection.execute(delete(ROWS))
    connection.execute(delete(TAGS))
    if numbered:
        connection.execute(insert(ROWS), numbered)
    members = [
        {"tag": tag, "number": row["number"]} for row in numbered for tag in row["tags"] or ()
    ]
    if members:
        connection.execute(insert(TAGS), members)
    return numbered


def _selected(connection: Connection, criteria: Criteria) -> list[int]:
    """Return the numbers of the rows that SQL selects."""
    found = find(connection, sql_select(ROWS.c.number), criteria, FIELDS, key=ROWS.c.number)
    return [row.number for row in found]


criteria_documents = st.fixed_dictionaries(
    {
        "filters": filters,
        "sort": sorts,
        "limit": st.none() | st.integers(1, 3),
        "skip": st.integers(0, 2),
    }
)


@given(documents=st.lists(rows, min_size=1, max_size=5), wanted=criteria_documents)
@settings(max_examples=400, deadline=None)
def test_sql_selects_what_matches(
    connection: Connection, documents: list[dict[str, Any]], wanted: dict[str, Any]
) -> None:
    """For any rows and any criteria both ways select the same rows in the same order."""
    numbered = _fill(connection, documents)
    criteria = parse_criteria(wanted)
    expected = [row["number"] for row in select(numbered, criteria, lambda row: row)]
    assert _selected(connection, criteria) == expected


@given(
    documents=st.lists(rows, min_size=1, max_size=5),
    wanted=criteria_documents,
    few=st.integers(0, 1),
    many=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_indexes_find_what_matches(
    indexed: Connection,
    documents: list[dict[str, Any]],
    wanted: dict[str, Any],
    few: int,
    many: int,
) -> None:
    """However many rows indexes leave, and however these are gone through, the same are found."""
    numbered = _fill(indexed, documents)
    criteria = parse_criteria(wanted)
    expected = [row["number"] for row in select(numbered, criteria, lambda row: row)]
    search = IndexedSearch(
        indexed,
        sql_select(ROWS.c.number),
        criteria,
        [Variant(belongs=true(), fields=FIELDS)],
        key=ROWS.c.number,
        bounds=Bounds(few=few, many=many, sorted=many, batch=2),
    )
    assert list(search.keys()) == expected


@given(document=rows, name=names, condition=conditions)
@settings(max_examples=250, deadline=None)
def test_negation_selects_the_rest(
    connection: Connection, document: dict[str, Any], name: str, condition: Any
) -> None:
    """A condition or its negation is true of each row, never both: no null comes between."""
    _fill(connection, [document])
    found = _selected(connection, parse_criteria({"filters": {name: condition}}))
    others = _selected(connection, parse_criteria({"filters": {"$not": {name: condition}}}))
    assert sorted(found + others) == [1]


@pytest.mark.parametrize("name", ["text", "size", "flag", "at", "json"])
def test_every_comparison_of_every_kind(connection: Connection, name: str) -> None:
    """Each value compares with each operand as in memory, by every operator, for every column."""
    texts = ["", "a", "ab", "B", "é", "2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z"]
    numbers = [-1, 0, 1, 2.5, 2**62]
    halves = [MOMENT + timedelta(milliseconds=500 * half) for half in range(-3, 4)]
    kinds: dict[str, list[Any]] = {
        "text": texts,
        "size": numbers,
        "flag": [True, False],
        "at": halves,
        "json": [*texts, *numbers, True, False, {"a": 1}, [1, "a"], []],
    }
    numbered = _fill(
        connection,
        [dict.fromkeys(FIELDS) | {name: value} for value in (None, *kinds[name])],
    )
    date = {"$date": "2026-03-01T12:00:00Z"}
    for operand in (*texts, *numbers, date):
        for operator in ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte"):
            criteria = parse_criteria({"filters": {name: {operator: operand}}})
            expected = [row["number"] for row in select(numbered, criteria, lambda row: row)]
            assert _selected(connection, criteria) == expected, (operator, operand)


@pytest.mark.parametrize("operator", ["$and", "$or", "$nor"])
def test_largest_filters_run(connection: Connection, operator: str) -> None:
    """A filter with as many clauses and values as are allowed is no problem to the database."""
    _fill(connection, [{"text": "x5"} | dict.fromkeys(["size", "flag", "at", "tags", "json"])])
    many: list[dict[str, Any]] = [{"text": f"x{number}"} for number in range(990)]
    many.append({"text": {"$in": [f"x{number}" for number in range(10_000)]}})
    found = _selected(connection, parse_criteria({"filters": {operator: many}}))
    assert found == ([1] if operator == "$or" else [])


def test_deepest_filters_run(connection: Connection) -> None:
    """A filter that is as deep as it may be, and broad at each level, is no problem either."""
    _fill(connection, [{"text": "x5"} | dict.fromkeys(["size", "flag", "at", "tags", "json"])])
    filters: dict[str, Any] = {"text": "x5"}
    for level in range(9):
        others = [{"json.a": {"$ne": number}, "text": {"$lt": "y"}} for number in range(25)]
        filters = {"$and" if level % 2 else "$nor": [filters, *others]}
    assert _selected(connection, parse_criteria({"filters": filters})) == []
    wide = {"$and": [{"$and": [{"text": {"$ne": "a"}}] * 16}] * 30}
    assert _selected(connection, parse_criteria({"filters": wide})) == [1]


def test_long_list_of_times_runs(connection: Connection) -> None:
    """A list of thousands of times is no problem to the database."""
    _fill(connection, [{"at": MOMENT} | dict.fromkeys(["text", "size", "flag", "tags", "json"])])
    times = [{"$date": 1_772_366_400_000 + 1_000 * second} for second in range(9_000)]
    assert _selected(connection, parse_criteria({"filters": {"at": {"$in": times}}})) == [1]


def test_largest_numbers_select_nothing(connection: Connection) -> None:
    """What is beyond the last row is no error, however far."""
    _fill(connection, [dict.fromkeys(FIELDS)])
    most = 2**63 - 1
    assert _selected(connection, parse_criteria({"limit": most})) == [1]
    assert _selected(connection, parse_criteria({"limit": most, "skip": most})) == []
    assert _selected(connection, parse_criteria({"filters": {"size": {"$gt": most}}})) == []


def test_prefix_uses_the_index() -> None:
    """An anchored expression becomes a range, for which the database can use an index."""
    criteria = parse_criteria({"filters": {"text": {"$regex": "^ab"}}})
    variant = Variant(belongs=true(), fields=FIELDS)
    statement = apply_criteria(sql_select(ROWS.c.number), criteria, [variant], key=ROWS.c.number)
    compiled = str(statement)
    assert "pulpit_regex" not in compiled
    assert "rows.text >=" in compiled


@pytest.mark.parametrize(
    ("criteria", "statements"),
    [
        ({"filters": {"text": {"$regex": "^a"}, "tags": "b", "size": {"$gt": 1}}, "limit": 2}, 1),
        ({"filters": {"$nor": [{"text": {"$in": ["a", None]}}]}, "sort": [["at", 1]]}, 1),
        ({"filters": {"json.a": 1}}, 2),
        ({"sort": [["json", -1]], "limit": 1}, 2),
    ],
)
def test_python_is_asked_only_for_what_columns_do_not_say(
    postgresql_session: PostgresServer, criteria: dict[str, Any], statements: int
) -> None:
    """On PostgreSQL all else is one statement, with its limit."""
    engine, seen = _postgresql(postgresql_session), list[str]()
    event.listen(engine, "before_cursor_execute", lambda *told: seen.append(told[2]))
    with engine.connect() as connected:
        METADATA.create_all(connected)
        document = {"text": "ab", "tags": ["b"], "size": 2, "json": {"a": 1}}
        _fill(connected, [dict.fromkeys(FIELDS) | document])
        seen.clear()
        assert _selected(connected, parse_criteria(criteria)) == [1]
        assert len(seen) == statements
        if statements == 1:
            assert ("LIMIT" in seen[0]) == ("limit" in criteria)
    engine.dispose()
