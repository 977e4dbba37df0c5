"""The receivers of webhooks that documentation and examples show, run as they stand."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from tests.acceptance.server import ReadyProcess
from tests.services import PATIENCE, free_ports, until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "receivers" / "webhook_receiver.py"
PAGE = (ROOT / "docs" / "howto" / "listeners.md").read_text(encoding="utf-8")
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four!").decode()


class Receiver:
    """A receiver that runs."""

    def __init__(self, port: int, running: ReadyProcess) -> None:
        self.url, self._running = f"http://127.0.0.1:{port}/", running

    def send(
        self,
        event_type: str,
        *,
        delivery: str | None = None,
        secret: str = SECRET,
        age: timedelta = timedelta(),
    ) -> int:
        """Send an event as the server does, and return the status of the answer."""
        body = json.dumps({"event_type": event_type, "payload": {}, "call_report": None})
        delivery, time = delivery or str(uuid.uuid4()), datetime.now(UTC) - age
        headers = {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(time.timestamp())),
            "webhook-signature": Webhook(secret).sign(delivery, time, body),
        }
        answer = httpx.post(self.url, content=body, headers=headers, timeout=PATIENCE)
        return answer.status_code

    @property
    def is_up(self) -> bool:
        """Whether it takes connections."""
        with suppress(httpx.TransportError):
            return httpx.get(self.url).status_code > 0
        return False

    def wait_for(self, event_type: str) -> None:
        """Wait until it has printed an event."""
        found = self._running.wait_for(lambda lines: event_type in "".join(lines), seconds=PATIENCE)
        assert found, self.printed

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return "".join(self._running.lines())


def _command(name: str, port: int) -> list[str]:
    """Return how a receiver is run."""
    if name == "example":
        return [sys.executable, str(EXAMPLE), str(port)]
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (secret,) = set(re.findall(r"whsec_\w+", code))
    return [sys.executable, "-c", code.replace(secret, SECRET).replace("9000", str(port))]


@pytest.fixture(params=["page", "example"], scope="module")
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """Yield each of them in turn."""
    (port,) = free_ports(1)
    environ = {**os.environ, "WEBHOOK_SECRET": SECRET}
    running = ReadyProcess(_command(request.param, port), environ=environ)
    try:
        found = Receiver(port, running)
        until(lambda: found.is_up or running.ended, "the receiver listens")
        yield found
    finally:
        running.kill()


def test_what_is_signed_is_taken_and_all_else_is_not(receiver: Receiver) -> None:
    """A wrong secret and a signature of yesterday are refused, and nothing of them is printed."""
    other = "whsec_" + base64.b64encode(b"another secret of others").decode()
    assert receiver.send("task.error", secret=other) == HTTPStatus.UNAUTHORIZED
    assert receiver.send("task.canceled", age=timedelta(days=1)) == HTTPStatus.UNAUTHORIZED
    assert receiver.send("task.finished") < HTTPStatus.MULTIPLE_CHOICES
    receiver.wait_for("task.finished")
    assert "task.error" not in receiver.printed
    assert "task.canceled" not in receiver.printed


@pytest.mark.parametrize("receiver", ["example"], indirect=True)
def test_the_example_tells_repeats(receiver: Receiver) -> None:
    """What comes again under the same id is taken, and printed once."""
    for _ in range(2):
        assert receiver.send("task.waiting", delivery="msg_1") == HTTPStatus.OK
    receiver.send("task.running")
    receiver.wait_for("task.running")
    assert receiver.printed.count("task.waiting") == 1
