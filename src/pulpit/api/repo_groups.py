"""``/pulp/api/v2/repo_groups/``: groups of repositories."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import Call, Gate, json_response
from pulpit.domain.criteria import project
from pulpit.domain.permissions import Operation
from pulpit.domain.repo_groups import REPO_GROUPS_HREF, repo_group_document
from pulpit.services.repo_groups import RepoGroups, Visible

__all__ = ["routes"]

_ONE = f"{REPO_GROUPS_HREF}{{group_id}}/"


def routes(gate: Gate, groups: RepoGroups) -> Sequence[Route]:
    """Return the routes of groups of repositories."""

    def listing(_call: Call) -> Response:
        return json_response([repo_group_document(group) for group in groups.list()])

    def create(call: Call) -> Response:
        group = groups.create(call.document, visible=_visible(call))
        document = {**repo_group_document(group), "distributors": []}
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def search(call: Call) -> Response:
        criteria = call.criteria()
        found = groups.search(criteria)
        return json_response([project(document, criteria.fields) for document in found])

    def show(call: Call) -> Response:
        return json_response(repo_group_document(groups.get(_group(call))))

    def update(call: Call) -> Response:
        return json_response(repo_group_document(groups.update(_group(call), call.document)))

    def delete(call: Call) -> Response:
        groups.delete(_group(call))
        return json_response(None)

    def associate(call: Call) -> Response:
        visible = _visible(call)
        return json_response(groups.associate(_group(call), call.document, visible=visible))

    def unassociate(call: Call) -> Response:
        return json_response(groups.unassociate(_group(call), call.document))

    return [
        gate.route(REPO_GROUPS_HREF, GET=listing, POST=create),
        gate.route(f"{REPO_GROUPS_HREF}search/", GET=search, POST=search),
        gate.route(_ONE, GET=show, PUT=update, DELETE=delete),
        gate.route(f"{_ONE}actions/associate/", POST=associate),
        gate.route(f"{_ONE}actions/unassociate/", POST=unassociate),
        *_distributor_routes(gate, groups),
    ]


def _distributor_routes(gate: Gate, groups: RepoGroups) -> Sequence[Route]:
    """Return the routes of distributors of groups, of which there are none."""

    def listing(call: Call) -> Response:
        groups.get(_group(call))
        return json_response([])

    def add(call: Call) -> Response:
        groups.add_distributor(_group(call), call.document)
        return json_response(None)

    def one(call: Call) -> Response:
        groups.distributor(_group(call), call.path("distributor_id"))
        return json_response(None)

    def publish(call: Call) -> Response:
        groups.publish(_group(call), call.document)
        return json_response(None)

    return [
        gate.route(f"{_ONE}distributors/", GET=listing, POST=add),
        gate.route(f"{_ONE}distributors/{{distributor_id}}/", GET=one, PUT=one, DELETE=one),
        gate.route(f"{_ONE}actions/publish/", POST=publish),
    ]


def _group(call: Call) -> str:
    return call.path("group_id")


def _visible(call: Call) -> Visible:
    """Return which repositories the caller may read, and so find by putting them into a group."""
    access = call.by.access
    return lambda repo_id: access.allows(Operation.READ, f"/v2/repositories/{repo_id}/")
