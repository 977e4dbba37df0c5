"""The client: requests, answers, errors."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import httpx
import pytest

from pulpit.client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    KnownTask,
    NotFound,
    Snapshot,
    TaskReport,
    Unauthenticated,
    Unintelligible,
    Unreachable,
)
from pulpit.domain.tasks import TaskState
from tests.unit.fake_api import TASK, FakeApi, error_body, report

REPOSITORIES = "/pulp/api/v2/repositories/"


@pytest.fixture
def api() -> FakeApi:
    """Return a server without repositories."""
    return FakeApi()


@pytest.fixture
def client(api: FakeApi) -> Client:
    """Return a client that the server knows."""
    return Client("http://server:1/", auth=("admin", "secret"), transport=api.transport)


def test_actions_name_their_tasks(api: FakeApi, client: Client) -> None:
    """Sync and publish send what the contract says and return the tasks' ids."""
    api.call("POST", f"{REPOSITORIES}zoo/actions/sync/", "t1")
    api.call("POST", f"{REPOSITORIES}zoo/actions/publish/", "t2", "t3")
    assert client.sync("zoo", override={"force": True}).spawned == ("t1",)
    assert client.publish("zoo", "yum", override={"force_full": True}).spawned == ("t2", "t3")
    assert api.bodies("POST", f"{REPOSITORIES}zoo/actions/sync/") == [
        {"override_config": {"force": True}}
    ]
    assert api.bodies("POST", f"{REPOSITORIES}zoo/actions/publish/") == [
        {"id": "yum", "override_config": {"force_full": True}}
    ]


def test_ids_are_quoted(api: FakeApi, client: Client) -> None:
    """An id can't reach another path."""
    with pytest.raises(NotFound):
        client.repository("../users")
    assert api.requests[-1].url.raw_path.startswith(b"/pulp/api/v2/repositories/..%2Fusers/")


def test_task_reports_are_typed(api: FakeApi, client: Client) -> None:
    """A report is read whole, and knows its repository and action."""
    api.at("GET", f"/pulp/api/v2/tasks/{TASK}/", report(spawned_tasks=[{"task_id": "t9"}]))
    task = client.task(TASK)
    assert (task.task_id, task.state) == (TASK, TaskState.FINISHED)
    assert (task.repository, task.action, task.spawned) == ("zoo", "sync", ("t9",))


@pytest.mark.parametrize(
    "document", [None, [], {}, {"task_id": TASK, "state": "dancing"}, {"task_id": 5}]
)
def test_strange_task_reports_are_refused(api: FakeApi, client: Client, document: object) -> None:
    """What is no task report is told, not passed on."""
    api.at("GET", f"/pulp/api/v2/tasks/{TASK}/", document)
    with pytest.raises(Unintelligible):
        client.task(TASK)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ApiError), (401, Unauthenticated), (403, Forbidden), (404, NotFound), (409, Conflict)],
)
def test_error_bodies_become_errors(
    api: FakeApi, client: Client, status: int, kind: type[ApiError]
) -> None:
    """Each status has its class; code, words and data are the body's."""
    api.at("POST", REPOSITORIES, error_body(status, "PLP1", "No.", resource_id="zoo"), status)
    with pytest.raises(ApiError) as caught:
        client.create_repository({"id": "zoo"})
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (status, "PLP1")
    assert (caught.value.message, caught.value.data) == ("No.", {"resource_id": "zoo"})


@pytest.mark.parametrize("body", [b"", b"null", b"<html>", b"[1]", b'{"error": "x"}', b"\xff"])
def test_errors_without_a_body_of_ours(api: FakeApi, client: Client, body: bytes) -> None:
    """An error of a proxy in between still says what was asked and what came."""
    api.at("GET", REPOSITORIES, body, 599)
    with pytest.raises(ApiError, match="GET /pulp/api/v2/repositories/: HTTP 599"):
        client.repositories()


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b"[1]", b"{}"])
def test_answers_of_other_servers(api: FakeApi, client: Client, body: bytes) -> None:
    """A web server that is not ours is recognised."""
    api.at("GET", REPOSITORIES, body)
    with pytest.raises(Unintelligible, match="http://server:1 is no Pulpit server"):
        client.repositories()


