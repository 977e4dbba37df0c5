"""The client's calls about schedules: what they send, by both clients."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from pulpit.client import AsyncClient, Client, Scheduled, ScheduleKind
from pulpit.client.asynchronous_schedules import AsyncScheduleCalls
from pulpit.client.blocking_schedules import ScheduleCalls
from tests.unit.fake_api import FakeApi

_ROOT = "/pulp/api/v2/repositories/"
_SYNC = Scheduled(kind=ScheduleKind.SYNC, repo_id="zoo", plugin_id="yum_importer")
_PUBLISH = Scheduled(kind=ScheduleKind.PUBLISH, repo_id="../z", plugin_id="a/b")
_SYNCS = "zoo/importers/yum_importer/schedules/sync/"
#: Quoted on the wire; what httpx shows of it is decoded.
_PUBLISHES = "../z/distributors/a/b/schedules/publish/"

#: Name and arguments of a call, what it sends where, and what is answered.
_CALLS: list[tuple[str, tuple[Any, ...], tuple[str, str, Any], Any]] = [
    ("schedules", (_SYNC,), ("GET", _SYNCS, None), [{"_id": "1"}]),
    ("schedule", (_SYNC, "1"), ("GET", f"{_SYNCS}1/", None), {"_id": "1"}),
    (
        "create_schedule",
        (_PUBLISH, {"schedule": "P1D"}),
        ("POST", _PUBLISHES, {"schedule": "P1D"}),
        {"_id": "1"},
    ),
    (
        "update_schedule",
        (_PUBLISH, "1", {"enabled": False}),
        ("PUT", f"{_PUBLISHES}1/", {"enabled": False}),
        {"_id": "1"},
    ),
    ("delete_schedule", (_SYNC, "1"), ("DELETE", f"{_SYNCS}1/", None), None),
]


@pytest.mark.parametrize(
    ("name", "args", "sent", "answer"), _CALLS, ids=[call[0] for call in _CALLS]
)
def test_both_clients_send_the_same(
    name: str, args: tuple[Any, ...], sent: tuple[str, str, Any], answer: Any
) -> None:
    """And return what the server said."""
    method, path, body = sent
    api = FakeApi()
    api.at(method, f"{_ROOT}{path}", answer)

    async def ask() -> Any:
        client = AsyncClient("http://s", auth=("admin", "secret"), transport=api.transport)
        try:
            return await getattr(client, name)(*args)
        finally:
            await client.close()

    with Client("http://s", auth=("admin", "secret"), transport=api.transport) as client:
        assert getattr(client, name)(*args) == answer == asyncio.run(ask())
    assert api.bodies(method, f"{_ROOT}{path}") == [body, body]


def test_parts_of_paths_are_quoted() -> None:
    """No id reaches another resource."""
    api = FakeApi()
    api.at("GET", f"{_ROOT}{_PUBLISHES}", [])
    with Client("http://s", auth=("admin", "secret"), transport=api.transport) as client:
        assert client.schedules(_PUBLISH) == []
    (request,) = api.requests
    assert request.url.raw_path.endswith(b"..%2Fz/distributors/a%2Fb/schedules/publish/")


def test_both_clients_have_the_same_calls() -> None:
    """With the same parameters."""
    for name, call in inspect.getmembers(ScheduleCalls, inspect.isfunction):
        twin = getattr(AsyncScheduleCalls, name)
        assert inspect.signature(twin) == inspect.signature(call)
