"""A connection to a broker that another process publishes to by now."""

from __future__ import annotations

import socket
from threading import Event as Flag

import pytest

from pulpit.errors import Fenced
from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.link import Link
from pulpit.events.message import message_of
from tests.services.journal import make_event


def test_a_connection_is_dropped_with_all_that_has_not_left() -> None:
    """Not even the system sends what waits: the other end sees a reset, as bytes are left out."""

    class Connection:
        """As the library's."""

        frame_max, heartbeat = 131_072, 0

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def collect(self) -> None:
            """Let go of the socket."""
            self.sock.close()

    may = Flag()
    may.set()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    link = Link(Connection(ours), Address(host="a", port=5672), who="x", may_send=may.is_set)
    big = message_of(make_event(1, body=b"x" * (8 << 20)), source="urn:x")
    with theirs:
        link.publish([big])
        may.clear()
        with pytest.raises(Fenced):
            link.wait(timeout=0)
        link.drop()
        received: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            received.extend(iter(lambda: theirs.recv(1 << 20), b""))
        assert sum(map(len, received)) < len(big.body)