def test_redirects_are_not_followed(api: FakeApi, client: Client) -> None:
    """Credentials go to the server named and to no other."""
    answer = httpx.Response(301, headers={"Location": "http://evil/"})
    moved = httpx.MockTransport(lambda _request: answer)
    away = Client("http://server:1", auth=("admin", "secret"), transport=moved)
    with pytest.raises(Unintelligible, match="redirects"):
        away.status()


def test_no_server(api: FakeApi, client: Client) -> None:
    """The error names the address, the reason and what to do."""
    api.at("GET", REPOSITORIES, httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(Unreachable) as caught:
        client.repositories()
    assert caught.value.message == (
        "No server answers at http://server:1 (Connection refused): start one with "
        "`pulpit serve`, or name another with --url or PULPIT_URL."
    )


@pytest.mark.parametrize(
    "url", ["", "server", "ftp://server", "http://", "http://u:p@server", "http://server:port"]
)
def test_addresses_are_checked(url: str) -> None:
    """What is no http address, or holds a password, is refused before anything is sent."""
    with pytest.raises(ValueError):
        Client(url)


def test_searching_tasks(api: FakeApi, client: Client) -> None:
    """Tags, states and limit go into the criteria."""
    api.at("POST", "/pulp/api/v2/tasks/search/", [report()])
    found = client.tasks(tags=["a", "b"], states=["error"], limit=5)
    assert [task.task_id for task in found] == [TASK]
    assert api.bodies("POST", "/pulp/api/v2/tasks/search/") == [
        {
            "criteria": {
                "filters": {"$and": [{"tags": "a"}, {"tags": "b"}], "state": {"$in": ["error"]}},
                "sort": [["_id", "descending"]],
                "limit": 5,
            }
        }
    ]


def test_a_snapshot_is_read_to_its_end(api: FakeApi, client: Client) -> None:
    """All pages make one snapshot, with the number of the first."""
    api.snapshot(report("running", task_id="a"), sequence=7, revision=3, next_="p")
    api.snapshot(report("waiting", task_id="b"), sequence=7, revision=1)
    found = client.snapshot(repository="zoo", state=("running", "waiting"))
    assert found == Snapshot(
        sequence=7,
        tasks=(
            KnownTask(revision=3, report=TaskReport.from_document(report("running", task_id="a"))),
            KnownTask(revision=1, report=TaskReport.from_document(report("waiting", task_id="b"))),
        ),
    )
    assert [str(request.url.query, "ascii") for request in api.requests] == [
        "repository=zoo&state=running&state=waiting",
        "repository=zoo&state=running&state=waiting&page=p",
    ]


def test_tasks_of_a_group(api: FakeApi, client: Client) -> None:
    """They are searched for by what they share."""
    api.at("POST", "/pulp/api/v2/tasks/search/", [report()])
    assert [task.task_id for task in client.tasks(group="g", limit=5)] == [TASK]
    assert api.bodies("POST", "/pulp/api/v2/tasks/search/")[0]["criteria"] == {
        "filters": {"group_id": "g"},
        "sort": [["_id", "descending"]],
        "limit": 5,
    }


_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("status", (), {}),
    ("check_credentials", (), {}),
    ("repositories", (), {}),
    ("repository", ("zoo",), {}),
    ("create_repository", ({"id": "zoo"},), {}),
    ("delete_repository", ("zoo",), {}),
    ("sync", ("zoo",), {"override": {"force": True}}),
    ("publish", ("zoo", "yum"), {"override": {"force_full": True}}),
    ("units", ("zoo",), {"types": ["rpm"], "filters": {"name": "bell"}, "limit": 3}),
    ("orphans", (), {}),
    ("orphans_of", ("iso",), {}),
    ("remove_orphans", ("iso",), {}),
    (
        "copy_units",
        ("zoo", "den"),
        {"criteria": {"type_ids": ["rpm"]}, "override": {"recursive": True}},
    ),
    ("remove_units", ("zoo",), {"criteria": {"limit": 1}}),
    ("tasks", (), {"tags": ["a"], "states": ["error"], "group": "g", "limit": 3}),
    ("task", (TASK,), {}),
    ("cancel", (TASK,), {}),
    ("head", (), {}),
    ("snapshot", (), {"task": TASK, "tag": "a", "repository": "zoo", "state": ["error"]}),
]


