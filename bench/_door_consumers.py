"""Consumers for the door benchmark, on bare sockets in one process.

    python -m bench._door_consumers HOST PORT CONSUMERS COUNT

Says ``ready`` when all are attached; in the end how many seconds passed from the first delivery to
the last. It reads no more of a frame than its header, so that it is faster than what it measures.
"""

from __future__ import annotations

import selectors
import struct
import sys
import time

from tests.door_wire import Wire

__all__ = ["main"]

_HEADER = struct.Struct(">BHI")
_METHOD = 1
_PATIENCE = 60.0


class _Counter:
    """Counts the deliveries in a stream that holds nothing else but heartbeats."""

    def __init__(self, wire: Wire) -> None:
        self.socket = wire.socket
        self.count = 0
        self._rest = b""

    def read(self) -> None:
        """Count what has arrived."""
        data = self._rest + self.socket.recv(1 << 18)
        at, size = 0, len(data)
        while size - at >= _HEADER.size:
            kind, _, length = _HEADER.unpack_from(data, at)
            if at + length + 8 > size:
                break
            self.count += kind == _METHOD
            at += length + 8
        self._rest = data[at:]


def main(host: str, port: int, consumers: int, count: int) -> None:
    """Attach *consumers* and wait until each has got *count* messages."""
    selector = selectors.DefaultSelector()
    for _ in range(consumers):
        wire = Wire(host, port).log_in()
        wire.consume(wire.queue("tasks.#"), no_ack=True)
        selector.register(wire.socket, selectors.EVENT_READ, _Counter(wire))
    print("ready", flush=True)
    began = 0.0
    while selector.get_map():
        events = selector.select(_PATIENCE)
        if not events:
            raise SystemExit("no delivery has come for a minute")
        began = began or time.perf_counter()
        for key, _ in events:
            key.data.read()
            if key.data.count >= count:
                selector.unregister(key.fileobj)
    print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
