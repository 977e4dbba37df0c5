"""``actions/associate/`` and ``actions/unassociate/`` of repositories."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.tasks import accepted
from pulpit.api.web import API, Call, Gate
from pulpit.domain.permissions import Operation
from pulpit.services.associations import Associations

__all__ = ["routes"]

_REPOSITORIES = "/v2/repositories/"
_ACTIONS = f"{API}/repositories/{{repo_id}}/actions"


def routes(gate: Gate, associations: Associations) -> Sequence[Route]:
    """Return the routes that copy and remove units."""

    def associate(call: Call) -> Response:
        repo_id = call.path("repo_id")
        for route in associations.routes(repo_id, call.document):
            # who may not see a repository must not see it by way of a copy
            call.require(Operation.READ, f"{_REPOSITORIES}{route.source}/")
            call.require(Operation.UPDATE, f"{_REPOSITORIES}{route.destination}/")
        return accepted(associations.associate(repo_id, call.document))

    def unassociate(call: Call) -> Response:
        return accepted(associations.unassociate(call.path("repo_id"), call.document))

    return [
        gate.route(f"{_ACTIONS}/associate/", POST=associate),
        gate.route(f"{_ACTIONS}/unassociate/", POST=unassociate),
    ]