def _scripted() -> FakeApi:
    """Return a server that answers every call."""
    api = FakeApi()
    root, zoo = "/pulp/api/v2/", f"{REPOSITORIES}zoo/"
    api.at("GET", f"{root}status/", {"api_version": "2"})
    api.at("POST", f"{zoo}search/units/", [{"metadata": {"name": "bell"}}])
    api.at("GET", f"{root}plugins/types/", [])
    api.at("GET", REPOSITORIES, [{"id": "zoo"}])
    api.at("GET", zoo, {"id": "zoo"})
    api.at("POST", REPOSITORIES, {"id": "zoo"}, 201)
    api.at("GET", f"{root}content/orphans/", {"iso": {"count": 1}})
    api.at("GET", f"{root}content/orphans/iso/", [{"_id": "u"}])
    for method, path in (
        ("DELETE", f"{root}content/orphans/iso/"),
        ("DELETE", zoo),
        ("POST", f"{zoo}actions/sync/"),
        ("POST", f"{zoo}actions/publish/"),
        ("POST", f"{zoo}actions/associate/"),
        ("POST", f"{zoo}actions/unassociate/"),
    ):
        api.call(method, path, TASK)
    api.at("POST", f"{root}tasks/search/", [report()])
    api.at("GET", f"{root}tasks/{TASK}/", report())
    api.at("DELETE", f"{root}tasks/{TASK}/", None)
    api.snapshot(report())
    return api


@pytest.mark.parametrize(("name", "args", "options"), _CALLS, ids=[call[0] for call in _CALLS])
def test_both_clients_send_and_return_the_same(
    name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Each call of AsyncClient is that of Client, awaited."""
    ours, theirs = _scripted(), _scripted()

    async def ask() -> Any:
        async with AsyncClient(
            "http://server:1/", auth=("admin", "secret"), transport=theirs.transport
        ) as other:
            assert other.url == "http://server:1"
            return await getattr(other, name)(*args, **options)

    with Client("http://server:1/", auth=("admin", "secret"), transport=ours.transport) as client:
        assert getattr(client, name)(*args, **options) == asyncio.run(ask())
    sent = [(item.method, item.url, item.content) for item in ours.requests]
    assert sent == [(item.method, item.url, item.content) for item in theirs.requests]
    assert len(sent) == 1


def test_both_clients_have_the_same_calls() -> None:
    """None is left out of one of them, or of the comparison above."""

    def calls(kind: type) -> dict[str, list[str]]:
        public = {name: found for name, found in vars(kind).items() if not name.startswith("_")}
        return {
            name: list(inspect.signature(found).parameters)
            for name, found in public.items()
            if callable(found)
        }

    assert calls(Client) == calls(AsyncClient)
    assert set(calls(Client)) - {"close", "events", "follow"} == {name for name, _, _ in _CALLS}


def test_an_async_client_raises_the_same_errors() -> None:
    """A refusal and a dead address have the classes that they have elsewhere."""

    async def ask(transport: httpx.MockTransport) -> None:
        async with AsyncClient("http://server:1", transport=transport) as client:
            await client.task(TASK)

    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unauthenticated):
        asyncio.run(ask(FakeApi().transport))
    with pytest.raises(Unreachable):
        asyncio.run(ask(httpx.MockTransport(dead)))


@pytest.mark.parametrize("on_a_loop", [False, True])
def test_a_connection_that_was_closed_is_made_anew(*, on_a_loop: bool) -> None:
    """Once, and only for what may be asked twice: a server closes connections that are idle."""
    asked: list[str] = []

    def closed_once(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if asked.count(request.method) == 1:
            raise httpx.ReadError("reset")
        return httpx.Response(200, json=report())

    transport = httpx.MockTransport(closed_once)

    async def ask(name: str) -> Any:
        async with AsyncClient("http://server:1", transport=transport) as client:
            return await getattr(client, name)(TASK)

    def run(name: str) -> Any:
        if on_a_loop:
            return asyncio.run(ask(name))
        with Client("http://server:1", transport=transport) as client:
            return getattr(client, name)(TASK)

    assert run("task").task_id == TASK
    with pytest.raises(Unreachable):
        run("cancel")
    assert asked == ["GET", "GET", "DELETE"]
