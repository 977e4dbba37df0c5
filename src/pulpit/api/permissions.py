"""``/pulp/api/v2/permissions/``: what users and roles may do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.queries import single
from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.permissions import permission_document
from pulpit.services.permissions import Permissions

__all__ = ["routes"]

_ALL = f"{API}/permissions/"


def routes(gate: Gate, permissions: Permissions) -> Sequence[Route]:
    """Return the routes of permissions."""

    def listing(call: Call) -> Response:
        found = permissions.list(single(call.request.query_params, "resource"))
        return json_response([permission_document(resource, users) for resource, users in found])

    def action(name: str, act: Callable[..., None]) -> Route:
        def answer(call: Call) -> Response:
            act(call.document, by=call.by.access)
            return json_response(None)

        return gate.route(f"{_ALL}actions/{name}/", POST=answer)

    acts: dict[str, Any] = {
        "grant_to_user": permissions.grant_to_user,
        "revoke_from_user": permissions.revoke_from_user,
        "grant_to_role": permissions.grant_to_role,
        "revoke_from_role": permissions.revoke_from_role,
    }
    return [
        gate.route(_ALL, GET=listing),
        *(action(name, act) for name, act in acts.items()),
    ]
