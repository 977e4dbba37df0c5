"""The path that can be cut and held up, which other tests build on."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.services import PATIENCE
from tests.services.relay import Relay


@pytest.fixture
def service() -> Iterator[socket.socket]:
    """Yield a socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def _connected(relay: Relay, service: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection through the relay."""
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE)
    served, _ = service.accept()
    served.settimeout(10)
    return client, served


def test_bytes_pass_both_ways(service: socket.socket) -> None:
    """Until somebody cuts it, the path is as good as none."""
    with Relay(service.getsockname()[1]) as relay:
        client, served = _connected(relay, service)
        with client, served:
            client.sendall(b"there")
            assert served.recv(5, socket.MSG_WAITALL) == b"there"
            served.sendall(b"and back")
            assert client.recv(8, socket.MSG_WAITALL) == b"and back"


def test_cut_after_some_bytes(service: socket.socket) -> None:
    """What is announced passes, the rest never comes; the next connection is a good one."""
    with Relay(service.getsockname()[1]) as relay:
        client, served = _connected(relay, service)
        with client, served:
            relay.cut(after=3)
            client.sendall(b"frame")
            assert served.recv(3, socket.MSG_WAITALL) == b"fra"
            assert _has_ended(served)
        client, served = _connected(relay, service)
        with client, served:
            client.sendall(b"frame")
            assert served.recv(5, socket.MSG_WAITALL) == b"frame"


def test_halted_bytes_come_later(service: socket.socket) -> None:
    """A path that carries nothing loses nothing."""
    with Relay(service.getsockname()[1]) as relay:
        client, served = _connected(relay, service)
        with client, served:
            relay.halt()
            client.sendall(b"late")
            served.settimeout(0.1)
            with pytest.raises(TimeoutError):
                served.recv(1)
            served.settimeout(10)
            relay.resume()
            assert served.recv(4, socket.MSG_WAITALL) == b"late"


def _has_ended(sock: socket.socket) -> bool:
    """Return whether nothing more came, and nothing more can."""
    try:
        return not sock.recv(1)
    except ConnectionResetError:
        return True
