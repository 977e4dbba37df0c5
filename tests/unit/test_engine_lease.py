"""The lease of a worker's processes."""

from __future__ import annotations

import multiprocessing
import signal

from pulpit.engine.lease import Lease, now

_CONTEXT = multiprocessing.get_context("forkserver")


def _outlive(lease: Lease, started: object) -> None:
    """Bind this process to the lease, and go on for ever."""
    lease.die_with_it()
    started.set()  # type: ignore[attr-defined]
    while True:
        signal.pause()


def test_a_lease_holds_from_before_the_question() -> None:
    """It runs from the time that is given, not from when the answer came; ended, none is left."""
    lease = Lease(_CONTEXT, seconds=20)
    assert lease.remaining <= 0
    lease.renew(since=now() - 5)
    assert 14 < lease.remaining <= 15
    lease.end()
    assert lease.remaining <= 0


def test_a_process_ends_with_the_lease() -> None:
    """The kernel's timer ends it, though its interpreter does nothing."""
    lease = Lease(_CONTEXT, seconds=20)
    lease.renew(since=now())
    started = _CONTEXT.Event()
    process = _CONTEXT.Process(target=_outlive, args=(lease, started))
    # so that it has begun, however busy the machine is, and ends soon
    lease.renew(since=now() - 17)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGALRM
    process.close()


def test_a_process_of_an_ended_lease_never_begins() -> None:
    """One that was started too late ends before its body."""
    lease = Lease(_CONTEXT, seconds=20)
    started = _CONTEXT.Event()
    process = _CONTEXT.Process(target=_outlive, args=(lease, started))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGALRM
    assert not started.is_set()
    process.close()
