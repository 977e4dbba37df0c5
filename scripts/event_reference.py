"""The generated files of docs/reference that describe events and the API to machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pulpit.api.openapi import openapi
from pulpit.events.asyncapi import Servers, asyncapi
from pulpit.events.schemas import SCHEMAS, schema

__all__ = ["asyncapi_document", "event_files", "openapi_file", "schema_document"]

#: A server that stands for all.
_SERVERS = Servers(
    source="https://pulp.example.com",
    brokers=["amqps://broker.example.com"],
    door=("pulp.example.com", 5672),
    listener_brokers=["amqps://broker.example.com"],
)


def asyncapi_document() -> dict[str, Any]:
    """Return the AsyncAPI document of the example server."""
    return asyncapi(_SERVERS)


def schema_document(name: str) -> dict[str, Any]:
    """Return a schema of the example server."""
    return schema(name, source=_SERVERS.source)


def event_files() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield name and contents of each file, below the folder of the reference."""
    yield "asyncapi.json", lambda: _text(asyncapi_document())
    for name in SCHEMAS:
        yield f"schemas/{name}.json", partial(_schema_text, name)


def openapi_file() -> str:
    """Return the description of the API."""
    return _text(openapi())


def _schema_text(name: str) -> str:
    return _text(schema_document(name))


def _text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
