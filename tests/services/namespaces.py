"""Machines of a private network on this one: network namespaces on a bridge, which can be cut off.

A namespace and its link are the kernel's and end with the last process in it, so that only the
bridge can outlive a run that was killed; the next one sweeps it away.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

__all__ = ["Machine", "Network", "obstacle", "sweep"]

#: Begins the names of all links; the number of the process that made them comes next.
_PREFIX = "pf"
_BRIDGE = re.compile(rf"{_PREFIX}(\d+)b\d+")
#: Of RFC 2544, for tests of networks; nothing else is there.
_ADDRESSES = "198.18"
_NETWORKS = 256
_TURN = Path(tempfile.gettempdir(), "pulpit-networks.lock")


def obstacle() -> str | None:
    """Return why no network can be made here; None where it can."""
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        with Network() as network, network.machine():
            return None
    except (RuntimeError, OSError) as error:
        return f"not permitted: {error}"


def sweep() -> list[str]:
    """Delete the bridges of processes that are gone; return their names."""
    found = json.loads(_run("ip", "-j", "link", "show", "type", "bridge") or "[]")
    names = [link["ifname"] for link in found if link]
    dead = [
        name for name in names if (at := _BRIDGE.fullmatch(name)) and not _lives(int(at.group(1)))
    ]
    for name in dead:
        # another sweep may have been quicker
        with suppress(RuntimeError):
            _run("ip", "link", "delete", name)
    return dead


def _lives(pid: int) -> bool:
    """Return whether there is such a process."""
    return Path("/proc", str(pid)).exists()


class Network:
    """A bridge with an address of this host on it; a context manager that ends it.

    Raises:
        RuntimeError: on entry: it can't be made; the message is that of the program ``ip``.
    """

    _count = 0

    def __init__(self) -> None:
        Network._count += 1
        self._number = Network._count
        self._bridge = self._link("b", self._number)
        self._net = 0
        self._machines = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack, _alone():
            taken = _run("ip", "-o", "-4", "address")
            pid = os.getpid()
            self._net = next(
                net
                for net in ((pid + step) % _NETWORKS for step in range(_NETWORKS))
                if f" {_ADDRESSES}.{net}." not in taken
            )
            _run("ip", "link", "add", self._bridge, "type", "bridge")
            self._stack.callback(_run, "ip", "link", "delete", self._bridge)
            _run("ip", "address", "add", f"{self.host}/24", "dev", self._bridge)
            _run("ip", "link", "set", self._bridge, "up")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    @property
    def host(self) -> str:
        """This host's address there; what listens on it is reached from every machine."""
        return f"{_ADDRESSES}.{self._net}.1"

    @property
    def range(self) -> str:
        """All addresses of the network."""
        return f"{_ADDRESSES}.{self._net}.0/24"

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """Give a machine of its own address; what still runs in it in the end has no network."""
        self._machines += 1
        link = self._link("v", self._number * 100 + self._machines)
        address = f"{_ADDRESSES}.{self._net}.{self._machines + 1}"
        # it ends when we do, since its standard input does
        command = ["unshare", "--net", "cat"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            machine = Machine(address, link=link, bridge=self._bridge, holder=holder.pid)
            _await_life(holder)
            try:
                peer = ["peer", "name", "eth0", "netns", str(holder.pid)]
                _run("ip", "link", "add", link, "type", "veth", *peer)
                machine.inside("ip", "address", "add", f"{address}/24", "dev", "eth0")
                machine.inside("ip", "link", "set", "lo", "up")
                machine.inside("ip", "link", "set", "eth0", "up")
                machine.heal()
                yield machine
            finally:
                with suppress(RuntimeError):
                    _run("ip", "link", "delete", link)

    @staticmethod
    def _link(kind: str, number: int) -> str:
        """Return the name of a link, of which the kernel allows 15 characters."""
        return f"{_PREFIX}{os.getpid()}{kind}{number}"


class Machine:
    """A network namespace as the place where processes run.

    Args:
        address: its own.
        link: the end of its link on the host.
        bridge: where that belongs.
        holder: the process whose namespace it is.
    """

    def __init__(self, address: str, *, link: str, bridge: str, holder: int) -> None:
        self.address = address
        self._link, self._bridge = link, bridge
        #: What a command is started by to run there, in the same process.
        self.prefix: Sequence[str] = ("nsenter", f"--net=/proc/{holder}/ns/net")

    def inside(self, *command: str) -> str:
        """Run a command there and return what it prints.

        Raises:
            RuntimeError: it failed; the message holds its output.
        """
        return _run(*self.prefix, *command)

    def unplug(self) -> None:
        """Take its link down, as a pulled cable does; the machine sees that."""
        _run("ip", "link", "set", self._link, "down")

    def drop(self) -> None:
        """Let all packets vanish, as a broken switch does; the machine sees nothing of that."""
        _run("ip", "link", "set", self._link, "nomaster")

    def heal(self) -> None:
        """Connect it again, however it was cut off."""
        _run("ip", "link", "set", self._link, "master", self._bridge, "up")


def _await_life(holder: subprocess.Popen[bytes]) -> None:
    """Return when the process is in its own namespace.

    Raises:
        RuntimeError: it may not have one.
    """
    assert holder.stdin is not None
    assert holder.stdout is not None
    with suppress(BrokenPipeError):
        holder.stdin.write(b".")
        holder.stdin.flush()
    if holder.stdout.read(1) != b".":
        raise RuntimeError("no namespace of its own for a process")


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other runs from choosing the same addresses meanwhile."""
    with _TURN.open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> str:
    """Run a command and return what it prints.

    Raises:
        RuntimeError: it failed; the message holds its output.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}".strip())
    return done.stdout
