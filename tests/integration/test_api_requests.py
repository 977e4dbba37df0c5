"""What holds for every request: who may come in, which paths there are, how bodies are read."""

from __future__ import annotations

import base64
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from starlette.routing import Route

import pulpit.api
from tests.api_site import API, AUTH, PUBLIC, Site, assert_error

_DOCS = Path(__file__).resolve().parents[2] / "docs"


def _basic(credentials: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}


def _calls(site: Site) -> Iterator[tuple[str, str, str]]:
    """Yield pattern, method and a path of every route."""
    for route in site.app.routes:
        assert isinstance(route, Route)
        path = route.path.replace("{path:path}", "x").replace("{", "").replace("}", "")
        for method in sorted(route.methods or ()):
            yield route.path, method, path


def test_the_site_has_the_routes_of_every_module(site: Site) -> None:
    """A module of routes that these tests do not walk fails here."""
    modules = {
        module.name
        for module in pkgutil.iter_modules(pulpit.api.__path__)
        if hasattr(import_module(f"pulpit.api.{module.name}"), "routes")
    }
    walked = {
        getattr(route.endpoint, "__module__", "").rpartition(".")[2]
        for route in site.app.routes
        if isinstance(route, Route)
    }
    # most endpoints are made by the gate, in web
    assert walked == {"web", "content", "events", "health", "metrics"}
    assert modules == {
        "associations",
        "content",
        "deliveries",
        "distributors",
        "downloads",
        "events",
        "health",
        "importers",
        "listeners",
        "metrics",
        "openapi",
        "orphans",
        "permissions",
        "plugins",
        "repo_groups",
        "repositories",
        "roles",
        "schedules",
        "schemas",
        "snapshot",
        "status",
        "task_groups",
        "tasks",
        "tokens",
        "units",
        "uploads",
        "users",
    }


def test_every_route_is_in_the_reference(site: Site) -> None:
    """The page of the REST API has a row for each route with its methods, and none beside."""
    page = (_DOCS / "reference" / "rest-api.md").read_text(encoding="utf-8")
    table = page.partition("## Routes")[2].partition("## ")[0]
    documented = {}
    for line in table.splitlines():
        if line.startswith("| `/"):
            path, methods = (cell.strip(" `") for cell in line.split("|")[1:3])
            documented[path] = set(methods.split(", "))
    offered = {
        route.path: set(route.methods or ()) - {"HEAD"}
        for route in site.app.routes
        if isinstance(route, Route)
    }
    assert documented == offered


def test_every_route_is_closed_without_credentials(site: Site) -> None:
    """Only status, probes, schemas and published content are open."""
    closed = 0
    for pattern, method, path in _calls(site):
        answer = site.ask(method, path, auth=None)
        if pattern in PUBLIC:
            assert answer.status_code in {200, 404}
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == 'Basic realm="pulpit"'
        closed += 1
    assert closed > 30


def _is_login(headers: dict[str, str]) -> bool:
    """Tell whether there is a login and a password in it, whatever they are worth."""
    try:
        decoded = base64.b64decode(headers["Authorization"][6:], validate=True).decode()
    except (KeyError, ValueError):
        return False
    return ":" in decoded and "\0" not in decoded


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _basic(b"admin:wrong"),
        _basic(b"nobody:secret"),
        _basic(b"admin"),
        _basic(b""),
        _basic(b"admin:"),
        _basic(b"\xff\xfe:x"),
        _basic(b"admin\0:x"),
        _basic(f"ADMIN:{AUTH[1]}".encode()),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic YWRtaW4"},
        {"Authorization": "Bearer YWRtaW46eA=="},
        {"Authorization": "YWRtaW46eA=="},
    ],
)
def test_wrong_credentials_are_refused(site: Site, headers: dict[str, str]) -> None:
    """Whatever is not the login and password of a user is 401, in the error body."""
    answer = site.ask("GET", "tasks/", auth=None, headers=headers)
    code = "PLP0030" if _is_login(headers) else "PLP0025"
    body = assert_error(answer, 401, code)
    assert body["auth_error_code"] == code
    assert body["_href"] == f"{API}/tasks/"


