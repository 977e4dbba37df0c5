"""The client's calls about uploads, and files that are sent by them through losses."""

from __future__ import annotations

import asyncio
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

from pulpit.client import (
    AsyncClient,
    Backoff,
    Client,
    Conflict,
    Unintelligible,
    Unreachable,
    UploadState,
    send_file,
)
from pulpit.client.asynchronous_uploads import AsyncUploadCalls
from pulpit.client.blocking_uploads import UploadCalls
from pulpit.client.files import missing_pieces
from tests.unit.fake_api import TASK, FakeApi, error_body

ALL = "/pulp/api/v2/content/uploads/"
ONE = f"{ALL}u1/"
IMPORT = "/pulp/api/v2/repositories/zoo/actions/import_upload/"
AUTH = ("admin", "secret")
_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("begin_upload", ()),
    ("upload_state", ("u1",)),
    ("send_bytes", ("u1", 7, b"\x00\xff")),
    ("delete_upload", ("u1",)),
    ("import_upload", ("zoo", {"upload_id": "u1", "unit_type_id": "rpm"})),
]


def _scripted() -> FakeApi:
    """Return a server that answers every call."""
    api = FakeApi()
    api.at("POST", ALL, {"_href": ONE, "upload_id": "u1"}, 201)
    api.at("GET", ONE, {"upload_id": "u1", "received": [{"start": 0, "end": 3}]})
    api.at("PUT", f"{ONE}7/", None)
    api.at("DELETE", ONE, None)
    api.call("POST", IMPORT, TASK)
    return api


@pytest.mark.parametrize(("name", "args"), _CALLS, ids=[call[0] for call in _CALLS])
def test_both_clients_send_and_return_the_same(name: str, args: tuple[Any, ...]) -> None:
    """Each call of AsyncClient is that of Client, awaited."""
    ours, theirs = _scripted(), _scripted()

    async def ask() -> Any:
        async with AsyncClient("http://server:1", auth=AUTH, transport=theirs.transport) as other:
            return await getattr(other, name)(*args)

    with Client("http://server:1", auth=AUTH, transport=ours.transport) as client:
        assert getattr(client, name)(*args) == asyncio.run(ask())
    sent = [(item.method, item.url, item.content) for item in ours.requests]
    assert sent == [(item.method, item.url, item.content) for item in theirs.requests]
    assert len(sent) == 1


def test_both_clients_have_the_same_calls() -> None:
    """None is left out of one of them, or of the comparison above."""

    def calls(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(found).parameters)
            for name, found in vars(kind).items()
            if callable(found) and not name.startswith("_")
        }

    assert calls(UploadCalls) == calls(AsyncUploadCalls)
    assert set(calls(UploadCalls)) == {name for name, _ in _CALLS}


def test_answers_are_read() -> None:
    """Ids and spans; what is none of them is no answer of a server."""
    api = _scripted()
    with Client("http://server:1", auth=AUTH, transport=api.transport) as client:
        assert client.begin_upload() == "u1"
        assert client.upload_state("u1") == UploadState(upload_id="u1", received=((0, 3),))
        assert client.import_upload("zoo", {}).spawned == (TASK,)
        assert api.requests[-1].headers["Content-Type"] == "application/json"
        answers: list[Any] = [[], {}, {"upload_id": "u1", "received": [1]}, {"upload_id": 1}]
        for bad in answers:
            api.at("POST", ALL, bad, 201)
            api.at("GET", ONE, bad)
            with pytest.raises(Unintelligible):
                client.upload_state("u1")
        api.at("POST", ALL, error_body(409, "PLPIT15", "too many"), 409)
        with pytest.raises(Conflict):
            client.begin_upload()


def test_what_is_missing_is_cut_into_pieces() -> None:
    """Between what there is, and behind it."""

    def missing(*received: tuple[int, int], size: int = 25) -> list[range]:
        state = UploadState(upload_id="u", received=received)
        return list(missing_pieces(state, size, piece=10))

    assert missing() == [range(10), range(10, 20), range(20, 25)]
    assert missing((0, 25)) == missing(size=0) == []
    assert missing((5, 8), (20, 21)) == [range(5), range(8, 18), range(18, 20), range(21, 25)]
    with pytest.raises(ValueError, match="larger"):
        missing((0, 26))


class _Server:
    """Takes what it is sent, but for some of it the first time."""

    def __init__(self, *, losing: frozenset[int] = frozenset()) -> None:
        self._losing = set(losing)
        self._lock = threading.Lock()
        self.data: dict[int, bytes] = {}

    def upload_state(self, upload_id: str) -> UploadState:
        """Return what has come."""
        spans = sorted((start, start + len(data)) for start, data in self.data.items())
        return UploadState(upload_id=upload_id, received=tuple(spans))

    def send_bytes(self, upload_id: str, offset: int, data: bytes) -> None:
        """Take some bytes, or lose them."""
        with self._lock:
            if offset in self._losing:
                self._losing.remove(offset)
                raise Unreachable("http://server:1", "reset")
            self.data[offset] = data


@pytest.mark.parametrize("losing", [frozenset[int](), frozenset({0, 30, 70})])
def test_a_file_is_sent_whole(tmp_path: Path, losing: frozenset[int]) -> None:
    """Whatever is lost on the way is sent again, and nothing else is."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(75)))
    server, told, waited = _Server(losing=losing), [], list[float]()
    send_file(
        server,
        path,
        "u",
        backoff=Backoff(),
        sent=lambda done, size: told.append((done, size)),
        piece=10,
        sleep=waited.append,
    )
    assert b"".join(data for _, data in sorted(server.data.items())) == path.read_bytes()
    assert told[0] == (0, 75)
    assert told[-1] == (75, 75)
    assert bool(waited) == bool(losing)


def test_sending_ends_when_there_is_no_server(tmp_path: Path) -> None:
    """After as long as the caller is patient; at once if there never was one."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    server = _Server(losing=frozenset({0}))
    with pytest.raises(Unreachable):
        send_file(server, path, "u", backoff=Backoff(patience=0), sent=lambda *_: None)
