"""What goes wrong in a round, and when: drawn from a seed, so that a round can be run again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fault", "Kind", "Place", "Schedule", "draw", "place_of"]

#: Seconds between the end of a fault and the next one on the same side.
_PAUSE = 0.4
#: In which share of the rounds with PostgreSQL that fails too.
_DATABASE = 0.4


class Place(StrEnum):
    """What a round is played on."""

    #: One server on SQLite that runs its tasks itself.
    LAPTOP = "laptop"
    #: PostgreSQL, two API processes and three workers, each on a machine of its own.
    MACHINES = "machines"

    @property
    def load_seconds(self) -> float:
        """Seconds for which tasks are handed in; faults begin within them."""
        return 6.0 if self is Place.LAPTOP else 12.0

    @property
    def hold_seconds(self) -> float:
        """Seconds for which slow downloads stand still.

        Where workers are lost, there are to be bodies that would outlive them.
        """
        return 0.7 if self is Place.LAPTOP else 8.0


class Kind(StrEnum):
    """What goes wrong."""

    #: kill -9 of a server, which is started again.
    KILL_SERVER = "kill server"
    #: SIGTERM to a server, which is started again.
    STOP_SERVER = "stop server"
    #: SIGHUP to a server, whose broker has another address now.
    RELOAD_SERVER = "reload server"
    #: A server's machine has no network.
    CUT_SERVER = "cut server off"
    #: The same to the server that publishes at the moment, and its freezing.
    KILL_LEADER = "kill leader"
    FREEZE_LEADER = "freeze leader"
    CUT_LEADER = "cut leader off"
    #: The same to a worker.
    KILL_WORKER = "kill worker"
    STOP_WORKER = "stop worker"
    FREEZE_WORKER = "freeze worker"
    CUT_WORKER = "cut worker off"
    #: SIGSTOP to a worker and the processes of its tasks, as if its machine stood still.
    FREEZE_MACHINE = "freeze machine"
    #: SIGQUIT to PostgreSQL, which recovers when it is started again.
    KILL_DATABASE = "kill database"
    #: PostgreSQL is stopped, and started again.
    STOP_DATABASE = "stop database"
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
_OF_APIS = (
    Kind.KILL_LEADER,
    Kind.FREEZE_LEADER,
    Kind.CUT_LEADER,
    Kind.KILL_SERVER,
    Kind.STOP_SERVER,
    Kind.CUT_SERVER,
    Kind.RELOAD_SERVER,
)
_OF_WORKERS = (
    Kind.KILL_WORKER,
    Kind.FREEZE_WORKER,
    Kind.CUT_WORKER,
    Kind.KILL_CHILD,
    Kind.FREEZE_MACHINE,
    Kind.STOP_WORKER,
)
_OF_DATABASE = (Kind.KILL_DATABASE, Kind.STOP_DATABASE)
#: These are over as soon as they have happened.
_INSTANT = frozenset({Kind.RELOAD_SERVER, Kind.KILL_CHILD, Kind.CLOSE})
#: Seconds that others last: until whoever is frozen or cut off has been given up, and longer.
_LASTING = {
    Kind.FREEZE_LEADER: (5.5, 7.0),
    Kind.CUT_LEADER: (5.5, 12.0),
    Kind.CUT_SERVER: (2.0, 12.0),
    Kind.FREEZE_WORKER: (7.5, 10.0),
    Kind.FREEZE_MACHINE: (7.5, 10.0),
    Kind.CUT_WORKER: (2.0, 12.0),
}
_SHORT = (0.1, 2.0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    kind: Kind
    #: Seconds after the first task.
    at: float
    #: Seconds until it is mended.
    seconds: float
    #: Which of those that there are, modulo their number.
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
    place: Place
    #: Whether the broker is a cluster of three nodes.
    cluster: bool
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """Return it in one line."""
        told = ", ".join(f"{f.kind} at {f.at:.1f}s for {f.seconds:.1f}s" for f in self.faults)
        broker = "cluster" if self.cluster else "one node"
        return f"seed {self.seed}, {self.place}, {broker}: {told}"


def place_of(seed: int) -> Place:
    """Return where the round of this seed is played if nobody says so: two here, two there."""
    return (Place.LAPTOP, Place.MACHINES)[seed // 2 % 2]


def draw(seed: int, place: Place = Place.LAPTOP) -> Schedule:
    """Return the schedule of this seed: on a laptop even ones have one node, odd ones a cluster.

    One fault on each side is certain, and seeds in a row take turns in which that is; the database
    fails in some rounds only.
    """
    source = random.Random(seed)
    cluster = place is Place.MACHINES or bool(seed % 2)
    of_broker = (*_OF_BROKER, Kind.PARTITION) if cluster else _OF_BROKER
    if place is Place.LAPTOP:
        faults = [
            fault
            for kinds in (_OF_SERVER, of_broker)
            for fault in _side(source, _chosen(source, kinds, first=seed // 2), until=place)
        ]
    else:
        faults = _of_machines(source, seed, of_broker)
    return Schedule(
        seed=seed,
        place=place,
        cluster=cluster,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def _of_machines(source: random.Random, seed: int, of_broker: tuple[Kind, ...]) -> list[Fault]:
    """Return what goes wrong on all sides; each kind of one side meets each of another."""
    sides = [
        [kinds[seed % len(kinds)], *source.choices(kinds, k=source.randint(0, 1))]
        for kinds in (_OF_APIS, _OF_WORKERS)
    ]
    sides.append(source.choices(of_broker, k=source.randint(1, 2)))
    if source.random() < _DATABASE:
        sides.append(source.choices(_OF_DATABASE))
    return [fault for side in sides for fault in _side(source, side, until=Place.MACHINES)]


def _chosen(source: random.Random, kinds: tuple[Kind, ...], *, first: int) -> list[Kind]:
    """Return kinds of faults in the order in which they are to happen."""
    chosen = [kinds[first % len(kinds)], *source.choices(kinds, k=source.randint(0, 2))]
    source.shuffle(chosen)
    return chosen


def _side(source: random.Random, chosen: Sequence[Kind], *, until: Place) -> list[Fault]:
    """Return faults of one side, none while another one of them lasts."""
    faults: list[Fault] = []
    begin = source.uniform(0.3, 2.0 if until is Place.LAPTOP else 5.0)
    for kind in chosen:
        fault = Fault(
            kind=kind,
            at=begin,
            seconds=0.0 if kind in _INSTANT else source.uniform(*_LASTING.get(kind, _SHORT)),
            node=source.randrange(6),
            size=source.randrange(4_000),
        )
        faults.append(fault)
        begin = fault.end + _PAUSE + source.uniform(0.0, 1.5)
    return [fault for fault in faults if fault.at < until.load_seconds]
