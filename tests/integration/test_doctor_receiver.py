"""The doctor and receivers that answer by the drop."""

from __future__ import annotations

import ipaddress
import socket
import threading
from datetime import UTC, datetime

import pytest

from pulpit.app.doctor.findings import Problem
from pulpit.app.doctor.receiver import Receiver
from pulpit.domain.clock import utc_now
from pulpit.domain.listeners import Listener, NotifierType, OpenListener
from pulpit.events.notifiers.networks import Networks

_NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
#: Drops of an answer that never ends, and the seconds between two: far less than one may wait.
_DROPS, _PAUSE = 100, 0.05


def _drip(server: socket.socket, hung_up: threading.Event) -> None:
    """Answer one request by drops; tell if the other side has had enough of them."""
    plug, _ = server.accept()
    with plug:
        plug.recv(65_536)
        plug.settimeout(_PAUSE)
        for _ in range(_DROPS):
            try:
                plug.sendall(b"H")
                if not plug.recv(1):
                    hung_up.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                hung_up.set()
                return


def test_an_answer_that_comes_by_the_drop_is_not_waited_for() -> None:
    hung_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=_drip, args=(server, hung_up))
        thread.start()
        listener = Listener(
            id="65f0c0de4f1d2a0001a2b3c4",
            notifier_type=NotifierType.HTTP,
            config={"url": f"http://127.0.0.1:{port}/hook"},
            created=_NOW,
            last_updated=_NOW,
        )
        receiver = Receiver(
            opened=OpenListener(listener=listener),
            networks=Networks([ipaddress.ip_network("127.0.0.1/32")]),
            now=utc_now,
            patience=0.3,
        )
        receiver.check_addresses()
        with pytest.raises(Problem, match="no answer by HTTP"):
            receiver.check_answer()
        thread.join(60.0)
    assert hung_up.is_set()
