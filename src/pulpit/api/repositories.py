"""``/pulp/api/v2/repositories/``: repositories and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.criteria import project
from pulpit.domain.repositories import (
    distributor_document,
    importer_document,
    repository_document,
)
from pulpit.services.distributors import Distributors
from pulpit.services.importers import Importers
from pulpit.services.repositories import Repositories, RepositoryView

__all__ = ["routes"]

_ALL = f"{API}/repositories"
_ONE = f"{_ALL}/{{repo_id}}"


def _document(view: RepositoryView, call: Call) -> dict[str, Any]:
    """Return the repository with as much of its plugins as the query asks for."""
    document = repository_document(view.repository)
    details = call.flag("details")
    if details or call.flag("importers"):
        document["importers"] = [importer_document(one) for one in view.importers]
    if details or call.flag("distributors"):
        document["distributors"] = [distributor_document(one) for one in view.distributors]
    if view.locally_stored_units is not None:
        document["total_repository_units"] = sum(view.repository.content_unit_counts.values())
        document["locally_stored_units"] = view.locally_stored_units
    return document


def routes(
    gate: Gate, repositories: Repositories, importers: Importers, distributors: Distributors
) -> Sequence[Route]:
    """Return the routes of repositories and their actions."""

    def listing(call: Call) -> Response:
        views = repositories.list(details=call.flag("details"))
        return json_response([_document(view, call) for view in views])

    def create(call: Call) -> Response:
        view = repositories.create(call.document)
        document = repository_document(view.repository)
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def search(call: Call) -> Response:
        criteria = call.criteria()
        return json_response(
            [
                project(_search_document(view, call), criteria.fields)
                for view in repositories.search(criteria)
            ],
        )

    def show(call: Call) -> Response:
        view = repositories.get(call.path("repo_id"), details=call.flag("details"))
        return json_response(_document(view, call))

    def update(call: Call) -> Response:
        updated = repositories.update(call.path("repo_id"), call.document)
        status = HTTPStatus.ACCEPTED if updated.postponed else HTTPStatus.OK
        return json_response(updated.report, status)

    def delete(call: Call) -> Response:
        return accepted(repositories.delete(call.path("repo_id")))

    def sync(call: Call) -> Response:
        return accepted(importers.sync(call.path("repo_id"), call.document))

    def publish(call: Call) -> Response:
        return accepted(distributors.publish(call.path("repo_id"), call.document))

    return [
        gate.route(f"{_ALL}/", GET=listing, POST=create),
        gate.route(f"{_ALL}/search/", GET=search, POST=search),
        gate.route(f"{_ONE}/", GET=show, PUT=update, DELETE=delete),
        gate.route(f"{_ONE}/actions/sync/", POST=sync),
        gate.route(f"{_ONE}/actions/publish/", POST=publish),
    ]


def _search_document(view: RepositoryView, call: Call) -> dict[str, Any]:
    """Return a result of a search; by POST the body asks for the plugins, beside the criteria."""
    document = _document(view, call)
    if call.request.method == "POST":
        if call.document.get("importers"):
            document["importers"] = [importer_document(one) for one in view.importers]
        if call.document.get("distributors"):
            document["distributors"] = [distributor_document(one) for one in view.distributors]
    return document
