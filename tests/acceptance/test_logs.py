"""The log of the real server: JSON whatever happens, and requests where they are asked for."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance.server import PulpitServer
from tests.services import PATIENCE

CONFIG = "log_type: json\naccess_log: true"


def lines(server: PulpitServer) -> list[dict[str, Any]]:
    """Return the log; a line that is no JSON object fails."""
    found = [json.loads(line) for line in server.log().splitlines()]
    for line in found:
        assert {"timestamp", "level", "event"} <= set(line)
    return found


def raw(server: PulpitServer, request: bytes) -> None:
    """Send bytes as they are and wait for the end of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as plug:
        plug.sendall(request)
        while plug.recv(65536):
            continue


def test_every_line_is_json_from_start_to_end(tmp_path: Path) -> None:
    """Requests stand there without their query; hostile ones stay in their field."""
    with PulpitServer(tmp_path / "data", CONFIG) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            client.get("/live", params={"token": "keeper"})
            client.get("/pulp/api/v2/tasks/")
        path = b"/%1b%5b2J%0a%7b%22event%22:%22forged%22%7d"
        raw(server, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        raw(server, b"\x1b[2J not HTTP\r\n\r\n")
    told = lines(server)
    requests = {line["path"]: line for line in told if line["event"] == "request"}
    live = requests["/live"]
    assert (live["method"], live["status"], live["peer"]) == ("GET", 200, "127.0.0.1")
    assert live["bytes"] > 0
    assert live["seconds"] >= 0
    assert requests["/pulp/api/v2/tasks/"]["status"] == 401
    assert '/\\x1b[2J\\n{"event":"forged"}' in requests
    assert "forged" not in {line["event"] for line in told}
    assert "keeper" not in server.log()
    assert server.password not in server.log()


def test_requests_are_not_logged_unasked(tmp_path: Path) -> None:
    """By default a request leaves no line."""
    with PulpitServer(tmp_path / "data", door=False) as server:
        httpx.get(f"{server.url}/live", trust_env=False)
    assert "/live" not in server.log()


def test_a_broker_that_refuses_shows_no_password(tmp_path: Path) -> None:
    """Neither where it is named nor where it fails."""
    url = "amqp://zoo:keeper@127.0.0.1:1/;amqps://zoo:keeper@nowhere.invalid/"
    config = f"log_type: json\n[messaging]\nevent_notification_url: {url}"
    with PulpitServer(tmp_path / "data", config, door=False, arguments=["--events"]) as server:
        httpx.get(f"{server.url}/ready", trust_env=False)
    told = lines(server)
    assert any(line.get("reason") == "unreachable" for line in told)
    assert "keeper" not in server.log()
