"""``/pulp/api/v2/repositories/<id>/distributors/`` and the search over all distributors."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.criteria import project
from pulpit.domain.repositories import distributor_document
from pulpit.services.distributors import Distributors

__all__ = ["routes"]

_ALL = f"{API}/repositories/{{repo_id}}/distributors"


def routes(gate: Gate, distributors: Distributors) -> Sequence[Route]:
    """Return the routes of distributors."""

    def search(call: Call) -> Response:
        criteria = call.criteria()
        found = distributors.search(criteria)
        return json_response([project(document, criteria.fields) for document in found])

    def listing(call: Call) -> Response:
        return json_response([distributor_document(one) for one in distributors.list(_repo(call))])

    def add(call: Call) -> Response:
        document = distributor_document(distributors.add(_repo(call), call.document))
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def show(call: Call) -> Response:
        found = distributors.get(_repo(call), _distributor(call))
        return json_response(distributor_document(found))

    def update(call: Call) -> Response:
        return accepted(distributors.update(_repo(call), _distributor(call), call.document))

    def remove(call: Call) -> Response:
        return accepted(distributors.remove(_repo(call), _distributor(call)))

    return [
        gate.route(f"{API}/distributors/search/", GET=search, POST=search),
        gate.route(f"{_ALL}/", GET=listing, POST=add),
        gate.route(f"{_ALL}/{{distributor_id}}/", GET=show, PUT=update, DELETE=remove),
    ]


def _repo(call: Call) -> str:
    return call.path("repo_id")


def _distributor(call: Call) -> str:
    return call.path("distributor_id")
