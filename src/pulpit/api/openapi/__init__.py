"""``/pulpit/v1/openapi.json``: the API for machines, as a document of OpenAPI 3.1."""

from __future__ import annotations

from pulpit.api.openapi.document import OPENAPI, openapi, routes

__all__ = ["OPENAPI", "openapi", "routes"]
