"""How long it takes until the leader's work is taken over, and a lost worker's tasks are ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.verdict import Verdict

__all__ = ["Delay", "Look", "Loss", "Watch", "delays", "judge_delays"]

#: Seconds between two looks at the database.
_TICK = 0.05
#: Seconds that a machine with two busy processors may add to what is promised.
_SLACK = 4.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """Who does what, as the database says at one moment."""

    #: Seconds by the monotonic clock.
    at: float
    #: Who holds the leader's lease, as long as that has not run out.
    leader: str | None
    #: Which process that is.
    where: str | None = None
    #: Tasks that run, and the names of the workers where they do.
    running: Mapping[str, str] = field(default_factory=dict)
    #: Those of them that take long and that others wait for.
    awaited: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A fault after which somebody has to step in."""

    kind: Literal["leader", "worker"]
    #: When it began, by the monotonic clock.
    at: float
    #: The leader whose lease has to go to another one; of a worker, its name.
    who: str
    #: The tasks that ran on a lost worker.
    tasks: frozenset[str] = frozenset()
    #: Within how many seconds somebody has to, if nothing else goes wrong.
    promised: float
    #: Seconds by which other faults may delay that.
    excused: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Delay:
    """How long a loss took."""

    loss: Loss
    #: None if it was never made good.
    seconds: float | None


class Watch:
    """Looks at the database again and again, in a thread of its own.

    Args:
        look: looks once; None while the database is away.
    """

    def __init__(self, look: Callable[[], Look | None]) -> None:
        self._look = look
        self.looks: list[Look] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin, unless it has."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(30)

    @property
    def newest(self) -> Look | None:
        """What was seen last."""
        return self.looks[-1] if self.looks else None

    def tasks_of(self, worker: str) -> frozenset[str]:
        """Return the tasks that ran on a worker when it was looked last."""
        if self.newest is None:
            return frozenset()
        return frozenset(task for task, name in self.newest.running.items() if name == worker)

    def awaited_of(self, worker: str) -> frozenset[str]:
        """Return those of them that others wait for."""
        return self.tasks_of(worker) & self.newest.awaited if self.newest else frozenset()

    def led(self) -> Look | None:
        """Return what was seen last if somebody is the leader."""
        newest = self.newest
        return newest if newest and newest.leader else None

    def _run(self) -> None:
        while not self._stopping.wait(_TICK):
            if look := self._look():
                self.looks.append(look)


def delays(losses: Sequence[Loss], looks: Sequence[Look]) -> list[Delay]:
    """Return how long each loss took, by what was seen."""
    return [Delay(loss=loss, seconds=_seconds(loss, looks)) for loss in losses]


def _seconds(loss: Loss, looks: Sequence[Look]) -> float | None:
    """Return the seconds from the loss until it was seen to be made good."""
    for look in looks:
        if look.at > loss.at and _is_good(loss, look):
            return look.at - loss.at
    return None


def _is_good(loss: Loss, look: Look) -> bool:
    """Tell whether somebody had stepped in."""
    if loss.kind == "leader":
        return look.leader not in (None, loss.who)
    return loss.tasks.isdisjoint(look.running)


def judge_delays(found: Sequence[Delay], verdict: Verdict) -> None:
    """Judge how long losses took.

    slow_takeovers: another leader later than is promised, or never.
    slow_reaping: tasks of a lost worker that ran on for longer than is promised, or for ever.
    """
    for delay in found:
        loss = delay.loss
        allowed = loss.promised + loss.excused + _SLACK
        if delay.seconds is None or delay.seconds > allowed:
            counter = "slow_takeovers" if loss.kind == "leader" else "slow_reaping"
            took = "never" if delay.seconds is None else f"{delay.seconds:.1f} s later"
            verdict.add(counter, f"{loss.kind} {loss.who} was made good {took}, not in {allowed} s")
