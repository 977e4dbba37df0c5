"""SQL functions for what SQLite can't judge: JSON by a filter, text by a regular expression."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

import msgspec

from pulpit.domain.filters import Filter, parse_filter
from pulpit.domain.matching import matches, sort_value
from pulpit.domain.regex import Pattern
from pulpit.domain.repositories import masked

__all__ = ["register_functions"]


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a SQLite connection the functions that compiled criteria call."""
    connection.create_function("pulpit_matches", 3, _matches_json, deterministic=True)
    connection.create_function("pulpit_regex", 3, _matches_regex, deterministic=True)
    connection.create_function("pulpit_sort", 3, _sort_json, deterministic=True)
    connection.create_function("pulpit_masked", 1, _masked_json, deterministic=True)


@lru_cache(maxsize=64)
def _condition(document: str) -> Filter:
    """Parse the filter of a statement, which comes again for each row."""
    return parse_filter(msgspec.json.decode(document))


@lru_cache(maxsize=64)
def _pattern(source: str, options: str) -> Pattern:
    """Compile the pattern of a statement, which comes again for each row."""
    return Pattern(source, options)


def _matches_json(text: str | float | None, top: str, condition: str) -> bool:
    """Judge one JSON column by a filter."""
    return matches(_condition(condition), _document(text, top))


def _matches_regex(text: str | None, source: str, options: str) -> bool:
    """Judge one text column by a regular expression."""
    return text is not None and _pattern(source, options).search(text)


def _sort_json(text: str | float | None, name: str, ascending: int) -> float | str | bytes | None:
    """Return what a row sorts by."""
    document = _document(text, name.partition(".")[0])
    return sort_value(document, name, ascending=bool(ascending))


def _masked_json(text: str) -> str:
    """Return a configuration as clients may see it."""
    return msgspec.json.encode(masked(msgspec.json.decode(text))).decode()


def _document(text: str | float | None, top: str) -> dict[str, Any]:
    """Return a document of one field, which holds the JSON text."""
    if text is None:
        return {}
    # SQLite turns the text of a lone number into a number
    return {top: msgspec.json.decode(text) if isinstance(text, str) else text}
