"""A static HTTP server that costs next to nothing, as ``python -m bench._feed FOLDER``.

It holds the folder in memory and prints its port. A benchmark's floor and its subject download
from the same one, in a process of its own, so that neither waits for the other's interpreter.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import uvloop

__all__ = ["serving"]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve *folder* from a process of its own and yield its URL, with a slash at the end."""
    command = [sys.executable, "-m", "bench._feed", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.terminate()


class _Connection(asyncio.Protocol):
    """One connection with keep-alive; requests have no body."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            self._transport.write(self._answers.get(path, self._answers[b""]))


def _answers(folder: Path) -> dict[bytes, bytes]:
    """Return the whole answer for each path; for the empty one, that there is no such file."""
    answers = {b"": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {len(data)}\r\n\r\n"
            )
            answers[f"/{path.relative_to(folder)}".encode()] = head.encode() + data
    return answers


async def _serve(folder: Path) -> None:
    """Serve until the process ends."""
    answers = _answers(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
