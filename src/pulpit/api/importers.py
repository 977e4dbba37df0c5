"""``/pulp/api/v2/repositories/<id>/importers/``."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.repositories import importer_document
from pulpit.services.importers import Importers

__all__ = ["routes"]

_ALL = f"{API}/repositories/{{repo_id}}/importers"


def routes(gate: Gate, importers: Importers) -> Sequence[Route]:
    """Return the routes of importers."""

    def listing(call: Call) -> Response:
        return json_response([importer_document(one) for one in importers.list(_repo(call))])

    def add(call: Call) -> Response:
        return accepted(importers.set(_repo(call), call.document))

    def show(call: Call) -> Response:
        return json_response(importer_document(importers.get(_repo(call), _importer(call))))

    def update(call: Call) -> Response:
        return accepted(importers.update(_repo(call), _importer(call), call.document))

    def remove(call: Call) -> Response:
        return accepted(importers.remove(_repo(call), _importer(call)))

    return [
        gate.route(f"{_ALL}/", GET=listing, POST=add),
        gate.route(f"{_ALL}/{{importer_id}}/", GET=show, PUT=update, DELETE=remove),
    ]


def _repo(call: Call) -> str:
    return call.path("repo_id")


def _importer(call: Call) -> str:
    return call.path("importer_id")
