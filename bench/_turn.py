"""The turn of those who change tasks and journal, simulated event by event.

Each process collects updates, and asks for the turn once some wait and its grouping time is over.
Whoever asks first is first. It writes all that waits for it by then, which takes a fixed time and
one for each update; nobody else writes meanwhile. Single transactions of others (tasks that are
handed in, begin or end) take the turn as well.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Load", "Turn", "TurnCost", "simulate"]

#: As the supervisor has it.
_GROUPING = 0.005


@dataclass(frozen=True, kw_only=True)
class TurnCost:
    """For how long a transaction has the turn, in seconds."""

    #: Of each transaction, its commit included.
    fixed: float
    #: Of each update in it.
    each: float
    #: Of one that hands in, begins or ends a task.
    single: float


@dataclass(frozen=True, kw_only=True)
class Load:
    """Who asks for the turn."""

    #: Processes with updates, and how many updates a second there are of all of them.
    processes: int
    updates: float
    #: Transactions a second of the others.
    singles: float


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What came of it; times in seconds."""

    #: Updates a second that were committed.
    rate: float
    #: Updates in a transaction, on average.
    group: float
    #: From the update to its commit.
    p50: float
    p99: float
    #: The share of the time in which somebody has the turn.
    busy: float


class _Kind(IntEnum):
    UPDATE = 0
    SINGLE = 1
    ASKS = 2
    COMMITS = 3


#: In the queue for the turn: not a process with updates.
_OTHER = -1


class _Simulation:
    """One run; made by ``simulate``."""

    def __init__(self, cost: TurnCost, load: Load, *, seed: int) -> None:
        self._cost, self._load = cost, load
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, _Kind, int]] = []
        self._made = 0
        self._pending: list[list[float]] = [[] for _ in range(load.processes)]
        self._asking = [False] * load.processes
        self._written = [0.0] * load.processes
        self._queue: deque[int] = deque()
        self._writing: list[float] | None = None
        self._writer = _OTHER
        self.latencies: list[float] = []
        self.groups = 0
        self.busy = 0.0

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self._arrives(_Kind.UPDATE, 0.0, self._load.updates)
        self._arrives(_Kind.SINGLE, 0.0, self._load.singles)
        while self._events:
            now, _, kind, process = heapq.heappop(self._events)
            if now > seconds:
                return
            match kind:
                case _Kind.UPDATE:
                    self._pending[process].append(now)
                    self._asks_in_time(process, now)
                    self._arrives(kind, now, self._load.updates)
                case _Kind.SINGLE:
                    self._queue.append(_OTHER)
                    self._arrives(kind, now, self._load.singles)
                case _Kind.ASKS:
                    self._queue.append(process)
                case _Kind.COMMITS:
                    self._commits(now)
            if self._writing is None and self._queue:
                self._begins(now)

    def _arrives(self, kind: _Kind, now: float, per_second: float) -> None:
        """Let the next one come, to whichever process."""
        if per_second > 0:
            process = self._random.randrange(self._load.processes)
            self._at(now + self._random.expovariate(per_second), kind, process)

    def _asks_in_time(self, process: int, now: float) -> None:
        """Let a process ask for the turn once it may."""
        if not self._asking[process]:
            self._asking[process] = True
            self._at(max(now, self._written[process] + _GROUPING), _Kind.ASKS, process)

    def _begins(self, now: float) -> None:
        """Give the turn to the first who asked."""
        self._writer = self._queue.popleft()
        if self._writer == _OTHER:
            self._writing, taken = [], self._cost.single
        else:
            self._writing, self._pending[self._writer] = self._pending[self._writer], []
            self.groups += 1
            taken = self._cost.fixed + self._cost.each * len(self._writing)
        self.busy += taken
        self._at(now + taken, _Kind.COMMITS, self._writer)

    def _commits(self, now: float) -> None:
        """Let the turn go."""
        assert self._writing is not None
        self.latencies += [now - made for made in self._writing]
        self._writing = None
        if self._writer != _OTHER:
            self._asking[self._writer] = False
            self._written[self._writer] = now
            if self._pending[self._writer]:
                self._asks_in_time(self._writer, now)

    def _at(self, when: float, kind: _Kind, process: int) -> None:
        self._made += 1
        heapq.heappush(self._events, (when, self._made, kind, process))


def simulate(cost: TurnCost, load: Load, *, seconds: float = 20.0, seed: int = 1) -> Turn:
    """Return what becomes of a load.

    Args:
        cost: of transactions.
        load: who asks.
        seconds: of simulated time.
        seed: of the arrivals, which are random and even on average.
    """
    run = _Simulation(cost, load, seed=seed)
    run.run(seconds)
    latencies = sorted(run.latencies) or [0.0]
    return Turn(
        rate=len(run.latencies) / seconds,
        group=len(run.latencies) / max(run.groups, 1),
        p50=latencies[len(latencies) // 2],
        p99=latencies[int(len(latencies) * 0.99)],
        busy=min(run.busy / seconds, 1.0),
    )
