"""Criteria of searches: what is understood, what is refused, and what they select."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pulpit.domain.criteria import (
    Criteria,
    criteria_from_query,
    parse_criteria,
    project,
    select,
)
from pulpit.domain.filters import EVERYTHING, parse_filter
from pulpit.domain.matching import matches
from pulpit.errors import InvalidValue, NotJson, RequestError, UnsupportedValue, WrongJsonType

NOON = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
DOCUMENT = {
    "id": "zoo",
    "_id": {"$oid": "5e1f"},
    "tags": ["pulp:repository:zoo", "pulp:action:sync"],
    "finish_time": NOON,
    "start_time": None,
    "count": 3,
    "flag": True,
    "notes": {"owner": "anna", "empty": None, "deep": [{"a": 1, "b": None}, {"a": 2}], "n": [1, 5]},
}


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"id": "zoo"},
        {"id": {"$eq": "zoo"}},
        {"id": {"$ne": "bear"}},
        {"id": {"$in": ["a", "zoo"]}},
        {"id": {"$nin": ["a"]}},
        {"id": {"$regex": "^z"}},
        {"id": {"$regex": "^Z", "$options": "i"}},
        {"id": {"$not": {"$regex": "^b"}}},
        {"_id": {"$oid": "5e1f"}},
        {"_id": "5e1f"},
        {"_id": {"$in": [{"$oid": "5e1f"}]}},
        {"tags": "pulp:action:sync"},
        {"tags": {"$ne": "pulp:action:publish"}},
        {"tags": ["pulp:repository:zoo", "pulp:action:sync"]},
        {"tags": {"$regex": "sync$"}},
        {"start_time": None},
        {"start_time": {"$exists": False}},
        {"finish_time": {"$exists": True}},
        {"finish_time": {"$gte": {"$date": "2026-03-01T12:00:00Z"}}},
        {"finish_time": {"$lte": {"$date": "2026-03-01T12:00:00Z"}}},
        {"finish_time": "2026-03-01T12:00:00Z"},
        {"finish_time": {"$gt": "2026-03-01T11:59:59Z"}},
        {"finish_time": {"$lt": {"$date": 1772366401000}}},
        {"count": {"$gt": 2, "$lt": 4}},
        {"count": 3.0},
        {"flag": True},
        {"flag": {"$ne": 1}},
        {"notes.owner": "anna"},
        {"notes.nobody": None},
        {"notes.empty": {"$exists": True}},
        {"notes.nobody": {"$exists": False}},
        {"notes.deep.a": 2},
        {"notes.deep.1.a": 2},
        {"notes.deep.b": None},
        {"notes.n": {"$gt": 4}},
        {"notes.n": [1, 5]},
        {"notes.deep": {"a": 2}},
        {"$or": [{"id": "bear"}, {"count": 3}]},
        {"$and": [{"id": "zoo"}, {"count": 3}]},
        {"$nor": [{"id": "bear"}, {"count": 4}]},
        {"$not": {"id": "bear"}},
    ],
)
def test_matches(filters: dict[str, Any]) -> None:
    """Each filter matches the document, and its negation does not."""
    assert matches(parse_filter(filters), DOCUMENT)
    assert not matches(parse_filter({"$not": filters}), DOCUMENT)


@pytest.mark.parametrize(
    "filters",
    [
        {"id": "Zoo"},
        {"id": 3},
        {"id": {"$gt": 3}},
        {"count": "3"},
        {"count": True},
        {"flag": 1},
        {"start_time": {"$lt": {"$date": "2030-01-01T00:00:00Z"}}},
        {"finish_time": {"$gt": {"$date": "2026-03-01T12:00:00Z"}}},
        {"finish_time": "no time"},
        {"id.x": "zoo"},
        {"notes.deep.0": {"a": 2}},
        {"notes": {"owner": "anna"}},
        {"$or": [{"id": "bear"}]},
        {"notes.owner": {"$regex": "^A"}},
        {"unknown": "x"},
    ],
)
def test_does_not_match(filters: dict[str, Any]) -> None:
    """None of these filters matches the document."""
    assert not matches(parse_filter(filters), DOCUMENT)


def _nested(depth: int) -> dict[str, Any]:
    filters: dict[str, Any] = {"id": "zoo"}
    for _ in range(depth):
        filters = {"$and": [filters]}
    return filters


@pytest.mark.parametrize(
    ("filters", "error", "named"),
    [
        ([], InvalidValue, "filters"),
        ("id", InvalidValue, "filters"),
        ({"$where": "1"}, UnsupportedValue, "$where"),
        ({"id": {"$size": 1}}, UnsupportedValue, "$size"),
        ({"id": {"$in": "zoo"}}, InvalidValue, "id"),
        ({"id": {"$in": ["a"] * 10_001}}, InvalidValue, "id"),
        ({"id": {"$regex": "("}}, InvalidValue, "id"),
        ({"id": {"$regex": "a" * 1_001}}, InvalidValue, "id"),
        ({"id": {"$regex": 3}}, InvalidValue, "id"),
        ({"id": {"$regex": "a", "$options": "x"}}, InvalidValue, "id"),
        ({"id": {"$options": "i"}}, InvalidValue, "id"),
        ({"id": {"$gt": None}}, InvalidValue, "id"),
        ({"id": {"$gt": [1]}}, InvalidValue, "id"),
        ({"id": {"$not": "zoo"}}, InvalidValue, "id"),
        ({"id": {"$date": "soon"}}, InvalidValue, "id"),
        ({"id": {"$date": True}}, InvalidValue, "id"),
        ({"id": {"$date": 1e300}}, InvalidValue, "id"),
        ({"id": 2**63}, InvalidValue, "id"),
        ({"id": float("nan")}, InvalidValue, "id"),
        ({"id": "a\0"}, InvalidValue, "id"),
        ({"id": "\ud800"}, InvalidValue, "id"),
        ({"": 1}, InvalidValue, "filters"),
        ({"a..b": 1}, InvalidValue, "filters"),
        ({"a" * 501: 1}, InvalidValue, "filters"),
        ({"$or": []}, InvalidValue, "$or"),
        ({"$or": {}}, InvalidValue, "$or"),
        ({"$or": [{"id": "a"}] * 1_001}, InvalidValue, "id"),
        (_nested(10), InvalidValue, "$and"),
        (_nested(1_000), InvalidValue, "$and"),
    ],
)
def test_bad_filters_are_refused(filters: Any, error: type[RequestError], named: str) -> None:
    """A bad filter raises the error that fits, which names what is wrong."""
    with pytest.raises(error) as caught:
        parse_criteria({"filters": filters})
    assert named in next(iter(caught.value.legacy().values()))


def test_deep_values_are_refused() -> None:
    """Neither values nor negations nest without end."""
    value: Any = 1
    operators: Any = {"$eq": 1}
    for _ in range(20):
        value, operators = [value], {"$not": operators}
    for filters in ({"id": value}, {"id": operators}):
        with pytest.raises(InvalidValue):
            parse_criteria({"filters": filters})


@pytest.mark.parametrize(
    ("criteria", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": 2**63}, "limit"),
        ({"limit": "9" * 5_000}, "limit"),
        ({"skip": -1}, "skip"),
        ({"skip": 1.5}, "skip"),
        ({"sort": "id"}, "sort"),
        ({"sort": [["id"]]}, "sort"),
        ({"sort": [["id", "up"]]}, "sort"),
        ({"sort": [["id", []]]}, "sort"),
        ({"sort": [["$id", "ascending"]]}, "sort"),
        ({"fields": "id"}, "fields"),
        ({"fields": [1]}, "fields"),
    ],
)
def test_bad_parts_are_refused(criteria: dict[str, Any], named: str) -> None:
    """A bad limit, skip, sort or fields raises InvalidValue, which names it."""
    with pytest.raises(InvalidValue) as caught:
        parse_criteria(criteria)
    assert caught.value.names == (named,)


def test_criteria_must_be_an_object_of_known_properties() -> None:
    """What is no object, or has unknown properties, is refused."""
    with pytest.raises(WrongJsonType):
        parse_criteria(["filters"])
    with pytest.raises(UnsupportedValue) as caught:
        parse_criteria({"filter": {}})
    assert caught.value.names == ("filter",)


def test_criteria_are_parsed() -> None:
    """Every part of criteria arrives, in the forms that clients use."""
    assert parse_criteria({}) == Criteria()
    assert parse_criteria({}).where == EVERYTHING
    assert parse_criteria({"filters": None, "limit": None, "fields": []}) == Criteria()
    parsed = parse_criteria(
        {
            "filters": {"id": "zoo"},
            "sort": [["id", "ascending"], ["n", -1]],
            "limit": "20",
            "skip": 3,
            "fields": ["id", "notes.a"],
        }
    )
    assert parsed == Criteria(
        filters={"id": "zoo"},
        sort=(("id", True), ("n", False)),
        limit=20,
        skip=3,
        fields=("id", "notes.a"),
    )


def test_query_is_parsed() -> None:
    """A search by GET names fields, limits and values."""
    pairs = [("field", "id"), ("field", "state"), ("limit", "5"), ("id", "a"), ("id", "b")]
    assert criteria_from_query(pairs) == Criteria(
        filters={"id": {"$in": ["a", "b"]}}, limit=5, fields=("id", "state")
    )
    pairs = [("filters", '{"n": 1}'), ("state", "running"), ("sort", '[["id", "descending"]]')]
    assert criteria_from_query(pairs) == Criteria(
        filters={"$and": [{"state": "running"}, {"n": 1}]}, sort=(("id", False),)
    )
    assert criteria_from_query([]) == Criteria()


@pytest.mark.parametrize("name", ["filters", "sort"])
def test_query_that_is_no_json_is_refused(name: str) -> None:
    """JSON within a query must be JSON, and not nested without end."""
    for text in ("{", "[" * 100_000):
        with pytest.raises(NotJson):
            criteria_from_query([(name, text)])
    for text in ("3", "0", '""', "false"):
        with pytest.raises(InvalidValue):
            criteria_from_query([(name, text)])


def test_filters_of_a_query_that_are_no_object_are_refused() -> None:
    """What is empty is not mistaken for no filter, which would find everything."""
    with pytest.raises(InvalidValue):
        criteria_from_query([("filters", "[]")])
    for text in ("null", "{}"):
        assert criteria_from_query([("filters", text)]) == Criteria()


def _numbers(documents: list[dict[str, Any]], **criteria: Any) -> list[int]:
    return [document["n"] for document in select(documents, parse_criteria(criteria), dict)]


def test_select_sorts_skips_and_limits() -> None:
    """What is absent comes first, then numbers, then text; equal ones keep their order."""
    documents: list[dict[str, Any]] = [
        {"n": 1, "by": "b", "at": NOON},
        {"n": 2, "by": 7},
        {"n": 3},
        {"n": 4, "by": "a", "at": NOON.replace(year=2020)},
        {"n": 5, "by": ["z", "A"]},
        {"n": 6, "by": 7.5},
        {"n": 7, "by": None},
    ]
    assert _numbers(documents, sort=[["by", "ascending"]]) == [3, 7, 2, 6, 5, 4, 1]
    assert _numbers(documents, sort=[["by", "descending"]]) == [5, 1, 4, 6, 2, 3, 7]
    assert _numbers(documents, sort=[["at", "descending"]], limit=2) == [1, 4]
    assert _numbers(documents, filters={"n": {"$gt": 1}}, skip=2, limit=3) == [4, 5, 6]
    assert _numbers(documents, sort=[["x", "ascending"], ["n", "descending"]], limit=1) == [7]


def test_project_returns_only_the_fields() -> None:
    """The fields that were asked for come back, and nothing else."""
    assert project(DOCUMENT, None) == DOCUMENT
    assert project(DOCUMENT, ["id", "unknown"]) == {"id": "zoo"}
    assert project(DOCUMENT, ["notes.owner", "notes.deep.a"]) == {
        "notes": {"owner": "anna", "deep": [{"a": 1}, {"a": 2}]}
    }
    assert project(DOCUMENT, ["notes", "notes.owner"]) == {"notes": DOCUMENT["notes"]}
