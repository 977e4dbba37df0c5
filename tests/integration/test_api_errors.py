"""Every error that clients of Pulp 2 tell apart, provoked, and compared key by key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.responses import Response

from pulpit.api.server import web_application
from pulpit.errors import DatabaseUnavailable, NotImplementedHere, Unavailable
from tests.api_site import API, AUTH, Site, assert_error, copy_of

#: What each body of an error has, whatever its kind.
_COMMON = {
    "_href",
    "http_status",
    "http_request_method",
    "error_message",
    "exception",
    "traceback",
    "error",
}
_UNKNOWN = "00000000-0000-4000-8000-000000000000"
_ZOO = "repositories/zoo"
#: Of a user without rights.
_GUEST = ("guest", "of the zoo")
_YUM = {"distributor_type_id": "yum_distributor", "distributor_id": "web"}


class _Case(NamedTuple):
    """A request, and what it is refused with."""

    method: str
    path: str
    status: int
    code: str
    #: The keys of the answer beside those that all have.
    legacy: dict[str, Any]
    #: Sent as JSON; bytes are sent as they are.
    body: Any = None
    auth: tuple[str, str] | None = AUTH


def _missing(method: str, path: str, body: Any = None, **resources: str) -> _Case:
    return _Case(method, path, 404, "PLP0009", {"resources": resources}, body)


def _invalid(method: str, path: str, body: Any, *names: str) -> _Case:
    return _Case(method, path, 400, "PLP0015", {"property_names": [*names]}, body)


def _absent(method: str, path: str, body: Any, *names: str) -> _Case:
    return _Case(method, path, 400, "PLP0016", {"missing_property_names": [*names]}, body)


def _unsupported(method: str, path: str, body: Any, *names: str) -> _Case:
    return _Case(method, path, 400, "PLP0017", {"unsupported_property_names": [*names]}, body)


def _stranger(auth: tuple[str, str] | None) -> _Case:
    code = "PLP0030" if auth else "PLP0025"
    return _Case("GET", "tasks/", 401, code, {"auth_error_code": code}, auth=auth)


_CASES = [
    _missing("GET", f"tasks/{_UNKNOWN}/", task_id=_UNKNOWN),
    _missing("DELETE", f"tasks/{_UNKNOWN}/", task_id=_UNKNOWN),
    _missing("GET", "repositories/nowhere/", repo_id="nowhere"),
    _missing("PUT", "repositories/nowhere/", {"delta": {}}, repo_id="nowhere"),
    _missing("DELETE", "repositories/nowhere/", repo_id="nowhere"),
    _missing("GET", f"{_ZOO}/importers/iso_importer/", repo_id="zoo", importer_id="iso_importer"),
    _missing("GET", f"{_ZOO}/distributors/none/", repo_id="zoo", distributor_id="none"),
    _missing("DELETE", f"{_ZOO}/distributors/none/", repo_id="zoo", distributor_id="none"),
    _missing("POST", "repositories/nowhere/actions/sync/", {}, repo_id="nowhere"),
    _missing(
        "POST", f"{_ZOO}/actions/publish/", {"id": "none"}, repo_id="zoo", distributor_id="none"
    ),
    _missing("GET", "plugins/types/none/", plugin_id="none"),
    _missing(
        "GET", "events/0123456789abcdef01234567/", event_listener_id="0123456789abcdef01234567"
    ),
    _invalid("POST", "repositories/", {"id": "a/b"}, "id"),
    _invalid("POST", "repositories/", {"id": 7}, "id"),
    _invalid("POST", "repositories/", {"id": "search"}, "id"),
    _invalid("POST", "repo_groups/", {"id": "search"}, "id"),
    _invalid("PUT", f"{_ZOO}/", {"delta": {"id": "other"}}, "id"),
    _invalid("POST", "tasks/search/", {"criteria": {"limit": -1}}, "limit"),
    _invalid("POST", f"{_ZOO}/actions/sync/", {"override_config": {"feed": "gopher://x/"}}, "feed"),
    _absent("POST", "repositories/", {}, "id"),
    _absent("POST", "tasks/search/", {}, "criteria"),
    _absent("POST", f"{_ZOO}/distributors/", {"distributor_config": {}}, "distributor_type_id"),
    _absent("POST", f"{_ZOO}/distributors/", _YUM | {"distributor_config": {}}, "relative_url"),
    _absent("POST", f"{_ZOO}/actions/publish/", {}, "id"),
    _absent("POST", f"{_ZOO}/search/units/", {}, "criteria"),
    _unsupported("POST", "repositories/", {"id": "new", "colour": "red"}, "colour"),
    _unsupported("POST", "tasks/search/", {"criteria": {"order": []}}, "order"),
    _Case("POST", "repositories/", 409, "PLP0018", {"resource_id": "zoo"}, {"id": "zoo"}),
    _Case("POST", "repositories/", 400, "PLP1009", {}, b"{"),
    _Case("POST", "repositories/", 400, "PLP1015", {"args": []}, ["id"]),
    _Case("POST", "repositories/", 400, "PLP1015", {"args": []}, b""),
    _stranger(None),
    _stranger(("admin", "wrong")),
    _stranger(("nobody", AUTH[1])),
    _Case("GET", "repositories/", 403, "PLP0042", {}, auth=_GUEST),
    _Case("DELETE", f"{_ZOO}/", 403, "PLP0042", {}, auth=_GUEST),
    _Case("DELETE", "tasks/", 403, "PLP1012", {}),
    _Case("DELETE", "tasks/?state=canceled", 400, "PLP1011", {}),
    _Case("DELETE", "tasks/?state=running", 400, "PLP1011", {}),
]


@pytest.fixture(scope="module")
def zoo(new_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a site with one repository, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("zoo")
    with Site(copy_of(new_database, folder), folder / "data") as made:
        document = {"id": "zoo", "importer_type_id": "yum_importer"}
        assert made.ask("POST", "repositories/", json=document).status_code == 201
        guest = dict(zip(("login", "password"), _GUEST, strict=True))
        assert made.ask("POST", "users/", json=guest).status_code == 201
        yield made
        assert made.log.told == []


@pytest.mark.parametrize(
    "case", _CASES, ids=[f"{case.code}-{case.method}-{case.path}" for case in _CASES]
)
def test_errors_are_as_clients_expect_them(zoo: Site, case: _Case) -> None:
    """Status, code and the keys of an error are Pulp 2's, and there are no others."""
    sent: dict[str, Any] = {"content": case.body} if isinstance(case.body, bytes) else {}
    if not sent and case.body is not None:
        sent = {"json": case.body}
    answer = zoo.ask(case.method, case.path, auth=case.auth, **sent)
    body = assert_error(answer, case.status, case.code)
    assert body["_href"] == f"/pulp/api/v2/{case.path.partition('?')[0]}"
    assert body.keys() == _COMMON | case.legacy.keys()
    for key, value in case.legacy.items():
        # of args it matters that they are a list
        assert isinstance(body[key], type(value))
        assert key == "args" or body[key] == value
    error = body["error"]
    assert isinstance(error, dict)
    assert error.keys() == {"code", "description", "data", "sub_errors"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotImplementedHere(), 501, "PLP0014"),
        (Unavailable(), 503, "PLP0011"),
        (DatabaseUnavailable("db.zoo.example refused the password"), 503, "PLP0011"),
    ],
)
def test_what_the_server_can_not_do_is_told(
    site: Site, error: Exception, status: int, code: str
) -> None:
    """A client knows what will never go, and when to come again; hosts are not named to it."""

    def fail(_call: object) -> Response:
        raise error

    site.serve(web_application([site.gate.route(f"{API}/tasks/", GET=fail)]))
    answer = site.ask("GET", "tasks/")
    assert assert_error(answer, status, code).keys() == _COMMON
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "db.zoo.example" not in answer.text


def test_urls_that_are_not_there_answer_null(zoo: Site) -> None:
    """An unknown URL answers 404 with null, and one without its slash leads to the one with it."""
    for path in ("nowhere/", "consumers/", "consumers/one/bindings/"):
        answer = zoo.ask("GET", path)
        assert (answer.status_code, answer.json()) == (404, None)
    answer = zoo.ask("GET", "repositories/zoo?details=true")
    assert answer.status_code == 301
    assert answer.headers["location"] == "/pulp/api/v2/repositories/zoo/?details=true"
