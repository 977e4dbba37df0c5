"""The end of a process that hangs when it was told to stop."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import structlog
from structlog.testing import LogCapture

from pulpit.app.last_resort import HUNG, LastResort
from tests.services import PATIENCE


def test_it_ends_what_does_not_end_by_itself() -> None:
    """Once, however often it is told to stop, and the log says so before."""
    ended: SimpleQueue[int] = SimpleQueue()
    logged = LogCapture()
    log = structlog.wrap_logger(None, processors=[logged])
    last_resort = LastResort(log, seconds=0.01, end=ended.put)
    assert ended.empty()
    last_resort.stop_asked()
    last_resort.stop_asked()
    assert ended.get(timeout=PATIENCE) == HUNG
    (line,) = logged.entries
    assert line["log_level"] == "error"
    assert "something hangs" in line["event"]
    assert ended.empty()


def test_a_log_that_hangs_holds_nothing_up() -> None:
    """Whoever reads the log may be what hangs."""
    ended: SimpleQueue[int] = SimpleQueue()
    released = threading.Event()

    def hang(*_: object) -> str:
        released.wait()
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, processors=[hang])
    LastResort(log, seconds=0, end=ended.put).stop_asked()
    try:
        assert ended.get(timeout=PATIENCE) == HUNG
    finally:
        released.set()
