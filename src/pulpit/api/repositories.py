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
from pulpit.services.documents import optional
from pulpit.services.importers import Importers
from pulpit.services.repositories import Repositories, RepositoryView

__all__ = ["routes"]

_ALL = f"{API}/repositories"
_ONE = f"{_ALL}/{{repo_id}}"


def _document(view: RepositoryView, call: Call) -> dict[str, Any]:
    """Return the repository with as much of its plugins as the query asks for."""
    details = call.flag("details")
    document = repository_document(view.repository) | _plugins(
        view,
        importers=details or call.flag("importers"),
        distributors=details or call.flag("distributors"),
    )
    if view.locally_stored_units is not None:
        document["total_repository_units"] = sum(view.repository.content_unit_counts.values())
        document["locally_stored_units"] = view.locally_stored_units
    return document


def _plugins(view: RepositoryView, *, importers: bool, distributors: bool) -> dict[str, Any]:
    """Return what is wanted of importers and distributors."""
    wanted: dict[str, Any] = {}
    if importers:
        wanted["importers"] = [importer_document(one) for one in view.importers]
    if distributors:
        wanted["distributors"] = [distributor_document(one) for one in view.distributors]
    return wanted


def _wanted_plugins(call: Call) -> dict[str, bool]:
    """Return which plugins a search wants: by POST the body says so, beside the criteria."""
    kinds = ("importers", "distributors")
    if call.request.method != "POST":
        return {kind: call.flag(kind) for kind in kinds}
    return {kind: optional(call.document, kind, bool) or False for kind in kinds}


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
        criteria, wanted = call.criteria(), _wanted_plugins(call)
        return json_response(
            [
                project(repository_document(view.repository), criteria.fields)
                | _plugins(view, **wanted)
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
