"""Users and their rights: every route of the application needs one, and nothing leaks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from pulpit.api import events as events_api
from pulpit.api.client_certificates import CERTIFICATE
from pulpit.api.server import web_application
from pulpit.domain.criteria import parse_criteria
from pulpit.domain.permissions import EVERYTHING, Access
from pulpit.storage.schema import upgrade
from tests.api_site import API, PUBLIC, Site, assert_error, known
from tests.services import PATIENCE

_ANN = ("ann", "ann's")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of an empty database."""
    return upgrade(tmp_path_factory.mktemp("template"))


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Site]:
    """Yield a new application, with ann, who may do nothing."""
    database = tmp_path / "pulpit.db"
    shutil.copyfile(template, database)
    with Site(database, tmp_path) as made:
        document = {"login": _ANN[0], "password": _ANN[1], "name": "Ann"}
        assert made.ask("POST", "users/", json=document).status_code == 201
        yield made


def _grant(site: Site, resource: str, *operations: str, login: str = "ann") -> None:
    document = {"login": login, "resource": resource, "operations": operations}
    answer = site.ask("POST", "permissions/actions/grant_to_user/", json=document)
    assert (answer.status_code, answer.json()) == (200, None)


def _calls(site: Site) -> Iterator[tuple[str, str, str]]:
    """Yield pattern, method and a path of every route."""
    for route in site.app.routes:
        assert isinstance(route, Route)
        path = route.path.replace("{path:path}", "x").replace("{", "").replace("}", "")
        for method in sorted(route.methods or ()):
            yield route.path, method, path


def test_no_route_is_without_a_right(site: Site) -> None:
    """A user who has none is refused by each, but for the few that are everybody's."""
    site.ask("POST", "repositories/", json={"id": "repo_id", "notes": {"a": "a secret note"}})
    refused = 0
    for pattern, method, path in _calls(site):
        answer = site.ask(method, path, auth=_ANN)
        if pattern in PUBLIC:
            assert answer.status_code in {200, 404}
            continue
        if pattern == f"{API}/actions/login/":
            assert answer.status_code == 200
            continue
        assert answer.status_code == 403, (method, path)
        assert "a secret note" not in answer.text
        if method != "HEAD":
            body = assert_error(answer, 403, "PLP0042")
            assert body["_href"] == path
        refused += 1
    assert refused > 60
    assert site.log.told == []
    stream = site.ask(
        "GET", "/pulpit/v1/events/", auth=_ANN, headers={"Accept": "text/event-stream"}
    )
    assert_error(stream, 403, "PLP0042")


def test_who_may_read_all_may_read_each_route(site: Site) -> None:
    """And change nothing: what is there stays as it was."""
    _grant(site, "/", "READ")
    site.ask("POST", "repositories/", json={"id": "repo_id"})
    for pattern, method, path in _calls(site):
        if pattern == f"{API}/actions/login/":
            continue
        answer = site.ask(method, path, auth=_ANN)
        if method in {"GET", "HEAD"} or "/search/" in pattern:
            assert answer.status_code in {200, 400, 404}, (method, path)
        else:
            assert_error(answer, 403, "PLP0042")
    assert site.ask("GET", "repositories/repo_id/").status_code == 200


def test_a_right_to_one_repository_is_none_to_others(site: Site) -> None:
    """Neither to lists and searches, which would tell of all."""
    for repo_id in ("zoo", "emu"):
        site.ask("POST", "repositories/", json={"id": repo_id})
    _grant(site, "/v2/repositories/zoo/", "READ", "UPDATE")
    assert site.ask("GET", "repositories/zoo/", auth=_ANN).status_code == 200
    delta = {"delta": {"description": "x"}}
    assert site.ask("PUT", "repositories/zoo/", auth=_ANN, json=delta).status_code == 200
    for method, path in (
        ("GET", "repositories/emu/"),
        ("GET", "repositories/"),
        ("GET", "repositories/search/"),
        ("POST", "repositories/search/"),
        ("GET", "distributors/search/"),
        ("DELETE", "repositories/zoo/"),
        ("POST", "repositories/zoo/actions/sync/"),
        ("PUT", "repositories/emu/"),
        ("GET", "tasks/"),
        ("GET", "permissions/"),
    ):
        assert_error(site.ask(method, path, auth=_ANN, json=delta), 403, "PLP0042")


