"""Checks of the JSON objects that clients send."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pulpit.errors import InvalidValue, MissingValue, UnsupportedValue, WrongJsonType

__all__ = ["as_object", "optional", "refuse_unknown", "required"]

_T = TypeVar("_T")


def as_object(document: Any) -> Mapping[str, Any]:
    """Return the document, which must be a JSON object.

    Raises:
        WrongJsonType: it is not.
    """
    if not isinstance(document, Mapping):
        raise WrongJsonType
    return document


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
