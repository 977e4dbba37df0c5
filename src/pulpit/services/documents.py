"""Checks of the JSON objects that clients send."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from pulpit.errors import InvalidValue, MissingValue, NotJson, UnsupportedValue, WrongJsonType

__all__ = [
    "SEARCH",
    "as_object",
    "checked_id",
    "optional",
    "parse_json",
    "refuse_unknown",
    "required",
]

_T = TypeVar("_T")

#: Lists and objects within each other; what is deeper could not be copied or written again.
_DEPTH = 64
#: Characters of an id; Pulp 2's database could not index much longer ones.
_ID_LENGTH = 255
#: Where searches are, beside the paths of those things that can be searched.
SEARCH = frozenset({"search"})
_NOT_JSON = "The body of the request is not valid JSON"


def parse_json(body: bytes) -> Any:
    """Return the JSON value of a request's body; None for an empty one.

    Raises:
        NotJson: it is something else, or holds what a database can't: NUL in a text, or too many
            values within each other.
    """
    if not body.strip():
        return None
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"{_NOT_JSON}: {error}") from error
    _check(document, may_hold_nul=b"\\u0000" in body)
    return document


def _check(document: Any, *, may_hold_nul: bool) -> None:
    """Raise NotJson for what can't be kept."""
    kinds = (list, dict, str) if may_hold_nul else (list, dict)
    level = [document]
    for _ in range(_DEPTH):
        _refuse_nul(level)
        parts = (part for one in level for part in _parts(one, with_keys=may_hold_nul))
        level = [part for part in parts if isinstance(part, kinds)]
        if not level:
            return
    _refuse_nul(level)
    if any(isinstance(one, list | dict) for one in level):
        raise NotJson(f"{_NOT_JSON}: it nests more than {_DEPTH} deep")


def _refuse_nul(level: Iterable[Any]) -> None:
    if any(isinstance(one, str) and "\0" in one for one in level):
        raise NotJson(f"{_NOT_JSON}: a text holds the character NUL")


def _parts(value: Any, *, with_keys: bool) -> Iterable[Any]:
    """Return what is in a list or an object."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return (*value, *value.values()) if with_keys else value.values()
    return ()


def as_object(document: Any) -> Mapping[str, Any]:
    """Return the document, which must be a JSON object.

    Raises:
        WrongJsonType: it is not.
    """
    if not isinstance(document, Mapping):
        raise WrongJsonType
    return document


def checked_id(
    value: str, name: str, pattern: re.Pattern[str], *, holds: str, reserved: Collection[str] = ()
) -> str:
    """Return an id that a client has chosen.

    Args:
        value: the id.
        name: the property that holds it.
        pattern: what it must match as a whole.
        holds: what an id may hold, as a person would say it.
        reserved: what stands in the place of an id in paths of the API, and so can't be one.

    Raises:
        InvalidValue: it is too long, is reserved, or holds something else.
    """
    if value in reserved:
        raise InvalidValue(name, why=f"{value} stands for something else in the API")
    if len(value) > _ID_LENGTH or not pattern.fullmatch(value):
        raise InvalidValue(name, why=f"use at most {_ID_LENGTH} {holds}")
    return value


def refuse_unknown(document: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise UnsupportedValue if the object has keys that are not known."""
    if unknown := sorted(set(document) - set(known)):
        raise UnsupportedValue(*unknown)


def required(document: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    """Return the value of *name*.

    Raises:
        MissingValue: it is absent or null.
        InvalidValue: it is of another type than *kind*.
    """
    value = optional(document, name, kind)
    if value is None:
        raise MissingValue(name)
    return value


def optional(document: Mapping[str, Any], name: str, kind: type[_T]) -> _T | None:
    """Return the value of *name*, None if it is absent or null; or raise InvalidValue."""
    value = document.get(name)
    if value is None:
        return None
    # a JSON true is no number, whatever Python thinks
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidValue(name, why=f"must be {_JSON_NAMES[kind]}")
    return value


_JSON_NAMES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
