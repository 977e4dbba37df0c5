"""``/pulpit/v1/schemas/`` and ``/pulpit/v1/asyncapi.json``: the event plane for machines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import Call, Gate
from pulpit.errors import MissingResource
from pulpit.events.asyncapi import Servers, asyncapi
from pulpit.events.cloudevents import SCHEMAS_PATH, schema_path
from pulpit.events.schemas import BODIES, SCHEMAS, schema

__all__ = ["ASYNCAPI", "cached", "routes"]

ASYNCAPI = "/pulpit/v1/asyncapi.json"
_SCHEMA_TYPE = "application/schema+json"
_ASYNCAPI_TYPE = "application/vnd.aai.asyncapi+json;version=3.0.0"
#: Seconds for which a copy may be used without asking.
_FRESH = 300


def routes(gate: Gate, servers: Callable[[], Servers]) -> Sequence[Route]:
    """Return the routes of schemas and the AsyncAPI document, for everybody.

    Args:
        gate: answers in the one form of errors.
        servers: tells where events can be had now.
    """

    def index(call: Call) -> Response:
        listed = [
            {"type": name, "is_event": name in BODIES, "_href": schema_path(name)}
            for name in SCHEMAS
        ]
        return cached(call, {"asyncapi": ASYNCAPI, "schemas": listed}, "application/json")

    def show(call: Call) -> Response:
        name = call.path("name")
        if name not in SCHEMAS:
            raise MissingResource(schema=name)
        return cached(call, schema(name, source=servers().source), _SCHEMA_TYPE)

    def describe(call: Call) -> Response:
        return cached(call, asyncapi(servers()), _ASYNCAPI_TYPE)

    return [
        gate.route(SCHEMAS_PATH, public=True, GET=index),
        gate.route(schema_path("{name}"), public=True, GET=show),
        gate.route(ASYNCAPI, public=True, GET=describe),
    ]


def cached(call: Call, document: Mapping[str, object], media_type: str) -> Response:
    """Return the document with what caches need; a 304 to who has it already."""
    body = msgspec.json.encode(document)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={_FRESH}"}
    known = {
        one.strip().removeprefix("W/")
        for one in call.request.headers.get("if-none-match", "").split(",")
    }
    if known & {tag, "*"}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