def test_right_credentials_are_let_in(site: Site) -> None:
    """The scheme's case does not matter, a password may hold colons, and proof is remembered."""
    for scheme in ("Basic", "basic", "BASIC"):
        headers = {"Authorization": _basic(":".join(AUTH).encode())["Authorization"]}
        headers["Authorization"] = headers["Authorization"].replace("Basic", scheme)
        assert site.ask("GET", "tasks/", auth=None, headers=headers).json() == []
    # a wrong password after the right one is as wrong as before it
    assert site.ask("GET", "tasks/", auth=("admin", "other")).status_code == 401


def test_a_strangers_body_is_not_read(site: Site) -> None:
    """Without credentials a body may be of any size: it is never looked at."""
    read = 0

    async def body() -> object:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b" " * (1 << 20)

    answer = site.ask("POST", "repositories/", auth=None, content=body())
    assert answer.status_code == 401
    assert read == 0


@pytest.mark.parametrize(
    ("path", "location"),
    [
        (f"{API}/tasks", f"{API}/tasks/"),
        (f"{API}/tasks?tag=a&tag=b", f"{API}/tasks/?tag=a&tag=b"),
        (f"{API}/status", f"{API}/status/"),
        (f"{API}/repositories/zoo", f"{API}/repositories/zoo/"),
        (f"{API}/repositories/a%3Fb%23", f"{API}/repositories/a%3Fb%23/"),
        (f"{API}/repositories/a%0d%0ab", f"{API}/repositories/a%0D%0Ab/"),
        (f"{API}/repositories/a%FFb", f"{API}/repositories/a%EF%BF%BDb/"),
        (f"{API}/repositories/zoo/actions/sync", f"{API}/repositories/zoo/actions/sync/"),
        ("/pulpit/v1/events", "/pulpit/v1/events/"),
        (f"{API}/plugins/types/rpm", f"{API}/plugins/types/rpm/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_slash_is_301(site: Site, method: str, path: str, location: str) -> None:
    """A path without its trailing slash is sent to the one with it, query and all."""
    answer = site.ask(method, path)
    assert answer.status_code == 301
    assert answer.headers["location"] == location


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/pulp",
        "/pulp/",
        f"{API}/",
        f"{API}/nothing/",
        f"{API}/nothing",
        f"{API}/repositories/zoo/nothing/",
        f"{API}/repositories/zoo/actions/nothing/",
        f"{API}/repositories/a/b/c/",
        "//evil.example",
        "//evil.example/",
        f"{API}/plugins/nothing/",
        "/pulpit/v2/events/",
        "/%FF%00/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_url_is_404_with_null(site: Site, method: str, path: str) -> None:
    """What is no URL of the API is answered with null."""
    answer = site.ask(method, f"http://site{path}" if path.startswith("//") else path)
    assert (answer.status_code, answer.content) == (404, b"null")


def test_other_methods_are_405(site: Site) -> None:
    """A method that a URL does not have is refused in the error body, which names the others."""
    for _, _, path in _calls(site):
        if path.startswith("/pulp/repos/"):
            continue
        for method in ("PATCH", "OPTIONS", "TRACE", "PROPFIND"):
            answer = site.ask(method, path)
            assert_error(answer, 405, "PLPIT11")
            assert answer.headers["allow"] != ""


def test_head_is_get_without_a_body(site: Site) -> None:
    """HEAD answers where GET does, with its status."""
    for _, method, path in _calls(site):
        if method == "HEAD":
            head, get = site.ask("HEAD", path), site.ask("GET", path)
            assert head.status_code == get.status_code
            assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b"\xef\xbb\xbf{}",
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"id": 1e999}',
        b'{"id": "\xff"}',
        b'{"id": "\xed\xa0\x80"}',
        b'{"id": "\\ud800"}',
        b'{"id": "zoo", "notes": {"a": "\\u0000"}}',
        b'{"id": "zoo", "notes": {"\\u0000": 1}}',
        b'{"id": "zoo"} x',
        b'{"id": 01}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"id": "zoo", "notes": {"a": ' + b"[" * 63 + b"]" * 63 + b"}}",
        b"1" * 10_000,
        b"\x00",
        b"id=zoo",
    ],
)
def test_what_is_not_json_is_refused(site: Site, body: bytes) -> None:
    """A body that is not JSON, or holds what no database can keep, is told to be none."""
    assert_error(site.ask("POST", "repositories/", content=body), 400, "PLP1009")
    assert site.ask("GET", "repositories/").json() == []


