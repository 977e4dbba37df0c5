"""What goes wrong in a round, and when: drawn from a seed, so that a round can be run again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LOAD_SECONDS", "Fault", "Kind", "Schedule", "draw"]

#: Seconds for which tasks are handed in; faults begin within them.
LOAD_SECONDS = 6.0
#: Seconds between the end of a fault and the next one on the same side.
_PAUSE = 0.4


class Kind(StrEnum):
    """What goes wrong."""

    #: kill -9 of the server, which is started again.
    KILL_SERVER = "kill server"
    #: SIGTERM to the server, which is started again.
    STOP_SERVER = "stop server"
    #: SIGHUP to the server, whose broker has another address now.
    RELOAD_SERVER = "reload server"
    #: kill -9 of a process that runs a task.
    KILL_CHILD = "kill child"
    #: kill -9 of a node, which is started again.
    KILL_NODE = "kill node"
    #: SIGSTOP, later SIGCONT, to a node.
    FREEZE_NODE = "freeze node"
    #: A memory alarm: the broker takes no messages.
    BLOCK = "block publishers"
    #: The broker closes all connections.
    CLOSE = "close connections"
    #: The path to the broker ends in the middle of a frame.
    CUT = "cut connection"
    #: The path to the broker carries nothing for a while.
    HALT = "halt bytes"
    #: A node of the cluster is cut off from the others.
    PARTITION = "partition"


_OF_SERVER = (Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.KILL_CHILD, Kind.RELOAD_SERVER)
_OF_BROKER = (Kind.KILL_NODE, Kind.FREEZE_NODE, Kind.BLOCK, Kind.CLOSE, Kind.CUT, Kind.HALT)
#: These are over as soon as they have happened.
_INSTANT = frozenset({Kind.RELOAD_SERVER, Kind.KILL_CHILD, Kind.CLOSE})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    kind: Kind
    #: Seconds after the first task.
    at: float
    #: Seconds until it is mended.
    seconds: float
    #: Which node of the broker, of those that there are, modulo their number.
    node: int = 0
    #: Bytes that still pass before a cut.
    size: int = 0

    @property
    def end(self) -> float:
        """When it is mended, in seconds after the first task."""
        return self.at + self.seconds


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """All that goes wrong in one round."""

    seed: int
    #: Whether the broker is a cluster of three nodes.
    cluster: bool
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Return it in one line."""
        told = ", ".join(f"{f.kind} at {f.at:.1f}s for {f.seconds:.1f}s" for f in self.faults)
        return f"seed {self.seed}, {'cluster' if self.cluster else 'one node'}: {told}"


def draw(seed: int) -> Schedule:
    """Return the schedule of this seed: even ones have one node, odd ones a cluster.

    One fault on either side is certain, and seeds in a row take turns in which that is.
    """
    source = random.Random(seed)
    cluster = bool(seed % 2)
    of_broker = (*_OF_BROKER, Kind.PARTITION) if cluster else _OF_BROKER
    faults = _side(source, _OF_SERVER, first=seed // 2) + _side(source, of_broker, first=seed // 2)
    return Schedule(seed=seed, cluster=cluster, faults=tuple(sorted(faults, key=lambda f: f.at)))


def _side(source: random.Random, kinds: tuple[Kind, ...], *, first: int) -> list[Fault]:
    """Return faults of one side, none while another one of them lasts."""
    chosen = [kinds[first % len(kinds)], *source.choices(kinds, k=source.randint(0, 2))]
    source.shuffle(chosen)
    faults: list[Fault] = []
    begin = source.uniform(0.3, 2.0)
    for kind in chosen:
        fault = Fault(
            kind=kind,
            at=begin,
            seconds=0.0 if kind in _INSTANT else source.uniform(0.1, 2.0),
            node=source.randrange(6),
            size=source.randrange(4_000),
        )
        faults.append(fault)
        begin = fault.end + _PAUSE + source.uniform(0.0, 1.5)
    return [fault for fault in faults if fault.at < LOAD_SECONDS]
