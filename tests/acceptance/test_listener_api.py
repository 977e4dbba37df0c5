"""Listeners of the real server: created, tried out at a receiver, and there after a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook

from pulpit.client import ApiError
from pulpit.domain.findings import Outcome
from pulpit.storage.vault import KEY_FILE
from tests.acceptance.server import PulpitServer

PASSWORD = "keeper-of-the-zoo"
_CONFIG = """
[listeners]
allow_networks: 127.0.0.0/8
"""


class Receiver(ThreadingHTTPServer):
    """Takes everything, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Take it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.taken.append((headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Be quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver."""
    with Receiver() as receiving:
        thread = threading.Thread(target=receiving.serve_forever, daemon=True)
        thread.start()
        yield receiving
        receiving.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulpitServer]:
    """Yield one server for all tests of this module."""
    folder = tmp_path_factory.mktemp("listeners") / "data"
    with PulpitServer(folder, _CONFIG, door=False) as running:
        yield running


def test_a_listener_is_tried_out_and_outlives_a_restart(
    server: PulpitServer, receiver: Receiver
) -> None:
    """Pings are signed by the secret that was shown once; no file but the key opens it."""
    config = {"url": receiver.url, "username": "me", "password": PASSWORD}
    sent = {"notifier_type_id": "http", "notifier_config": config, "event_types": ["*"]}
    with server.client() as client:
        made = client.create_listener(sent)
        assert made.secret is not None
        tested = client.test_listener(made.id)
        assert tested.delivered
        assert any("webhook-signature" in line.lower() for line in tested.exchange["sent"])
        findings = client.diagnose_listener(made.id)
        assert Outcome.OK in {finding.outcome for finding in findings}
        assert PASSWORD not in str([tested.document, findings])
    server.stop()
    server.start()
    with server.client() as client:
        assert client.test_listener(made.id).delivered
        secret = client.rotate_listener_secret(made.id, overlap=0).secret
        assert client.test_listener(made.id).delivered
    assert [headers["authorization"] for headers, _ in receiver.taken] == [
        "Basic bWU6a2VlcGVyLW9mLXRoZS16b28="
    ] * 3
    keys = (made.secret, made.secret, secret)
    for (headers, body), key in zip(receiver.taken, keys, strict=True):
        assert Webhook(key).verify(body, headers)["event_type"] == "ping"
    kept = b"".join(path.read_bytes() for path in server.data.glob("pulpit.db*"))
    for hidden in (PASSWORD, *keys):
        assert hidden not in server.log()
        assert hidden.encode() not in kept
    assert (server.data / KEY_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("kind", "config", "key"),
    [
        ("http", {"url": "https://me:secret@hooks.example/"}, "url"),
        ("http", {"url": "http://10.0.0.1/"}, "url"),
        (
            "email",
            {"subject": "s", "addresses": ["ops@a.example\r\nBcc: b@a.example"]},
            "addresses",
        ),
    ],
)
def test_configurations_are_judged_by_their_type(
    server: PulpitServer, kind: str, config: dict[str, object], key: str
) -> None:
    """In words that say what to change, without what may be secret."""
    sent = {"notifier_type_id": kind, "notifier_config": config, "event_types": ["*"]}
    with server.client() as client, pytest.raises(ApiError) as refused:
        client.create_listener(sent)
    assert refused.value.status == 400
    assert refused.value.data["property_names"] == [key]
    assert "me:secret" not in refused.value.message