@pytest.mark.parametrize("body", [b"", b"  ", b"null", b"[]", b'"a"', b"1", b"true", b"[{}]"])
@pytest.mark.parametrize(
    "path",
    [
        "repositories/",
        "repositories/search/",
        "repositories/zoo/importers/",
        "repositories/zoo/distributors/",
        "repositories/zoo/actions/publish/",
        "tasks/search/",
        "distributors/search/",
    ],
)
def test_json_that_is_no_object_is_refused(site: Site, path: str, body: bytes) -> None:
    """Where an object is wanted, other JSON is an error that tells what came."""
    site.ask("POST", "repositories/", json={"id": "zoo"})
    answer = site.ask("POST", path, content=body)
    assert assert_error(answer, 400, "PLP1015")["args"]


def test_deep_json_within_bounds_is_kept(site: Site) -> None:
    """What nests as deep as is allowed comes back as it was sent."""
    notes: object = "bottom"
    for _ in range(60):
        notes = [notes]
    created = site.ask("POST", "repositories/", json={"id": "zoo", "notes": {"a": notes}})
    assert created.status_code == 201
    assert site.ask("GET", "repositories/zoo/").json()["notes"] == {"a": notes}


def test_a_long_body_is_refused(site: Site) -> None:
    """More than 8 MiB are refused, whether they are announced or not, and nothing is done."""
    document = b'{"id": "zoo", "description": "' + b"x" * (8 << 20) + b'"}'

    async def pieces() -> object:
        yield document[: 4 << 20]
        yield document[4 << 20 :]

    for content in (document, pieces()):
        answer = site.ask("POST", "repositories/", content=content)
        assert_error(answer, 413, "PLPIT12")
    assert site.ask("GET", "repositories/").json() == []


def test_json_that_is_much_but_not_too_much_is_read(site: Site) -> None:
    """A body just below the bound is taken."""
    document = {"id": "zoo", "description": "x" * (7 << 20)}
    assert site.ask("POST", "repositories/", json=document).status_code == 201


def test_an_error_of_the_servers_own_is_500(site: Site) -> None:
    """What nobody thought of is told with its trace, and logged."""
    site.status["broken"] = object()
    answer = site.ask("GET", "status/")
    body = answer.json()
    assert answer.status_code == 500
    assert body["error"]["code"] == "PLP0001"
    assert "TypeError" in body["exception"][0]
    assert any("Traceback" in line for line in body["traceback"])
    assert site.log.told == [("request failed", {"path": f"{API}/status/"})]
    site.log.told.clear()


def test_a_strange_host_changes_nothing(site: Site) -> None:
    """The header Host has no say in what the server answers."""
    for host in ("[", "a b", "evil.example", ""):
        answer = site.ask("GET", "tasks/none/", headers={"Host": host})
        assert assert_error(answer, 404, "PLP0009")["_href"] == f"{API}/tasks/none/"
        moved = site.ask("GET", "tasks", headers={"Host": host})
        assert moved.headers["location"] == f"{API}/tasks/"


def test_the_status_is_for_everybody(site: Site) -> None:
    """The status needs no credentials, and wrong ones do no harm."""
    for auth in (None, ("a", "b")):
        assert site.ask("GET", "status/", auth=auth).json() == {"api_version": "2"}
