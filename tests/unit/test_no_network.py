"""The guard that keeps unit tests off the network."""

from __future__ import annotations

import socket

import pytest


def test_a_unit_test_cannot_connect() -> None:
    """A connection fails the test before anything is sent, on loopback too."""
    with (
        socket.socket() as sock,
        pytest.raises(pytest.fail.Exception, match="move it to tests/integration"),
    ):
        sock.connect(("127.0.0.1", 9))


def test_a_unit_test_can_use_a_socket_pair() -> None:
    """Sockets between threads of the test are no network."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
