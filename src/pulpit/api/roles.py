"""``/pulp/api/v2/roles/``: roles, and who has them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import Call, Gate, json_response
from pulpit.domain.permissions import Operation
from pulpit.domain.roles import ROLES_HREF, role_document
from pulpit.domain.users import user_document
from pulpit.services.roles import Roles, RoleView

__all__ = ["routes"]

_ONE = f"{ROLES_HREF}{{role_id}}/"


def _document(view: RoleView) -> dict[str, Any]:
    return role_document(view.role, [user.login for user in view.users])


def routes(gate: Gate, roles: Roles) -> Sequence[Route]:
    """Return the routes of roles."""

    def listing(_call: Call) -> Response:
        return json_response([_document(view) for view in roles.list()])

    def create(call: Call) -> Response:
        document = _document(roles.create(call.document))
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def show(call: Call) -> Response:
        return json_response(_document(roles.get(call.path("role_id"))))

    def update(call: Call) -> Response:
        return json_response(_document(roles.update(call.path("role_id"), call.document)))

    def delete(call: Call) -> Response:
        roles.delete(call.path("role_id"), by=call.by.access)
        return json_response(None)

    def users(call: Call) -> Response:
        view = roles.get(call.path("role_id"))
        return json_response([user_document(user) for user in view.users])

    def add_user(call: Call) -> Response:
        roles.add_user(call.path("role_id"), call.document, by=call.by.access)
        return json_response(None)

    def remove_user(call: Call) -> Response:
        roles.remove_user(call.path("role_id"), call.path("login"), by=call.by.access)
        return json_response(None)

    return [
        gate.route(ROLES_HREF, GET=listing, POST=create),
        gate.route(_ONE, GET=show, PUT=update, DELETE=delete),
        gate.route(
            f"{_ONE}users/", operations={"POST": Operation.UPDATE}, GET=users, POST=add_user
        ),
        gate.route(f"{_ONE}users/{{login}}/", DELETE=remove_user),
    ]
