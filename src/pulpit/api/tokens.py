"""``/pulp/api/v2/users/<login>/tokens/``: tokens, by which programs come in as a user."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response
from starlette.routing import Route

from pulpit.api.web import Call, Gate, json_response
from pulpit.domain.tokens import token_document
from pulpit.domain.users import USERS_HREF
from pulpit.services.tokens import Tokens

__all__ = ["routes"]

_ALL = f"{USERS_HREF}{{login}}/tokens/"
#: Answers that hold a secret, which nobody on the way may keep.
_UNSTORED = {"Cache-Control": "no-store"}


def routes(gate: Gate, tokens: Tokens) -> Sequence[Route]:
    """Return the routes of tokens."""

    def listing(call: Call) -> Response:
        return json_response([token_document(token) for token in tokens.list(call.path("login"))])

    def create(call: Call) -> Response:
        token, secret = tokens.create(call.path("login"), call.document, by=call.by)
        document = token_document(token)
        headers = {"Location": document["_href"], **_UNSTORED}
        return json_response({**document, "token": secret}, HTTPStatus.CREATED, headers)

    def revoke(call: Call) -> Response:
        tokens.revoke(call.path("login"), call.path("token_id"), by=call.by)
        return json_response(None)

    return [
        gate.route(_ALL, GET=listing, POST=create),
        gate.route(f"{_ALL}{{token_id}}/", DELETE=revoke),
    ]