def test_what_one_makes_is_ones_own(site: Site) -> None:
    """Its creator has all rights to it, until it is deleted; they are not the next creator's."""
    _grant(site, "/v2/repositories/", "CREATE")
    made = site.ask("POST", "repositories/", auth=_ANN, json={"id": "zoo"})
    assert made.status_code == 201
    assert site.ask("GET", "repositories/zoo/", auth=_ANN).status_code == 200
    assert_error(site.ask("GET", "repositories/", auth=_ANN), 403, "PLP0042")
    importer = {"importer_type_id": "yum_importer", "importer_config": {"feed": "http://x/"}}
    answer = site.ask("POST", "repositories/zoo/importers/", auth=_ANN, json=importer)
    assert answer.status_code == 202
    (grant,) = site.ask("GET", "permissions/?resource=/v2/repositories/zoo/").json()
    assert grant["users"] == {"ann": ["CREATE", "READ", "UPDATE", "DELETE", "EXECUTE"]}
    assert site.ask("DELETE", "repositories/zoo/", auth=_ANN).status_code == 202
    site.work()
    assert site.ask("GET", "permissions/?resource=/v2/repositories/zoo/").json() == []
    site.ask("POST", "repositories/", json={"id": "zoo"})
    assert_error(site.ask("GET", "repositories/zoo/", auth=_ANN), 403, "PLP0042")


def test_a_listener_is_one_resource_at_both_its_paths(site: Site) -> None:
    """Whoever makes it may use it by each, and its rights go with it."""
    _grant(site, "/v2/events/", "CREATE")
    document = {
        "notifier_type_id": "http",
        "notifier_config": {"url": "https://hooks.example.com/"},
        "event_types": ["*"],
    }
    made = site.ask("POST", "/pulpit/v1/listeners/", auth=_ANN, json=document)
    assert made.status_code == 201
    listener_id = made.json()["id"]
    assert site.ask("GET", f"events/{listener_id}/", auth=_ANN).status_code == 200
    enable = f"/pulpit/v1/listeners/{listener_id}/enable/"
    assert site.ask("POST", enable, auth=_ANN).status_code == 200
    assert site.ask("DELETE", f"events/{listener_id}/", auth=_ANN).status_code == 200
    assert site.ask("GET", f"permissions/?resource=/v2/events/{listener_id}/").json() == []
    assert_error(site.ask("GET", f"events/{listener_id}/", auth=_ANN), 403, "PLP0042")


def test_a_stream_ends_with_the_right_to_read_it(site: Site) -> None:
    """Its reader is looked at again, at a sign of life at the latest; others read on."""
    _grant(site, "/pulpit/v1/events/", "READ")
    uri = "http://site/"
    app = web_application(
        events_api.routes(
            site.gate,
            site.storage.events,
            site.fanout,
            event_source_uri=uri,
            heartbeat=0.05,
            looks=0.0,
        )
    )

    async def run() -> None:
        transport = httpx.ASGITransport(known(app))
        async with httpx.AsyncClient(transport=transport, base_url=uri, auth=_ANN) as client:
            headers = {"Accept": "text/event-stream"}
            reading = asyncio.create_task(client.get("/pulpit/v1/events/", headers=headers))
            # what is read comes here at its end
            done, _ = await asyncio.wait([reading], timeout=0.5)
            assert not done
            site.permissions.revoke_from_user(
                {"login": "ann", "resource": "/pulpit/v1/events/", "operations": ["READ"]},
                by=Access(login="admin", rights=EVERYTHING),
            )
            site.clock.advance(seconds=6)
            answer = await asyncio.wait_for(reading, PATIENCE)
        assert answer.status_code == 200
        assert set(answer.text.split("\n\n")) == {": alive", ""}

    asyncio.run(run())


