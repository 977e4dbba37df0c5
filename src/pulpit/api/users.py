"""``/pulp/api/v2/users/`` and ``actions/login/``: users, and their client certificates."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import API, Call, Gate, json_response
from pulpit.domain.criteria import project
from pulpit.domain.users import USERS_HREF, user_document
from pulpit.services.certificates import Certificates
from pulpit.services.users import Users

__all__ = ["routes"]

#: Answers that hold a secret, which nobody on the way may keep.
_UNSTORED = {"Cache-Control": "no-store"}


def routes(gate: Gate, users: Users, certificates: Certificates) -> Sequence[Route]:
    """Return the routes of users."""

    def listing(_call: Call) -> Response:
        return json_response([user_document(user) for user in users.list()])

    def create(call: Call) -> Response:
        document = user_document(users.create(call.document, by=call.by.access))
        return json_response(document, HTTPStatus.CREATED, {"Location": document["_href"]})

    def search(call: Call) -> Response:
        criteria = call.criteria()
        found = users.search(criteria)
        return json_response([project(user_document(user), criteria.fields) for user in found])

    def show(call: Call) -> Response:
        return json_response(user_document(users.get(call.path("login"))))

    def update(call: Call) -> Response:
        user = users.update(call.path("login"), call.document, by=call.by)
        return json_response(user_document(user))

    def delete(call: Call) -> Response:
        users.delete(call.path("login"), by=call.by.access)
        return json_response(None)

    def login(call: Call) -> Response:
        issued: dict[str, Any] = dict(certificates.issue(call.by))
        return json_response(issued, headers=_UNSTORED)

    return [
        gate.route(USERS_HREF, GET=listing, POST=create),
        gate.route(f"{USERS_HREF}search/", GET=search, POST=search),
        gate.route(f"{USERS_HREF}{{login}}/", GET=show, PUT=update, DELETE=delete),
        gate.route(f"{API}/actions/login/", POST=login),
    ]
