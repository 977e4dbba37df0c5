"""What a round is played on: its processes, their database and the broker, and their faults."""

from __future__ import annotations

import dataclasses
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.bodies import read_bodies
from tests.faults.broker import Broker
from tests.faults.program import Program
from tests.faults.records import Query, Truth, read, sqlite_query
from tests.faults.schedule import Fault, Kind
from tests.services import free_ports, until

__all__ = ["LOGIN", "Api", "Laptop", "Site"]

#: Login and password of the first user.
LOGIN = ("admin", "acceptance")
#: Seconds to wait for a task to have a process that can be killed.
_CHILD = 1.0

# nothing that the judge looks for is deleted in a round
CONFIG = """\
[server]
default_password: {password}
[storage]
data: {data}
[messaging]
event_notification_url: {urls}
[events]
progress_rows: 1000000
progress_hours: 1000
"""


@dataclass(frozen=True, kw_only=True)
class Api:
    """A process that answers requests."""

    program: Program
    host: str
    port: int
    door_port: int

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{self.host}:{self.port}"

    @property
    def door_url(self) -> str:
        """Where its door is reached."""
        return f"amqp://{LOGIN[0]}:{LOGIN[1]}@{self.host}:{self.door_port}//"

    @property
    def arguments(self) -> Sequence[str]:
        """The command, with its own addresses."""
        door = f"{self.host}:{self.door_port}"
        command = ["serve", "--host", self.host, "--port", str(self.port)]
        return [*command, "--events", "--door", door]


class Site(ABC):
    """The processes of one round.

    Args:
        folder: of the round; holds all that they write.
        broker: that they publish to.
    """

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        #: What was late or ended badly.
        self.late: list[str] = []
        self._reloads = 0

    #: Those that answer requests.
    apis: Sequence[Api]
    #: Asks the database.
    query: Query

    @abstractmethod
    def start(self) -> None:
        """Start what does not run, and return when all works.

        Raises:
            RuntimeError: something does not start; the message says why.
        """

    @abstractmethod
    def stop(self) -> None:
        """End all in good order."""

    @abstractmethod
    def close(self) -> None:
        """Give up what is left, once the truth is known."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether all processes live."""

    @property
    @abstractmethod
    def takeover(self) -> bool:
        """Whether another process may publish at any time, and fold otherwise."""

    @abstractmethod
    def tend(self) -> None:
        """Start again what has ended by itself, as an init system does."""

    @abstractmethod
    def begin(self, fault: Fault) -> bool:
        """Let a fault begin; return whether it could."""

    @abstractmethod
    def end(self, fault: Fault) -> None:
        """Mend it."""

    def heal(self, queue: str) -> None:
        """Mend whatever may be broken, and return when all is as good as new.

        Raises:
            RuntimeError: it never came to that.
        """
        self.broker.heal(queue)
        self.start()

    def keep_evidence(self) -> None:
        """Write down what is known elsewhere."""
        for node in self.broker.nodes:
            (self.folder / f"{node.node}.log").write_text(node.log_tail(2_000))

    def truth(self) -> Truth:
        """Return what the database holds and the bodies of tasks have left."""
        return dataclasses.replace(read(self.query), bodies=read_bodies(self.folder / "marks"))

    def _end(self, program: Program) -> None:
        """End a process in good order, if it runs."""
        if not program.running:
            return
        # who has only begun to start knows no better than to die of the signal
        allowed = {0} if program.was_ready else {0, -signal.SIGTERM}
        try:
            code = program.stop()
        except RuntimeError as error:
            self.late.append(str(error))
        else:
            if code not in allowed:
                self.late.append(f"{program.name} ended with exit code {code}")


def killed_child(programs: Sequence[Program]) -> bool:
    """Kill the process of a task that one of these runs; return whether there was one in time."""
    try:
        return until(
            lambda: any(program.kill_child() for program in programs if program.running),
            seconds=_CHILD,
        )
    except AssertionError:
        return False


class Laptop(Site):
    """One server on SQLite."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        super().__init__(folder, broker)
        self._data = folder / "data"
        self.query = partial(sqlite_query, self._data)
        port, door_port = free_ports(2)
        host = "127.0.0.1"
        self._server = Program("server", ready=f"http://{host}:{port}", folder=folder)
        self._api = Api(program=self._server, host=host, port=port, door_port=door_port)
        self.apis = [self._api]

    def start(self) -> None:
        self._server.launch(self._api.arguments, self._config())
        self._server.await_ready()

    def stop(self) -> None:
        self._end(self._server)

    def close(self) -> None:
        if self._server.running:
            self._server.kill()

    @property
    def running(self) -> bool:
        return self._server.running

    @property
    def takeover(self) -> bool:
        return False

    def tend(self) -> None:
        # it does not; if it does, the round is late
        return

    def begin(self, fault: Fault) -> bool:
        match fault.kind:
            case Kind.KILL_SERVER:
                self._server.kill()
            case Kind.STOP_SERVER:
                self._end(self._server)
            case Kind.RELOAD_SERVER:
                self._reloads += 1
                self._server.reload(self._config())
            case Kind.KILL_CHILD:
                return killed_child([self._server])
            case _:
                self.broker.begin(fault)
        return True

    def end(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL_SERVER | Kind.STOP_SERVER:
                self.start()
            case Kind.RELOAD_SERVER | Kind.KILL_CHILD:
                pass
            case _:
                self.broker.end(fault)

    def _config(self) -> str:
        """Return the server's configuration."""
        urls = self.broker.urls(self._reloads)
        common = CONFIG.format(password=LOGIN[1], data=self._data, urls=urls)
        return f"{common}[tasks]\nworkers: 2\n"
