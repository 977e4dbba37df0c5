"""Readers for the stream benchmark, on bare sockets in one process.

    python -m bench._stream_readers PORT READERS STUCK COUNT

Attaches STUCK readers that ask for all events there are and never read, then READERS that read
what comes; says ``ready``; once each of these has got COUNT events, says as JSON how many
milliseconds these took from before their commit: ``p50``, ``p99`` and ``max``.
"""

from __future__ import annotations

import base64
import json
import re
import selectors
import socket
import sys
import time

from bench._stream_server import AUTH

__all__ = ["main"]

_HOST = "127.0.0.1"
_SENT = re.compile(rb'"sent":(\d+)')
_PATIENCE = 60.0
#: Bytes that the kernel takes for a reader that is stuck.
_SMALL = 1 << 12


def _attach(port: int, query: str, *, receive_bytes: int | None = None) -> socket.socket:
    """Return a connection that has asked for the stream."""
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect((_HOST, port))
    login = base64.b64encode(":".join(AUTH).encode()).decode()
    connection.sendall(
        f"GET /pulpit/v1/events/{query} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
        f"Authorization: Basic {login}\r\n\r\n".encode()
    )
    return connection


def _await_greeting(connection: socket.socket) -> None:
    """Read up to the first sign of life, after which all events come."""
    connection.settimeout(_PATIENCE)
    received = b""
    while b": alive\n\n" not in received:
        received += connection.recv(1 << 16)
    connection.settimeout(0)


class _Reader:
    """Keeps how long each event took."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.delays: list[float] = []
        self._rest = b""

    def read(self) -> None:
        """Take what has arrived."""
        data = self._rest + self.socket.recv(1 << 18)
        now = time.monotonic_ns()
        end = 0
        for found in _SENT.finditer(data):
            self.delays.append((now - int(found[1])) / 1e6)
            end = found.end()
        # a number that may go on is looked at again
        self._rest = data[max(end, len(data) - 40) :]


def main(port: int, readers: int, stuck: int, count: int) -> None:
    """Attach, wait for the events and say how long they took."""
    silent = [_attach(port, "?since=0", receive_bytes=_SMALL) for _ in range(stuck)]
    selector = selectors.DefaultSelector()
    reading = [_Reader(_attach(port, "")) for _ in range(readers)]
    for reader in reading:
        _await_greeting(reader.socket)
        selector.register(reader.socket, selectors.EVENT_READ, reader)
    print("ready", flush=True)
    while selector.get_map():
        events = selector.select(_PATIENCE)
        if not events:
            raise SystemExit("no event has come for a minute")
        for key, _ in events:
            key.data.read()
            if len(key.data.delays) >= count:
                selector.unregister(key.fileobj)
    delays = sorted(delay for reader in reading for delay in reader.delays)
    told = {name: delays[int(share * (len(delays) - 1))] for name, share in _SHARES.items()}
    print(json.dumps(told), flush=True)
    # those that are stuck are there until it is asked for the end
    sys.stdin.readline()
    for connection in silent:
        connection.close()


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
