"""`pulpit user`, `token` and `role` against a scripted server: what is sent, words and codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pulpit.cli.exits import ExitCode
from tests.unit.command import Cli, runner
from tests.unit.fake_api import FakeApi, error_body

_ROOT = "/pulp/api/v2/"
_USERS = f"{_ROOT}users/"
_TOKENS = f"{_USERS}admin/tokens/"
#: What could take over a terminal, and what would make two lines of one.
_HOSTILE = "\x1b[31mred\x1b]0;title\x07\nsecond"


@pytest.fixture
def api() -> FakeApi:
    """Return a server with some users, roles and tokens."""
    api = FakeApi()
    api.at("GET", _USERS, [{"login": "ann", "name": _HOSTILE, "roles": ["operators"]}])
    api.at("POST", _USERS, {"login": "ann"}, 201)
    api.at("PUT", f"{_USERS}ann/", {"login": "ann"})
    api.at("DELETE", f"{_USERS}ann/", None)
    rights = {"/v2/repositories/": ["READ", "EXECUTE"]}
    api.at("GET", f"{_ROOT}roles/", [{"id": "operators", "users": ["ann"], "permissions": rights}])
    api.at("POST", f"{_ROOT}roles/", {"id": "operators"}, 201)
    api.at("DELETE", f"{_ROOT}roles/operators/", None)
    api.at("POST", f"{_ROOT}roles/operators/users/", None)
    api.at("DELETE", f"{_ROOT}roles/operators/users/ann/", None)
    for action in ("grant_to_user", "revoke_from_user", "grant_to_role", "revoke_from_role"):
        api.at("POST", f"{_ROOT}permissions/actions/{action}/", None)
    token = {"id": "1" * 24, "name": _HOSTILE, "read_only": True, "expires": None}
    api.at("GET", _TOKENS, [token])
    api.at("POST", _TOKENS, {**token, "token": "pulpit_new"}, 201)
    api.at("DELETE", f"{_TOKENS}{'1' * 24}/", None)
    return api


@pytest.fixture
def cli(api: FakeApi, tmp_path: Path) -> Cli:
    """Return what runs a command."""
    return runner(api, tmp_path)


@pytest.mark.parametrize(
    ("command", "stdin", "sent", "body"),
    [
        (
            "user create ann --name Ann --role a --role b --password-stdin",
            "se cret\n",
            "POST users/",
            {"login": "ann", "name": "Ann", "roles": ["a", "b"], "password": "se cret"},
        ),
        ("user create ann --no-password", "", "POST users/", {"login": "ann", "roles": []}),
        (
            "user update ann --name A --no-roles --password-stdin",
            "new\n",
            "PUT users/ann/",
            {"delta": {"name": "A", "roles": [], "password": "new"}},
        ),
        ("user update ann --role a", "", "PUT users/ann/", {"delta": {"roles": ["a"]}}),
        ("user delete ann", "", "DELETE users/ann/", None),
        (
            "user grant ann /v2/ READ EXECUTE",
            "",
            "POST permissions/actions/grant_to_user/",
            {"login": "ann", "resource": "/v2/", "operations": ["READ", "EXECUTE"]},
        ),
        (
            "user revoke ann /v2/ READ",
            "",
            "POST permissions/actions/revoke_from_user/",
            {"login": "ann", "resource": "/v2/", "operations": ["READ"]},
        ),
        (
            "role create operators --name O",
            "",
            "POST roles/",
            {"role_id": "operators", "display_name": "O", "description": None},
        ),
        ("role delete operators", "", "DELETE roles/operators/", None),
        ("role add operators ann", "", "POST roles/operators/users/", {"login": "ann"}),
        ("role remove operators ann", "", "DELETE roles/operators/users/ann/", None),
        (
            "role grant operators /v2/ READ",
            "",
            "POST permissions/actions/grant_to_role/",
            {"role_id": "operators", "resource": "/v2/", "operations": ["READ"]},
        ),
        (
            "role revoke operators /v2/ READ",
            "",
            "POST permissions/actions/revoke_from_role/",
            {"role_id": "operators", "resource": "/v2/", "operations": ["READ"]},
        ),
        (
            "token create ci --read-only --expires 2027-01-31T00:00:00Z",
            "",
            "POST users/admin/tokens/",
            {"name": "ci", "read_only": True, "expires": "2027-01-31T00:00:00Z"},
        ),
        (f"token revoke {'1' * 24}", "", f"DELETE users/admin/tokens/{'1' * 24}/", None),
    ],
)
def test_what_a_command_sends(
    api: FakeApi, cli: Cli, *, command: str, stdin: str, sent: str, body: Any
) -> None:
    """One request, and a word on it; never the password."""
    run = cli(*command.split(" "), stdin=stdin)
    assert run.code == 0, run.err
    assert run.out
    assert "cret" not in run.out + run.err
    method, path = sent.split()
    assert api.bodies(method, f"{_ROOT}{path}") == [body]
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("user list", ("ann", "operators", "red")),
        ("role list", ("operators", "ann", "/v2/repositories/: READ, EXECUTE")),
        ("token list", ("1" * 24, "read", "never")),
    ],
)
def test_lists(api: FakeApi, cli: Cli, command: str, shown: tuple[str, ...]) -> None:
    """They are for people, without what could take over their terminal; or JSON as it came."""
    run = cli(*command.split())
    assert run.code == 0
    assert all(word in run.out for word in shown)
    assert "\x1b" not in run.out
    assert len(run.out.splitlines()) == 2
    document = json.loads(cli(*command.split(), "--json").out)
    kind = command.split(maxsplit=1)[0]
    kind = command.split(maxsplit=1)[0]
    path = {"user": _USERS, "role": f"{_ROOT}roles/", "token": _TOKENS}[kind]
    assert document == api.answers["GET", path][1]


def test_a_new_token_alone_is_the_output(cli: Cli) -> None:
    """So that a script can take it."""
    run = cli("token", "create", "ci")
    assert (run.code, run.out) == (0, "pulpit_new\n")
    assert "shown this once" in run.err


@pytest.mark.parametrize(
    "command",
    [
        "user create ann",
        "user create ann --no-password --password-stdin",
        "user create ann --password-stdin",
        "user update ann",
        "user update ann --role a --no-roles",
        "user update ann --ask-password",
        "user grant ann /v2/",
    ],
)
def test_commands_that_lack_something(api: FakeApi, cli: Cli, command: str) -> None:
    """They say so, and send nothing."""
    run = cli(*command.split())
    assert (run.code, api.requests) == (ExitCode.USAGE, [])


def test_whose_tokens_a_token_can_not_tell(api: FakeApi, cli: Cli) -> None:
    """Somebody must be named then."""
    api.tokens = {"pulpit_x"}
    who = {"PULPIT_USER": "", "PULPIT_PASSWORD": "", "PULPIT_TOKEN": "pulpit_x"}
    assert cli("token", "list", **who).code == ExitCode.USAGE
    assert cli("token", "list", "--for", "admin", **who).code == 0


def test_what_the_server_refuses_is_told(api: FakeApi, cli: Cli) -> None:
    """In its own words, or with the kind of thing that is not there."""
    api.at("DELETE", f"{_USERS}ann/", error_body(403, "PLP0042", "no right to DELETE"), 403)
    run = cli("user", "delete", "ann")
    assert run.code == ExitCode.UNAUTHORIZED
    assert "no right to DELETE" in run.err
    missing = error_body(404, "PLP0009", "x", resources={"role_id": "none"})
    api.at("DELETE", f"{_ROOT}roles/none/", missing, 404)
    run = cli("role", "delete", "none")
    assert run.code == ExitCode.NOT_FOUND
    assert "there is no role none" in run.err
