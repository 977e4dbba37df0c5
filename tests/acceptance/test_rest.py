"""The REST API of the real server: hostile requests, which are all answered."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.server import PulpitServer
from tests.services import PATIENCE

API = "/pulp/api/v2"
_BASIC = base64.b64encode(f"{PulpitServer.user}:{PulpitServer.password}".encode()).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield one server for all tests of this module."""
    folder = tmp_path_factory.mktemp("rest") / "data"
    with PulpitServer(folder, door=False) as running:
        yield running


@pytest.fixture
def http(server: PulpitServer) -> Iterator[httpx.Client]:
    """Yield a plain HTTP client of the API."""
    auth = (server.user, server.password)
    with httpx.Client(base_url=server.url, auth=auth, timeout=PATIENCE, trust_env=False) as client:
        yield client


def _raw(server: PulpitServer, request: bytes) -> bytes:
    """Send bytes, and return what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def _request(method: bytes, target: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    lines = [
        method + b" " + target + b" HTTP/1.1",
        b"Host: x",
        b"Connection: close",
        b"Authorization: Basic " + _BASIC.encode(),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (_request(b"GET", b"/pulp/api/v2/tasks/\xff\xfe/"), {400, 404}),
        (_request(b"GET", b"/pulp/api/v2/tasks/%ff%fe/"), {404}),
        (_request(b"GET", b"/pulp/api/v2/tasks/%00/"), {404}),
        (_request(b"GET", b"/pulp/api/v2/repositories/" + b"a" * 30_000 + b"/"), {400, 404}),
        (_request(b"GET", b"/pulp/api/v2/tasks/?tag=" + b"%41" * 9_000), {200, 400}),
        (_request(b"GET", b"/pulp/api/v2/tasks/?tag=%ff&tag=\xc3\xa4"), {200, 400}),
        (_request(b"GET", b"http://evil.example/pulp/api/v2/tasks/none/"), {404}),
        (_request(b"GET", b"/pulp/api/v2/../../etc/passwd"), {404}),
        (_request(b"GET", b"/pulp/repos/../../../../etc/passwd"), {404}),
        (_request(b"GET", b"/pulp/repos/%2e%2e/%2e%2e/etc/passwd"), {404}),
        (_request(b"GET", b"/pulp/api/v2/tasks"), {301}),
        (_request(b"get", b"/pulp/api/v2/tasks/"), {400, 405}),
        (_request(b"BREW", b"/pulp/api/v2/tasks/"), {400, 405}),
        (_request(b"GET", b"/pulp/api/v2/tasks/", b"Authorization: Basic \xff\xff"), {200, 401}),
        (
            _request(b"POST", b"/pulp/api/v2/repositories/", b"Content-Length: 99999999999"),
            {413},
        ),
        (
            _request(b"POST", b"/pulp/api/v2/repositories/", b"Content-Length: 2", body=b"{}"),
            {400},
        ),
        (
            _request(
                b"POST",
                b"/pulp/api/v2/repositories/",
                b"Transfer-Encoding: chunked",
                body=b"zzz\r\n",
            ),
            {400},
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),
        (b"AMQP\x00\x00\x09\x01", {400}),
    ],
)
def test_hostile_bytes_are_answered(
    server: PulpitServer, request_bytes: bytes, statuses: set[int]
) -> None:
    """Whatever comes over the wire has an answer, none of them an error of the server's own."""
    received = _raw(server, request_bytes)
    status = int(received.split(b" ", 2)[1])
    assert status in statuses, received[:500]
    assert server.running


def test_a_body_that_never_comes_holds_nobody_up(server: PulpitServer, http: httpx.Client) -> None:
    """Requests that stop in the middle take no turn of those that are whole."""
    half = _request(b"POST", b"/pulp/api/v2/repositories/", b"Content-Length: 1000", body=b'{"id')
    connections = [
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(100)
    ]
    try:
        for connection in connections:
            connection.sendall(half)
        for _ in range(5):
            assert http.get(f"{API}/tasks/").status_code == 200
    finally:
        for connection in connections:
            connection.close()
    assert http.get(f"{API}/tasks/").status_code == 200


def test_a_stranger_cant_fill_the_memory(server: PulpitServer) -> None:
    """A head without end is cut off long before it costs anything."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionError):
            _flood(connection)


def _flood(connection: socket.socket) -> None:
    for _ in range(1_000):
        connection.sendall(b"x: y\r\n" * 10_000)


def test_guessing_holds_nobody_up(server: PulpitServer, http: httpx.Client) -> None:
    """Many who guess passwords at once don't keep those out who are known."""
    assert http.get(f"{API}/tasks/").status_code == 200
    refused: list[int] = []

    def guess(number: int) -> None:
        answer = httpx.get(
            f"{server.url}{API}/tasks/",
            auth=(server.user, f"guess {number}"),
            timeout=60,
            trust_env=False,
        )
        refused.append(answer.status_code)

    guesses = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for thread in guesses:
        thread.start()
    begun = time.monotonic()
    for _ in range(3):
        assert http.get(f"{API}/tasks/").status_code == 200
    known = time.monotonic() - begun
    for thread in guesses:
        thread.join()
    guessed = time.monotonic() - begun
    assert refused == [401] * 12
    assert known < guessed


def test_bodies_are_one_json_text(http: httpx.Client) -> None:
    """Answers name their length and type, and hold what JSON allows."""
    for path, status in ((f"{API}/tasks/", 200), (f"{API}/tasks/x/", 404), (f"{API}/x/", 404)):
        answer = http.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.content)
        json.loads(answer.content)


def test_the_log_tells_of_no_error_of_its_own(server: PulpitServer) -> None:
    """After all of the above: nothing failed that nobody thought of, and no secret was logged."""
    log = server.log()
    assert "request failed" not in log
    assert "Traceback" not in log
    assert server.password not in log
