"""Who was lost by which fault, and how long others may take to step in."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Literal

from tests.faults.delays import Loss
from tests.faults.schedule import Fault, Kind

__all__ = ["REAPING", "TAKEOVER", "WORKER_TIMEOUT", "Losses"]

#: Seconds without a heartbeat after which a worker is given up, in a round.
WORKER_TIMEOUT = 4.0
#: Seconds within which another one publishes when the leader is lost.
TAKEOVER = 5.0
#: Seconds within which the tasks of a lost worker are canceled: the reaper looks now and then.
REAPING = WORKER_TIMEOUT + 2.0
#: Seconds after the end of a fault in which it may still hold up others: a process starts.
_AFTERMATH = 6.0

_DATABASES = frozenset({Kind.KILL_DATABASE, Kind.STOP_DATABASE})
_LEADERS = frozenset({Kind.KILL_LEADER, Kind.FREEZE_LEADER, Kind.CUT_LEADER})
_APIS = _LEADERS | {Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.CUT_SERVER}
#: What may hold up those who step in: they need the database, and reaping is the leader's work.
_HOLDING_UP = _DATABASES | _APIS


class Losses:
    """All that was lost in a round."""

    def __init__(self) -> None:
        self._found: list[tuple[Fault, Loss]] = []
        self._faults: list[tuple[float, Fault]] = []

    def happened(self, fault: Fault) -> None:
        """Note that a fault has begun now."""
        self._faults.append((time.monotonic(), fault))

    def note(
        self,
        fault: Fault,
        kind: Literal["leader", "worker"],
        who: str,
        tasks: frozenset[str] = frozenset(),
    ) -> None:
        """Note that somebody is lost by a fault from now on."""
        promised = TAKEOVER if kind == "leader" else REAPING
        at = time.monotonic()
        self._found.append((fault, Loss(kind=kind, at=at, who=who, tasks=tasks, promised=promised)))

    def all(self) -> Sequence[Loss]:
        """Return them, with what excuses others for a delay."""
        return [
            dataclasses.replace(loss, excused=self._excuse(fault, loss))
            for fault, loss in self._found
        ]

    def _excuse(self, own: Fault, loss: Loss) -> float:
        """Return the seconds for which other faults may have held up who stepped in."""
        end = loss.at + loss.promised
        return sum(
            fault.seconds + _AFTERMATH
            for at, fault in self._faults
            if fault is not own
            and fault.kind in _HOLDING_UP
            and at <= end
            and at + fault.seconds + _AFTERMATH >= loss.at
        )