def test_users_are_made_shown_changed_and_deleted(site: Site) -> None:
    """As Pulp 2 has them, and never with the password or what is kept of it."""
    document = {"login": "b.o-b_1", "password": "bob's own"}
    made = site.ask("POST", "users/", json=document)
    user = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == user["_href"] == f"{API}/users/b.o-b_1/"
    assert user == {
        "_id": {"$oid": user["id"]},
        "_ns": "users",
        "_href": user["_href"],
        "id": user["id"],
        "login": "b.o-b_1",
        "name": "b.o-b_1",
        "roles": [],
    }
    assert_error(site.ask("POST", "users/", json=document), 409, "PLP0018")
    delta = {"name": "Bob", "password": "new", "roles": ["super-users"]}
    changed = site.ask("PUT", user["_href"], json={"delta": delta})
    assert (changed.status_code, changed.json()) == (
        200,
        {**user, "name": "Bob", "roles": ["super-users"]},
    )
    listed = site.ask("GET", "users/")
    assert [each["login"] for each in listed.json()] == ["admin", "ann", "b.o-b_1"]
    found = site.ask("GET", user["_href"], auth=("b.o-b_1", "new"))
    assert found.json() == changed.json()
    assert_error(site.ask("GET", user["_href"], auth=("b.o-b_1", "bob's own")), 401, "PLP0030")
    for answer in (made, changed, listed, found):
        assert "argon2" not in answer.text
        assert "own" not in answer.text
    deleted = site.ask("DELETE", user["_href"])
    assert (deleted.status_code, deleted.json()) == (200, None)
    assert_error(site.ask("GET", user["_href"]), 404, "PLP0009")
    assert_error(site.ask("DELETE", user["_href"]), 404, "PLP0009")
    assert_error(site.ask("DELETE", "users/admin/"), 400, "PLP0000")
    assert site.ask("GET", "tasks/").status_code == 200


@pytest.mark.parametrize("by_post", [True, False])
def test_users_are_searched(site: Site, *, by_post: bool) -> None:
    """By POST and GET, with only the fields that are asked for."""
    criteria = {"filters": {"login": {"$in": ["ann", "nobody"]}}, "fields": ["login", "roles"]}
    assert parse_criteria(criteria)
    answer = (
        site.ask("POST", "users/search/", json={"criteria": criteria})
        if by_post
        else site.ask("GET", "users/search/?field=login&field=roles&login=ann")
    )
    assert answer.json() == [{"login": "ann", "roles": []}]


def test_roles_are_made_given_and_deleted(site: Site) -> None:
    """As Pulp 2 has them."""
    document = {"role_id": "readers", "display_name": "Readers", "description": "é"}
    made = site.ask("POST", "roles/", json=document)
    role = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == role["_href"] == f"{API}/roles/readers/"
    assert role["_ns"] == "roles"
    assert (role["id"], role["permissions"], role["users"]) == ("readers", {}, [])
    assert_error(site.ask("POST", "roles/", json=document), 409, "PLP0018")
    right = {"role_id": "readers", "resource": "/v2/repositories/", "operations": ["read"]}
    answer = site.ask("POST", "permissions/actions/grant_to_role/", json=right)
    assert (answer.status_code, answer.json()) == (200, None)
    answer = site.ask("POST", "roles/readers/users/", json={"login": "ann"})
    assert (answer.status_code, answer.json()) == (200, None)
    shown = site.ask("GET", "roles/readers/").json()
    assert shown["permissions"] == {"/v2/repositories/": ["READ"]}
    assert shown["users"] == ["ann"]
    assert [user["login"] for user in site.ask("GET", "roles/readers/users/").json()] == ["ann"]
    assert site.ask("GET", "repositories/", auth=_ANN).json() == []
    delta = {"delta": {"display_name": "R"}}
    assert site.ask("PUT", "roles/readers/", json=delta).json()["display_name"] == "R"
    assert [each["id"] for each in site.ask("GET", "roles/").json()] == ["super-users", "readers"]
    answer = site.ask("DELETE", "roles/readers/users/ann/")
    assert (answer.status_code, answer.json()) == (200, None)
    assert_error(site.ask("GET", "repositories/", auth=_ANN), 403, "PLP0042")
    answer = site.ask("DELETE", "roles/readers/")
    assert (answer.status_code, answer.json()) == (200, None)
    assert_error(site.ask("GET", "roles/readers/"), 404, "PLP0009")


