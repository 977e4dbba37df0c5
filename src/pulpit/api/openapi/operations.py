"""What an operation of the API takes and answers, as the description of it names that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

__all__ = [
    "BINARY",
    "JSON",
    "NULL",
    "Operation",
    "Parameter",
    "Schema",
    "accepted",
    "array",
    "created",
    "done",
    "found",
    "or_null",
    "query",
    "ref",
]

#: A JSON Schema.
Schema = Mapping[str, Any]

JSON = "application/json"
BINARY = "application/octet-stream"
NULL: Schema = {"type": "null"}


def ref(name: str) -> Schema:
    """Return the schema that refers to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Schema) -> Schema:
    """Return the schema of the same, or of null."""
    kind = schema.get("type")
    if not schema or kind == "null" or "null" in (kind if isinstance(kind, list) else ()):
        return schema
    if isinstance(kind, str) and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, NULL]}


def array(of: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What the query may hold."""

    name: str
    description: str
    schema: Schema
    #: Whether it may be given more than once.
    repeated: bool = False
    #: Whether its text is JSON, which the schema is about.
    is_json: bool = False


def query(
    name: str,
    description: str,
    schema: Schema | None = None,
    *,
    repeated: bool = False,
    is_json: bool = False,
) -> Parameter:
    """Return a parameter, text if nothing else is said."""
    return Parameter(
        name=name,
        description=description,
        schema=schema or {"type": "string"},
        repeated=repeated,
        is_json=is_json,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    summary: str
    #: Status to the schema of the answer; None for an answer without a body.
    answers: Mapping[HTTPStatus, Schema | None]
    #: The schema of the request's body; None for none.
    body: Schema | None = None
    #: Whether a request without a body is one with an empty object.
    body_is_optional: bool = False
    #: Media type of the body.
    takes: str = JSON
    #: Media type of the answer.
    gives: str = JSON
    parameters: Sequence[Parameter] = ()
    #: Open to everybody.
    public: bool = False
    #: What the answer's headers tell, beside those that all have.
    headers: Sequence[str] = field(default_factory=tuple)


def found(summary: str, schema: Schema, **more: Any) -> Operation:
    """Return an operation that answers 200 with what there is."""
    return Operation(summary=summary, answers={HTTPStatus.OK: schema}, **more)


def done(summary: str, **more: Any) -> Operation:
    """Return an operation that answers 200 with null."""
    return found(summary, NULL, **more)


def created(summary: str, schema: Schema, **more: Any) -> Operation:
    """Return an operation that answers 201, and tells where what was made is."""
    answers = {HTTPStatus.CREATED: schema}
    return Operation(summary=summary, answers=answers, headers=["Location"], **more)


def accepted(summary: str, **more: Any) -> Operation:
    """Return an operation that answers 202 with the report of the task that does it."""
    return Operation(summary=summary, answers={HTTPStatus.ACCEPTED: ref("CallReport")}, **more)
