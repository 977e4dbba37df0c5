"""``/pulp/api/v2/plugins/``: what this server can bring in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response
from pulpit.errors import MissingResource
from pulpit.ports import ContentTypes, DistributorType, ImporterType

__all__ = ["routes"]


def routes(gate: Gate, types: ContentTypes) -> Sequence[Route]:
    """Return the routes of plugins."""
    kinds: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
        "types": {str(one["id"]): _unit_type(one) for one in types.unit_types},
        "importers": {key: _plugin(one, "importers") for key, one in types.importers.items()},
        "distributors": {
            key: _plugin(one, "distributors") for key, one in types.distributors.items()
        },
    }

    def listing(kind: str) -> Route:
        def answer(_call: Call) -> Response:
            return json_response(list(kinds[kind].values()))

        return gate.route(f"{API}/plugins/{kind}/", GET=answer)

    def showing(kind: str) -> Route:
        def answer(call: Call) -> Response:
            plugin_id = call.path("plugin_id")
            if plugin_id not in kinds[kind]:
                raise MissingResource(plugin_id=plugin_id)
            return json_response(kinds[kind][plugin_id])

        return gate.route(f"{API}/plugins/{kind}/{{plugin_id}}/", GET=answer)

    return [make(kind) for kind in kinds for make in (listing, showing)]


def _unit_type(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document of a content type."""
    return {"_href": f"{API}/plugins/types/{document['id']}/", **document}


def _plugin(plugin: ImporterType | DistributorType, kind: str) -> Mapping[str, Any]:
    """Return the document of an importer or distributor type."""
    return {
        "_href": f"{API}/plugins/{kind}/{plugin.id}/",
        "id": plugin.id,
        "display_name": plugin.display_name,
        "types": list(plugin.content_types),
    }
