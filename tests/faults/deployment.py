"""Two API processes and three workers, each on a machine of its own if there is a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults.program import Program
from tests.faults.site import Api
from tests.services import free_ports
from tests.services.namespaces import Machine, Network

__all__ = ["Deployment"]

_APIS, _WORKERS = 2, 3
#: What a worker says once it takes tasks.
_READY = "is ready"


class Deployment:
    """The processes of a round, where they run.

    Args:
        folder: of their configurations and logs.
        network: of their machines; None has all of them on this host.
        configure: returns the configuration of the program of that name.
    """

    def __init__(
        self, folder: Path, network: Network | None, configure: Callable[[str], str]
    ) -> None:
        self._folder, self._network, self._configure = folder, network, configure
        self._stack = ExitStack()
        #: By the names of programs.
        self._machines: dict[str, Machine] = {}
        self._starts: dict[str, int] = {}
        self.apis = [self._api(f"api-{number}") for number in range(1, _APIS + 1)]
        self.workers = [
            self._program(f"worker-{number}", ready=_READY) for number in range(1, _WORKERS + 1)
        ]

    @property
    def programs(self) -> Sequence[Program]:
        """All of them; workers are ended first."""
        return [*self.workers, *(api.program for api in self.apis)]

    def start(self) -> None:
        """Connect and thaw all, start those that do not run, and return when all work.

        Raises:
            RuntimeError: one does not start.
        """
        for machine in self._machines.values():
            machine.heal()
        for program in self.programs:
            program.thaw()
        for program in self.programs:
            self.launch(program)
        for program in self.programs:
            program.await_ready()

    def launch(self, program: Program) -> bool:
        """Start a program unless it runs, without waiting for it; return whether it was started."""
        if program.running:
            return False
        self._starts[program.name] = self._starts.get(program.name, 0) + 1
        program.launch(self._arguments(program), self._configure(program.name))
        return True

    def reload(self) -> None:
        """Have all API processes read their configuration again."""
        for api in self.apis:
            if api.program.running:
                api.program.reload(self._configure(api.program.name))

    def cut(self, program: Program, *, silently: bool) -> None:
        """Cut off the machine of a program."""
        machine = self._machines[program.name]
        if silently:
            machine.drop()
        else:
            machine.unplug()

    def join(self, program: Program) -> None:
        """Connect it again."""
        self._machines[program.name].heal()

    def close(self) -> None:
        """Give up the machines."""
        self._stack.close()

    def worker_name(self, program: Program) -> str:
        """Return the name that a worker has: the first one's is always the same."""
        if program is self.workers[0]:
            return f"{program.name}@harness"
        return f"{program.name}.{self._starts[program.name]}@harness"

    def _arguments(self, program: Program) -> Sequence[str]:
        """Return the command of a program."""
        for api in self.apis:
            if api.program is program:
                return api.arguments
        return ["worker", "--name", self.worker_name(program)]

    def _api(self, name: str) -> Api:
        program = self._program(name, ready="http://")
        machine = self._machines.get(name)
        port, door_port = free_ports(2)
        host = machine.address if machine else "127.0.0.1"
        return Api(program=program, host=host, port=port, door_port=door_port)

    def _program(self, name: str, *, ready: str) -> Program:
        """Make a program on a machine of its own."""
        prefix: Sequence[str] = ()
        if self._network is not None:
            machine = self._stack.enter_context(self._network.machine())
            self._machines[name] = machine
            prefix = machine.prefix
        return Program(name, ready=ready, folder=self._folder, prefix=prefix)
