"""PostgreSQL, two API processes and three workers on machines that are lost in many ways."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from tests.faults.broker import Broker
from tests.faults.delays import Watch, delays
from tests.faults.deployment import Deployment
from tests.faults.looking import EVIDENCE, Lookout, watch_leader
from tests.faults.losses import WORKER_TIMEOUT, Losses
from tests.faults.program import Program
from tests.faults.records import Truth
from tests.faults.schedule import Fault, Kind
from tests.faults.site import CONFIG, LOGIN, Site, killed_child
from tests.faults.writes import read_writes, watch_writes
from tests.services import until
from tests.services.namespaces import Network
from tests.services.postgresql import PostgresServer

__all__ = ["CUTS", "Machines", "database_of"]

#: What needs a network of our own.
CUTS = frozenset({Kind.CUT_LEADER, Kind.CUT_SERVER, Kind.CUT_WORKER})
_OF_WORKERS = frozenset(
    {
        Kind.KILL_WORKER,
        Kind.STOP_WORKER,
        Kind.FREEZE_WORKER,
        Kind.FREEZE_MACHINE,
        Kind.CUT_WORKER,
    }
)
_OF_LEADER = frozenset({Kind.KILL_LEADER, Kind.FREEZE_LEADER, Kind.CUT_LEADER})
_OF_SERVERS = frozenset({Kind.KILL_SERVER, Kind.STOP_SERVER, Kind.CUT_SERVER})
#: Seconds to wait for somebody to be the leader.
_LEADER = 8.0
#: Seconds to wait for a worker to have tasks.
_BUSY = 3.0

_TASKS = """\
[database]
url: {url}
[tasks]
engine: distributed
workers: 2
worker_timeout: {timeout}
"""


def database_of(folder: Path, network: Network | None) -> PostgresServer:
    """Return a server that is still to be started, and is reached from a network if there is one.

    Args:
        folder: empty; the server's user may enter it.
        network: of the machines.
    """
    settings = {"track_commit_timestamp": "on"}
    if network is None:
        return PostgresServer(folder, settings=settings)
    return PostgresServer(folder, host=network.host, trusted=network.range, settings=settings)


class Machines(Site):
    """A round's processes on machines of a network; without one, all are on this host.

    Args:
        folder: of the round.
        broker: that they publish to.
        database: a server that runs.
        network: of their machines.
    """

    def __init__(
        self, folder: Path, broker: Broker, database: PostgresServer, network: Network | None
    ) -> None:
        super().__init__(folder, broker)
        folder.mkdir(parents=True, exist_ok=True)
        self._database, self._network = database, network
        self._url = database.create_pulpit()
        with psycopg.connect(self._url) as connection:
            watch_writes(connection)
            watch_leader(connection)
        self._deployed = Deployment(folder, network, self._config)
        self.apis = self._deployed.apis
        #: Who was hit by a fault that is not mended yet.
        self._hit: dict[Fault, Program] = {}
        self._losses = Losses()
        self._lookout = Lookout(self._url)
        self._watch = Watch(self._lookout.look)

    # ------------------------------------------------------------------ start and end

    def start(self) -> None:
        self._database.start()
        self._deployed.start()
        self._watch.start()

    def stop(self) -> None:
        for program in self._deployed.programs:
            self._end(program)

    def close(self) -> None:
        self._watch.stop()
        self._lookout.close()
        for program in self._deployed.programs:
            if program.running:
                program.kill()
        self._deployed.close()

    def keep_evidence(self) -> None:
        super().keep_evidence()
        (self.folder / "postgresql.log").write_text(self._database.log_tail(2_000))
        for name, statement in EVIDENCE.items():
            lines = [json.dumps(row, default=str) for row in self.query(statement)]
            (self.folder / f"table-{name}").write_text("\n".join(lines))
        (self.folder / "looks").write_text("\n".join(str(look) for look in self._watch.looks))

    @property
    def running(self) -> bool:
        return all(program.running for program in self._deployed.programs)

    @property
    def takeover(self) -> bool:
        return True

    def _config(self, name: str) -> str:
        """Return the configuration of a program."""
        urls = self.broker.urls(self._reloads)
        common = CONFIG.format(password=LOGIN[1], data=self.folder / "data", urls=urls)
        url = f"{self._url}?application_name={name}"
        return common + _TASKS.format(url=url, timeout=WORKER_TIMEOUT)

    # ------------------------------------------------------------------ the database

    def query(self, statement: LiteralString) -> Sequence[tuple[Any, ...]]:
        """Return the rows that the statement selects."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(statement).fetchall()

    def truth(self) -> Truth:
        with psycopg.connect(self._url) as connection:
            writes, releases = read_writes(connection)
        found = delays(self._losses.all(), self._watch.looks)
        return dataclasses.replace(super().truth(), writes=writes, releases=releases, delays=found)

    # ------------------------------------------------------------------ faults

    def tend(self) -> None:
        for program in self._deployed.programs:
            if program.running or program in self._hit.values():
                continue
            # only a start may fail, since the database is away
            if program.was_ready:
                self.late.append(f"{program.name} has ended by itself")
            self._deployed.launch(program)

    def begin(self, fault: Fault) -> bool:
        hit = self._begin(fault)
        if hit:
            self._losses.happened(fault)
        return hit

    def _begin(self, fault: Fault) -> bool:
        """Let it begin; return whether there was something to hit."""
        match fault.kind:
            case Kind.KILL_DATABASE:
                self._database.kill()
            case Kind.STOP_DATABASE:
                self._database.stop()
            case Kind.KILL_CHILD:
                return killed_child(self._deployed.workers)
            case Kind.RELOAD_SERVER:
                self._reloads += 1
                self._deployed.reload()
            case kind if kind in CUTS and self._network is None:
                return False
            case kind if kind in _OF_LEADER | _OF_SERVERS | _OF_WORKERS:
                return self._begin_of_program(fault)
            case _:
                self.broker.begin(fault)
        return True

    def _begin_of_program(self, fault: Fault) -> bool:
        """Let a fault of one process begin; return whether there is such a one."""
        program = self._victim(fault)
        if program is None or not program.running:
            return False
        self._hit[fault] = program
        match fault.kind:
            case Kind.KILL_LEADER | Kind.KILL_SERVER | Kind.KILL_WORKER:
                program.kill()
            case Kind.STOP_SERVER | Kind.STOP_WORKER:
                self._end(program)
            case Kind.FREEZE_LEADER | Kind.FREEZE_WORKER:
                program.freeze(whole=False)
            case Kind.FREEZE_MACHINE:
                program.freeze(whole=True)
            case _:
                self._deployed.cut(program, silently=fault.size % 2 == 0)
        return True

    def _victim(self, fault: Fault) -> Program | None:
        """Return who is to be hit, having noted the loss that others have to make good."""
        if fault.kind in _OF_LEADER:
            return self._leader(fault)
        if fault.kind in _OF_SERVERS:
            return self.apis[fault.node % len(self.apis)].program
        program = self._worker(fault)
        if fault.kind is Kind.KILL_WORKER or (
            fault.kind is not Kind.STOP_WORKER and fault.seconds > WORKER_TIMEOUT
        ):
            name = self._deployed.worker_name(program)
            self._losses.note(fault, "worker", name, self._watch.tasks_of(name))
        return program

    def _worker(self, fault: Fault) -> Program:
        """Return a worker that runs what takes long and others wait for, or anything.

        Who does nothing loses nothing, and only who waits can be let in too early.
        """
        found = self._having(self._watch.awaited_of) or self._having(self._watch.tasks_of)
        workers = found or self._deployed.workers
        return workers[fault.node % len(workers)]

    def _having(self, tasks_of: Callable[[str], frozenset[str]]) -> list[Program]:
        """Return the workers that have such tasks; none if there is none in time."""
        deployed = self._deployed

        def busy() -> list[Program]:
            """Return those that have some now."""
            workers = [worker for worker in deployed.workers if worker.running]
            return [worker for worker in workers if tasks_of(deployed.worker_name(worker))]

        try:
            return until(busy, seconds=_BUSY)
        except AssertionError:
            return []

    def _leader(self, fault: Fault) -> Program | None:
        """Return who holds the leader's lease, if anybody does in time."""
        try:
            look = until(self._watch.led, seconds=_LEADER)
        except AssertionError:
            return None
        assert look.leader is not None
        self._losses.note(fault, "leader", look.leader)
        return next(api.program for api in self.apis if api.program.name == look.where)

    def end(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL_DATABASE | Kind.STOP_DATABASE:
                self._database.start()
            case Kind.KILL_CHILD | Kind.RELOAD_SERVER:
                pass
            case kind if kind in _OF_LEADER | _OF_SERVERS | _OF_WORKERS:
                if program := self._hit.pop(fault, None):
                    self._end_of_program(fault, program)
            case _:
                self.broker.end(fault)

    def _end_of_program(self, fault: Fault, program: Program) -> None:
        """Mend a fault of one process."""
        if fault.kind in CUTS:
            self._deployed.join(program)
        program.thaw()
        # who starts while the database is away tries again later
        self._deployed.launch(program)
