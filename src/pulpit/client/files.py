"""Sending a file as an upload: several pieces at a time, and on after a loss."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Protocol

from pulpit.client.errors import ApiError, Unreachable
from pulpit.client.following import Backoff
from pulpit.client.upload_requests import UploadState

__all__ = ["PIECE", "missing_pieces", "send_file"]

#: Bytes that are sent at once, as clients of Pulp 2 do.
PIECE = 10 << 20
#: Pieces that are sent, and held in memory, at a time.
_PARALLEL = 4


class _Server(Protocol):
    """What of a client is needed here."""

    def upload_state(self, upload_id: str) -> UploadState: ...
    def send_bytes(self, upload_id: str, offset: int, data: bytes) -> None: ...


def missing_pieces(state: UploadState, size: int, *, piece: int = PIECE) -> Iterator[range]:
    """Yield what a server lacks of a file, at most *piece* bytes at a time, in order.

    Raises:
        ValueError: it has bytes behind the file's end.
    """
    here = 0
    for start, end in (*state.received, (size, size)):
        if end > size:
            raise ValueError(f"upload {state.upload_id} is of a file that is larger")
        for offset in range(here, start, piece):
            yield range(offset, min(offset + piece, start))
        here = max(here, end)


def send_file(
    server: _Server,
    path: Path,
    upload_id: str,
    *,
    backoff: Backoff,
    sent: Callable[[int, int], None],
    piece: int = PIECE,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send what a server lacks of a file.

    Args:
        server: a client of it, which several threads may use.
        path: the file.
        upload_id: the upload, which may have some of it.
        backoff: when to try again after a loss.
        sent: told how many bytes the server has, and of how many; by any thread.
        piece: bytes that are sent at once.
        sleep: waits so many seconds.

    Raises:
        ClientError: a piece was refused, or there was no server for too long.
        ValueError: the upload is of another file.
        OSError: the file can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while True:
            try:
                missing = list(missing_pieces(server.upload_state(upload_id), size, piece=piece))
                backoff.connected()
                _send(server, file.fileno(), upload_id, missing, size=size, sent=sent)
            except (Unreachable, ApiError) as error:
                sleep(backoff.failed(error))
            else:
                return


def _send(
    server: _Server,
    descriptor: int,
    upload_id: str,
    missing: list[range],
    *,
    size: int,
    sent: Callable[[int, int], None],
) -> None:
    """Send pieces of a file; after an error no more than are on their way."""
    done = size - sum(map(len, missing))
    sent(done, size)

    def send(piece: range) -> int:
        data = os.pread(descriptor, len(piece), piece.start)
        if len(data) < len(piece):
            raise OSError(f"the file has become shorter than {piece.stop} bytes")
        server.send_bytes(upload_id, piece.start, data)
        return len(piece)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        waiting = {pool.submit(send, piece) for piece in missing}
        try:
            while waiting:
                ended, waiting = wait(waiting, return_when=FIRST_EXCEPTION, timeout=0.2)
                done += sum(future.result() for future in ended)
                sent(done, size)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
