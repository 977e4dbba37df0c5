"""The client's calls about users, tokens, roles and rights: what they send, by both clients."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from pulpit.client import AsyncClient, Client, Unintelligible
from pulpit.client.asynchronous_users import AsyncUserCalls
from pulpit.client.blocking_users import UserCalls
from tests.unit.fake_api import FakeApi

_ROOT = "/pulp/api/v2/"
_ACTIONS = f"{_ROOT}permissions/actions/"
_RIGHT = {"resource": "/v2/repositories/", "operations": ["READ"]}
_GIVEN = ("/v2/repositories/", ["READ"])

#: Name and arguments of a call, what it sends where, and what is answered.
_CALLS: list[tuple[str, tuple[Any, ...], tuple[str, str, Any], Any]] = [
    ("users", (), ("GET", "users/", None), [{"login": "a/n"}]),
    ("user", ("a/n",), ("GET", "users/a%2Fn/", None), {"login": "a/n"}),
    ("create_user", ({"login": "a"},), ("POST", "users/", {"login": "a"}), {"login": "a"}),
    ("update_user", ("a", {"name": "A"}), ("PUT", "users/a/", {"delta": {"name": "A"}}), {}),
    ("delete_user", ("a",), ("DELETE", "users/a/", None), None),
    ("tokens", ("a",), ("GET", "users/a/tokens/", None), []),
    ("create_token", ("a", {"name": "n"}), ("POST", "users/a/tokens/", {"name": "n"}), {"id": "1"}),
    ("revoke_token", ("a", "1"), ("DELETE", "users/a/tokens/1/", None), None),
    ("roles", (), ("GET", "roles/", None), [{"id": "r"}]),
    ("create_role", ({"role_id": "r"},), ("POST", "roles/", {"role_id": "r"}), {"id": "r"}),
    ("delete_role", ("r",), ("DELETE", "roles/r/", None), None),
    ("add_to_role", ("r", "a"), ("POST", "roles/r/users/", {"login": "a"}), None),
    ("remove_from_role", ("r", "a"), ("DELETE", "roles/r/users/a/", None), None),
    *(
        (name, ("x", *_GIVEN), ("POST", f"permissions/actions/{name}/", {key: "x", **_RIGHT}), None)
        for name, key in (
            ("grant_to_user", "login"),
            ("revoke_from_user", "login"),
            ("grant_to_role", "role_id"),
            ("revoke_from_role", "role_id"),
        )
    ),
]


@pytest.mark.parametrize(
    ("name", "args", "sent", "answer"), _CALLS, ids=[call[0] for call in _CALLS]
)
def test_both_clients_send_the_same(
    name: str, args: tuple[Any, ...], sent: tuple[str, str, Any], answer: Any
) -> None:
    """And return what the server said, by a token as by a login."""
    method, path, body = sent
    api = FakeApi()
    api.tokens = {"pulpit_x"}
    # what httpx shows of a path is decoded
    api.at(method, f"{_ROOT}{path.replace('%2F', '/')}", answer)

    async def ask() -> Any:
        async with AsyncClient("http://s:1", auth="pulpit_x", transport=api.transport) as other:
            return await getattr(other, name)(*args)

    with Client("http://s:1", auth=("admin", "secret"), transport=api.transport) as client:
        assert getattr(client, name)(*args) == answer
    assert asyncio.run(ask()) == answer
    for request in api.requests:
        assert request.url.raw_path.decode() == f"{_ROOT}{path}"
    assert api.bodies(method, f"{_ROOT}{path.replace('%2F', '/')}") == [body, body]


def test_both_clients_have_the_same_calls() -> None:
    """None is left out of one of them, or of the comparison above."""

    def calls(kind: type) -> dict[str, list[str]]:
        public = {name: found for name, found in vars(kind).items() if not name.startswith("_")}
        return {name: list(inspect.signature(found).parameters) for name, found in public.items()}

    assert calls(UserCalls) == calls(AsyncUserCalls)
    assert set(calls(UserCalls)) == {name for name, *_ in _CALLS}


@pytest.mark.parametrize(("name", "answer"), [("users", {}), ("users", [1]), ("user", [])])
def test_strange_answers_are_refused(name: str, answer: Any) -> None:
    """They are of no Pulpit server."""
    api = FakeApi()
    api.at("GET", f"{_ROOT}users/{'a/' if name == 'user' else ''}", answer)
    with (
        Client("http://s:1", auth=("admin", "secret"), transport=api.transport) as client,
        pytest.raises(Unintelligible),
    ):
        getattr(client, name)(*(["a"] if name == "user" else []))


def test_a_token_that_no_header_holds_is_refused() -> None:
    """Before anything is sent, and without showing it."""
    with pytest.raises(ValueError, match="characters that no token has"):
        Client("http://s:1", auth="pulpit_\r\nX: y")
