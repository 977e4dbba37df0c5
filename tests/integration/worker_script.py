"""Runs a worker with the bodies of the tests until SIGTERM; light, as each child imports it.

Usage: python -m tests.integration.worker_script URL NAME SLOTS TIMEOUT
"""

from __future__ import annotations

import signal
import sys
import threading

import structlog


def _main(url: str, name: str, slots: str, timeout: str) -> int:
    """Run a worker; return the exit code."""
    from pulpit.storage.postgresql import PostgresStorage  # noqa: PLC0415
    from tests.integration.engines import make_worker  # noqa: PLC0415

    # what it prints says that it is ready
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = threading.Event()
    failed: list[bool] = []

    def fail() -> None:
        failed.append(True)
        stop.set()

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with PostgresStorage(url, connections=4) as storage:
        worker = make_worker(
            storage, url, name=name, slots=int(slots), timeout=float(timeout), failed=fail
        )
        worker.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        stop.wait()
        worker.stop()
    return len(failed)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
