"""Machines on a bridge: they reach each other, can be cut off in two ways, and leave nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import PATIENCE, missing, until
from tests.services.namespaces import Machine, Network, obstacle, sweep

#: Connects to an address and port, sends a word, and tells what it hears.
_TALK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as peer:
    print(peer.recv(5).decode())
"""
_KILLED = """
import sys
from tests.services.namespaces import Network
with Network() as network, network.machine() as machine:
    print(network.host, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _permitted() -> None:
    """Skip where this machine permits no network of its own."""
    if reason := obstacle():
        missing(f"a network namespace ({reason})")


@pytest.fixture(name="network")
def _network() -> Iterator[Network]:
    with Network() as network:
        yield network


def _talks(machine: Machine, host: str, *, seconds: float = 5.0) -> bool:
    """Return whether a process on the machine reaches a service of this host in time."""
    with socket.create_server((host, 0)) as server:
        port = str(server.getsockname()[1])
        command = [*machine.prefix, sys.executable, "-c", _TALK, host, port, str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as talk:
            server.settimeout(seconds)
            try:
                with server.accept()[0] as peer:
                    peer.sendall(b"hello")
            except TimeoutError:
                pass
            assert talk.stdout is not None
            return talk.stdout.read() == b"hello\n"


def _links(pid: int) -> set[str]:
    """Return the links that a run has made."""
    links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
    return {link["ifname"] for link in links if link["ifname"].startswith(f"pf{pid}")}


def _namespace(machine: Machine) -> str:
    return machine.inside("readlink", "/proc/self/ns/net")


def test_machine_reaches_the_host(network: Network) -> None:
    """A service on the bridge is there for a machine, by an address of its own."""
    with network.machine() as one, network.machine() as other:
        assert _talks(one, network.host)
        assert _talks(other, network.host)
        assert (
            len({_namespace(one), _namespace(other), str(Path("/proc/self/ns/net").readlink())})
            == 3
        )
        assert one.address != other.address


@pytest.mark.parametrize("way", ["unplug", "drop"])
def test_machine_that_is_cut_off(network: Network, way: str) -> None:
    """No byte gets through until that is mended; others notice nothing."""
    with network.machine() as one, network.machine() as other:
        getattr(one, way)()
        assert not _talks(one, network.host, seconds=0.3)
        assert _talks(other, network.host)
        one.heal()
        assert _talks(one, network.host)


def test_connection_outlives_a_cut(network: Network) -> None:
    """What was sent meanwhile arrives once it is mended, as TCP does it."""
    talk = "import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2])));"
    talk += "print(s.recv(5).decode())"
    with network.machine() as machine, socket.create_server((network.host, 0)) as server:
        port = str(server.getsockname()[1])
        command = [*machine.prefix, sys.executable, "-c", talk, network.host, port]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            server.settimeout(20)
            with server.accept()[0] as peer:
                machine.drop()
                peer.sendall(b"hello")
                assert process.poll() is None
                machine.heal()
                assert process.communicate(timeout=PATIENCE)[0] == b"hello\n"


def test_nothing_is_left() -> None:
    """Bridge, links and namespace are gone after the block."""
    with Network() as network, network.machine():
        assert len(_links(os.getpid())) == 2
    assert not _links(os.getpid())


def test_networks_do_not_meet() -> None:
    """Two runs at a time have addresses of their own."""
    with Network() as one, Network() as other:
        assert one.host != other.host


def test_killed_run_is_swept_up(network: Network) -> None:
    """The kernel ends namespace and links, and the next run deletes the bridge, but no other."""
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        run.stdout.readline()
        assert len(_links(run.pid)) == 2
        run.send_signal(signal.SIGKILL)
        run.wait()
    until(lambda: len(_links(run.pid)) == 1, "the namespace is gone")
    sweep()
    assert not _links(run.pid)
    with network.machine() as machine:
        assert _talks(machine, network.host)
