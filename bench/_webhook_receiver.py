"""A receiver of webhooks that does as little as possible: ``python -m bench._webhook_receiver``.

Says its port, takes every POST with 204, and answers each line of its input with how many it took.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

__all__ = ["main"]

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Taken:
    """How many requests were taken."""

    count = 0


class _Connection(asyncio.Protocol):
    """Counts the requests of one connection."""

    def __init__(self, taken: _Taken) -> None:
        self._taken = taken
        self._rest = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        while (end := data.find(_END)) >= 0:
            head = data[:end].lower()
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            whole = end + len(_END) + length
            if len(data) < whole:
                break
            data = data[whole:]
            self._taken.count += 1
            self._transport.write(_ANSWER)
        self._rest = data


async def _serve() -> None:
    """Take requests until the input ends."""
    taken, loop = _Taken(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(taken), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(taken.count, flush=True)
    server.close()


def main() -> None:
    """Serve."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