def _with_token(token: str) -> dict[str, Any]:
    return {"auth": None, "headers": {"Authorization": f"Bearer {token}"}}


def test_tokens_let_programs_in(site: Site) -> None:
    """The secret is shown once, and does what its user may, or less."""
    made = site.ask("POST", "users/admin/tokens/", json={"name": "ci", "read_only": True})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    document = made.json()
    token = document.pop("token")
    assert site.ask("GET", "users/admin/tokens/").json() == [document]
    assert document["expires"] is None
    answer = site.ask("GET", "users/admin/tokens/", **_with_token(token))
    assert token not in answer.text
    assert answer.json()[0]["last_used"] is not None
    search = site.ask(
        "POST", "users/search/", json={"criteria": {"filters": {}}}, **_with_token(token)
    )
    assert search.status_code == 200
    for method, path in (("POST", "repositories/"), ("POST", "actions/login/")):
        body = assert_error(site.ask(method, path, **_with_token(token)), 403, "PLP0042")
        assert "token" in str(body["error_message"])
    assert site.ask("DELETE", made.headers["location"]).json() is None
    assert_error(site.ask("GET", "tasks/", **_with_token(token)), 401, "PLP0025")


def test_everybody_looks_after_their_own_tokens(site: Site) -> None:
    """And after nobody else's."""
    made = site.ask("POST", "users/ann/tokens/", auth=_ANN, json={"name": "ci"})
    assert made.status_code == 201
    answer = site.ask("GET", "users/ann/", **_with_token(made.json()["token"]))
    assert answer.json()["login"] == "ann"
    assert_error(
        site.ask("POST", "users/admin/tokens/", auth=_ANN, json={"name": "x"}), 403, "PLP0042"
    )
    assert site.ask("DELETE", made.headers["location"], auth=_ANN).status_code == 200


class _Shown:
    """An application whose clients have shown a certificate."""

    def __init__(self, app: Any, certificate: bytes) -> None:
        self._app, self._certificate = app, certificate

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})[CERTIFICATE] = self._certificate
        await self._app(scope, receive, send)


def test_a_certificate_lets_its_user_in(site: Site) -> None:
    """Where there are no other credentials, which count for more."""
    answer = site.ask("POST", "actions/login/", auth=_ANN)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    issued = answer.json()
    assert set(issued) == {"certificate", "key"}
    app: Any = site.app
    site.serve(_Shown(app, issued["certificate"].encode()))  # type: ignore[arg-type]
    assert site.ask("GET", "users/ann/", auth=None).json()["login"] == "ann"
    assert_error(site.ask("GET", "users/", auth=None), 403, "PLP0042")
    assert_error(site.ask("POST", "actions/login/", auth=None), 403, "PLP0042")
    assert_error(site.ask("GET", "users/ann/", auth=("ann", "wrong")), 401, "PLP0030")
    assert site.ask("GET", "users/").status_code == 200
    site.serve(_Shown(app, b"forged"))  # type: ignore[arg-type]
    assert_error(site.ask("GET", "users/ann/", auth=None), 401, "PLP0025")


def test_hostile_documents_are_refused(site: Site) -> None:
    """Whatever is sent where users are looked after, the answer is never a 500."""
    bodies = ["null", "[]", '"x"', "1", '{"a": 1}', '{"delta": 1}', '{"login": {}}', "{"]
    bodies += [r'{"login": "\ud800"}', r'{"delta": {"password": "\ud800"}}']
    for pattern, method, path in _calls(site):
        if not any(part in pattern for part in ("users", "roles", "permissions", "login")):
            continue
        for body in bodies if method in {"POST", "PUT"} else ():
            answer = site.ask(method, path, content=body)
            assert answer.status_code < 500, (method, path, body)
    assert site.log.told == []
    for resource in ("", "x", "//", "/%00", "/\ud7ff", "/" + "x" * 2000):
        answer = site.ask("GET", "permissions/", params={"resource": resource})
        assert answer.status_code in {200, 400}
