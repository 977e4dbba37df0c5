"""Real services that tests and benchmarks start for themselves, each below a folder of its own."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import NoReturn

import pytest

__all__ = ["free_ports", "missing"]


def missing(what: str) -> NoReturn:
    """Skip the test that needs *what*, or fail it where CI is set and everything is there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def free_ports(count: int) -> list[int]:
    """Return *count* different TCP ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
