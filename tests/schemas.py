"""What the tests check documents of the event plane with."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from pulpit.events.schemas import schema

__all__ = ["SOURCE", "assert_told", "assert_valid", "errors_in", "validator_of"]

#: URL of a server.
SOURCE = "https://pulp.example.com/"


def validator_of(document: Any) -> Draft202012Validator:
    """Return what validates by a schema, which must be one itself; no reference leaves it."""
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document, format_checker=Draft202012Validator.FORMAT_CHECKER)


@cache
def _validator(name: str) -> Draft202012Validator:
    return validator_of(schema(name, source=SOURCE))


def errors_in(name: str, document: Any) -> list[str]:
    """Return what the schema of that name has against a document."""
    return [
        f"{error.json_path}: {error.message}" for error in _validator(name).iter_errors(document)
    ]


def assert_valid(name: str, document: Any) -> None:
    """Fail with what the schema of that name has against a document."""
    assert errors_in(name, document) == []


@cache
def _closed_validator(name: str) -> Draft202012Validator:
    """Return what validates by the schema, and refuses keys of its types that it doesn't name."""
    document = copy.deepcopy(schema(name, source=SOURCE))
    for part in (document, *document["$defs"].values()):
        part["additionalProperties"] = False
    return validator_of(document)


def assert_told(name: str, document: Any) -> None:
    """Fail with what the schema has against a document of this server, which adds no keys."""
    errors = _closed_validator(name).iter_errors(document)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
