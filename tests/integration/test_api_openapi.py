"""The OpenAPI document: it describes every route, and the answers are as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jsonschema import Draft202012Validator
from starlette.routing import Route

from pulpit.api.openapi import OPENAPI, openapi
from tests.api_site import Site


def _routes(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the path of each route, as OpenAPI writes it, and its methods."""
    for route in site.app.routes:
        assert isinstance(route, Route)
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        for method in (route.methods or set()) - {"HEAD"}:
            yield path, method.lower()


def test_every_route_is_described(site: Site) -> None:
    """And nothing that is not there."""
    described = {
        (path, method) for path, methods in openapi()["paths"].items() for method in methods
    }
    assert described == {*_routes(site)}


def test_the_document_is_served_to_everybody(site: Site) -> None:
    """With a tag, by which nobody reads it twice."""
    answer = site.ask("GET", OPENAPI, auth=None)
    assert answer.json() == openapi()
    again = site.ask("GET", OPENAPI, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_references_lead_somewhere() -> None:
    """Names are used once, schemas are schemas, and each that is referred to is there."""
    document = openapi()
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    named = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert named <= schemas.keys()
    names = [one["operationId"] for of in document["paths"].values() for one in of.values()]
    assert len(names) == len(set(names))
