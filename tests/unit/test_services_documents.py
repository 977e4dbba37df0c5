"""Checks of what clients send."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulpit.errors import InvalidValue, MissingValue, NotJson, UnsupportedValue, WrongJsonType
from pulpit.services.documents import (
    as_object,
    checked_id,
    optional,
    parse_json,
    refuse_unknown,
    required,
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode()))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    """Whatever comes, there is a value or the one error for it, and never half of one."""
    try:
        value = parse_json(body)
    except NotJson:
        return
    assert value is None or json.loads(body) == value


@given(_JSON.filter(lambda value: value not in (float("inf"), float("-inf"))))
def test_json_comes_back(value: Any) -> None:
    """Valid JSON is read as Python reads it, but for NUL, which no database holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=True)
    if "Infinity" in text or "\\u0000" in text or "\ud800" <= max(text) <= "\udfff":
        return
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return
    assert parse_json(body) == json.loads(text)


@pytest.mark.parametrize("body", [b"", b" \n", b"null"])
def test_nothing_is_none(body: bytes) -> None:
    """An empty body is as good as null."""
    assert parse_json(body) is None


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (r'"a\\u0000"', True),
        (r'"a\u0000"', False),
        (r'["a", {"b": "\u0000"}]', False),
        (r'[{"\u0000": 1}, "\\u0000"]', False),
        (r'{"a": "\\\u0000"}', False),
        ("[" * 64 + "]" * 64, True),
        ("[" * 65 + "]" * 65, False),
        ('{"a":' * 64 + "1" + "}" * 64, True),
        ('{"a":' * 65 + "1" + "}" * 65, False),
        ('{"a":' * 900 + "1" + "}" * 900, False),
        (r'{"\\u0000":' * 64 + "1" + "}" * 64, True),
    ],
)
def test_what_no_database_holds_is_refused(text: str, accepted: bool) -> None:
    """NUL in a text or a key, and too many values within each other; no more than that."""
    if accepted:
        assert parse_json(text.encode()) == json.loads(text)
    else:
        with pytest.raises(NotJson):
            parse_json(text.encode())


@pytest.mark.parametrize("value", [None, [], [{}], "a", 1, True, 1.5])
def test_only_an_object_is_one(value: Any) -> None:
    """Other JSON is told to be of the wrong type."""
    with pytest.raises(WrongJsonType):
        as_object(value)
    assert as_object({"a": value}) == {"a": value}


def test_unknown_keys_are_named() -> None:
    """All of them, sorted."""
    refuse_unknown({"a": 1}, ("a", "b"))
    with pytest.raises(UnsupportedValue) as caught:
        refuse_unknown({"d": 1, "a": 1, "c": None}, ("a", "b"))
    assert caught.value.names == ("c", "d")


@pytest.mark.parametrize(
    ("value", "kind", "accepted"),
    [
        ("a", str, True),
        ("", str, True),
        (1, str, False),
        (1, int, True),
        (True, int, False),
        (False, bool, True),
        (0, bool, False),
        ({}, dict, True),
        ([], dict, False),
        ([], list, True),
        ("a", list, False),
    ],
)
def test_values_are_of_their_type(value: Any, kind: type, accepted: bool) -> None:
    """A value of another JSON type is invalid; true is no number."""
    for check in (optional, required):
        if accepted:
            assert check({"a": value}, "a", kind) == value
        else:
            with pytest.raises(InvalidValue) as caught:
                check({"a": value}, "a", kind)
            assert caught.value.names == ("a",)


@pytest.mark.parametrize("document", [{}, {"a": None}])
def test_absent_is_none_or_missing(document: dict[str, Any]) -> None:
    """Null is as good as absent."""
    assert optional(document, "a", str) is None
    with pytest.raises(MissingValue) as caught:
        required(document, "a", str)
    assert caught.value.names == ("a",)


@pytest.mark.parametrize(
    ("value", "accepted"),
    [("a", True), ("a" * 255, True), ("a" * 256, False), ("", False), ("a\n", False), ("A", False)],
)
def test_ids_are_checked_whole(value: str, accepted: bool) -> None:
    """An id must match from its first to its last character, and have at most 255."""
    pattern = re.compile("[a-z]+")
    if accepted:
        assert checked_id(value, "id", pattern, holds="letters") == value
    else:
        with pytest.raises(InvalidValue, match="at most 255 letters"):
            checked_id(value, "id", pattern, holds="letters")
