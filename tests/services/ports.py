"""TCP ports of 127.0.0.1 that no other process of any test run is given."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import socket
import tempfile
import threading
from pathlib import Path

__all__ = ["free_ports"]

#: Below the ports that Linux gives to outgoing connections and to who asks for any.
_RANGE = range(20_000, 32_768)
_ONE_AT_A_TIME = threading.Lock()
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return *count* different TCP ports of 127.0.0.1 that nobody listens on now.

    They are this process's until it ends: neither another test process nor a connection gets one.

    Raises:
        RuntimeError: too few are left.
    """
    with _ONE_AT_A_TIME:
        ports = list(itertools.islice(filter(_take, _candidates()), count))
    if len(ports) < count:
        msg = f"fewer than {count} ports of 127.0.0.1 are free in {_RANGE}"
        raise RuntimeError(msg)
    return ports


def _candidates() -> list[int]:
    """Return all ports of the range; processes begin at different ones."""
    begin = os.getpid() * 997 % len(_RANGE)
    return [*_RANGE[begin:], *_RANGE[:begin]]


def _take(port: int) -> bool:
    """Return whether the port is ours now: not given before, and nobody's."""
    if port in _given:
        return False
    try:
        # the system lets go of it when this process ends, however it ends
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    with socket.socket() as sock:
        # what lingers of an ended connection hinders no server, which reuses addresses
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@functools.cache
def _locks() -> int:
    """Return the descriptor of the file that has a byte to lock for each port.

    It is this process's only one, and open until its end: closing any would free all locks.
    """
    path = Path(tempfile.gettempdir(), f"pulpit-ports-{os.getuid()}")
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
