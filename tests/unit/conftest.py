"""Unit tests reach no network: a connection to anything but a Unix socket is an error."""

from __future__ import annotations

import socket
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections; tests that need a server stand in tests/integration."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def checked(sock: socket.socket, address: Any) -> None:
        _refuse_network(sock, address)
        connect(sock, address)

    def checked_ex(sock: socket.socket, address: Any) -> int:
        _refuse_network(sock, address)
        return connect_ex(sock, address)

    monkeypatch.setattr(socket.socket, "connect", checked)
    monkeypatch.setattr(socket.socket, "connect_ex", checked_ex)


def _refuse_network(sock: socket.socket, address: object) -> None:
    """Fail the test that connects to a network."""
    if sock.family is not socket.AF_UNIX:
        pytest.fail(f"a unit test connects to {address}: move it to tests/integration")
