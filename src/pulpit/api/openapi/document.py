"""The document itself, made of the tables of operations and the schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.openapi.components import components
from pulpit.api.openapi.operations import JSON, NULL, Operation, Parameter, Schema, or_null, ref
from pulpit.api.openapi.own import OWN
from pulpit.api.openapi.pulp2 import PULP2
from pulpit.api.schemas import cached
from pulpit.api.web import API, Call, Gate

__all__ = ["OPENAPI", "openapi", "routes"]

OPENAPI = "/pulpit/v1/openapi.json"
_PARAMETER = re.compile(r"\{(\w+)\}")
#: What a part of a path may be; the others are any text without a slash.
_PATH_PARTS: Mapping[str, Mapping[str, Any]] = {
    "offset": {"type": "integer", "minimum": 0},
    "path": {"type": "string"},
}
_PART: Mapping[str, Any] = {"type": "string", "pattern": "^[^/]+$", "minLength": 1}
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Path of what was made."}}


def openapi() -> dict[str, Any]:
    """Return the document of OpenAPI 3.1 that describes every route of this server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pulpit",
            "version": version("pulpit"),
            "description": "Pulp 2's API, and the events of its tasks.",
        },
        "paths": {
            path: {method.lower(): _described(path, method, one) for method, one in methods.items()}
            for path, methods in _paths()
        },
        "components": {
            "schemas": components(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{"basic": []}, {"token": []}],
    }


def routes(gate: Gate) -> Sequence[Route]:
    """Return the route of the document, which is open to everybody."""

    def show(call: Call) -> Response:
        return cached(call, openapi(), JSON)

    return [gate.route(OPENAPI, public=True, GET=show)]


def _paths() -> Iterator[tuple[str, Mapping[str, Operation]]]:
    """Yield every path with its methods."""
    for path, methods in PULP2.items():
        yield f"{API}/{path}", methods
    yield from OWN.items()


def _described(path: str, method: str, operation: Operation) -> dict[str, Any]:
    """Return how an operation is described."""
    described: dict[str, Any] = {
        "operationId": _name(path, method),
        "summary": operation.summary,
        "tags": [_noun(path)],
        "parameters": [
            *(_path_part(name) for name in _PARAMETER.findall(path)),
            *map(_parameter, operation.parameters),
        ],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.body_is_optional,
            "content": {operation.takes: {"schema": _sent(operation.body, operation)}},
        }
    if operation.public:
        described["security"] = []
    return described


def _sent(body: Schema, operation: Operation) -> Schema:
    """Return what the body may be: null where none is needed."""
    return or_null(body) if operation.body_is_optional else body


def _responses(operation: Operation) -> dict[str, Any]:
    """Return the answers: those of success one by one, and those that refuse."""
    answers = {
        str(int(status)): {
            "description": status.phrase,
            **({} if schema is None else {"content": {operation.gives: {"schema": schema}}}),
            **({"headers": _LOCATION} if "Location" in operation.headers else {}),
        }
        for status, schema in operation.answers.items()
    }
    error = {"schema": {"oneOf": [ref("Error"), NULL]}}
    refusal = {"content": {JSON: error, "text/plain": {"schema": {"type": "string"}}}}
    return {
        **answers,
        "4XX": {"description": "It can't be done; the error says what to change.", **refusal},
        "503": {"description": "It can't be done now.", **refusal},
    }


def _path_part(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _PATH_PARTS.get(name, _PART)}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.schema
    described = {"name": parameter.name, "in": "query", "description": parameter.description}
    if parameter.is_json:
        return {**described, "content": {JSON: {"schema": schema}}}
    return {
        **described,
        "schema": {"type": "array", "items": schema} if parameter.repeated else schema,
    }


def _name(path: str, method: str) -> str:
    """Return the operation's name, which no other one has."""
    words = re.findall(r"\w+", path.removeprefix(f"{API}/").removeprefix("/pulpit/v1/"))
    prefix = "own_" if path.startswith("/pulpit/") else ""
    return f"{method.lower()}_{prefix}{'_'.join(words)}"


def _noun(path: str) -> str:
    """Return what the path is about, by its first word."""
    return path.removeprefix(API).removeprefix("/pulpit/v1").strip("/").partition("/")[0]
