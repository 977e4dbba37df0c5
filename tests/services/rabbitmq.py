"""A private RabbitMQ: own ports, own epmd, every file below one folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from tests.services import free_ports, missing
from tests.services.rabbitmq_control import as_erlang

__all__ = ["START_SECONDS", "Epmd", "RabbitMQ", "installed", "lent"]

_CONFIG = """\
loopback_users.guest = true
disk_free_limit.absolute = 50MB
heartbeat = 60
log.console = false
log.file.level = info
"""
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
#: Seconds until a broker answers, on a busy machine with two processors.
START_SECONDS = 60.0


def _programs() -> Path | None:
    """Return the folder of the versioned programs; the wrapper on PATH would change the user."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin"))
    return found[-1] if found else None


def installed() -> bool:
    """Return whether RabbitMQ can be started here."""
    return _programs() is not None and shutil.which("epmd") is not None


class _Stoppable(Protocol):
    def stop(self) -> None: ...


_Broker = TypeVar("_Broker", bound=_Stoppable)


@contextmanager
def lent(kind: Callable[[Path], _Broker], folder: Path) -> Iterator[_Broker]:
    """Give a broker or a cluster, which is still to be started and is stopped in the end.

    Args:
        kind: makes it.
        folder: holds all of its files.
    """
    if not installed():
        missing("rabbitmq-server")
    broker = kind(folder)
    try:
        yield broker
    finally:
        broker.stop()


class Epmd:
    """The port mapper by which nodes find each other, on a free port of 127.0.0.1.

    Args:
        folder: holds what it writes; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it unless it runs."""
        if self._process is None or self._process.poll() is not None:
            command = ["epmd", "-relaxed_command_check", "-address", "127.0.0.1"]
            command += ["-port", str(self.port)]
            self._folder.mkdir(parents=True, exist_ok=True)
            self._process = _spawn(command, self._folder, {"PATH": _path()})

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            _end(self._process, signal.SIGTERM)
        self._process = None


class RabbitMQ:
    """One broker on free ports of 127.0.0.1, with user guest, password guest and vhost ``/``.

    It dies with the thread that has started it.

    Args:
        folder: holds everything the broker writes; made if it is not there.
        name: of the node, without its host.
        epmd: of a cluster; None for one of its own.
        cookie: of a cluster; None for one of its own.
        config: more lines of its configuration.
        plugins: that it enables.
        erl_args: more arguments of its Erlang.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "pulpit",
        epmd: Epmd | None = None,
        cookie: str | None = None,
        config: str = "",
        plugins: Sequence[str] = (),
        erl_args: str = "",
    ) -> None:
        programs = _programs()
        if programs is None:
            msg = "rabbitmq-server is not installed"
            raise RuntimeError(msg)
        self._programs, self._folder = programs, folder.resolve()
        #: Name of the node as rabbitmqctl and the other nodes know it.
        self.node = f"{name}@localhost"
        self.port, self._dist_port = free_ports(2)
        self.url = f"amqp://guest:guest@{self.host}:{self.port}/"
        self._erl_args = f"-kernel inet_dist_use_interface {{127,0,0,1}} {erl_args}"
        self._shared_epmd = epmd is not None
        self._epmd = epmd or Epmd(self._folder)
        self._server: subprocess.Popen[bytes] | None = None
        self._prepare(cookie or os.urandom(16).hex(), config, plugins)

    @property
    def running(self) -> bool:
        """Whether the broker's process lives."""
        return self._server is not None and self._server.poll() is None

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start the broker and return when it answers on its port.

        Raises:
            RuntimeError: it ended, or did not answer within *timeout* seconds.
        """
        if not self.running:
            self.launch()
            self.await_answer(timeout)

    def launch(self) -> None:
        """Start the broker without waiting for it; one that runs is left alone."""
        if not self.running:
            self._epmd.start()
            command = [str(self._programs / "rabbitmq-server")]
            self._server = _spawn(command, self._folder, self._environment())

    def await_answer(self, timeout: float = START_SECONDS) -> None:
        """Return when a launched broker answers on its port.

        Raises:
            RuntimeError: it ended, or did not answer within *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while self.running and time.monotonic() < deadline:
            if self.answers():
                return
            # a port that is closed can't be awaited, only tried again
            time.sleep(0.03)
        self.stop()
        msg = f"RabbitMQ did not start:\n{self.log_tail()}"
        raise RuntimeError(msg)

    def answers(self) -> bool:
        """Return whether the broker answers a protocol header with a method frame."""
        try:
            with socket.create_connection((self.host, self.port), timeout=2) as sock:
                sock.sendall(_PROTOCOL_HEADER)
                return sock.recv(1) == b"\x01"
        except OSError:
            return False

    def stop(self) -> None:
        """End the broker and its epmd; durable queues are there again after the next start."""
        if self._server is not None:
            _end(self._server, signal.SIGTERM)
        if not self._shared_epmd:
            self._epmd.stop()
        self._server = None

    def kill(self) -> None:
        """End the broker at once, as a crash would."""
        if self._server is not None:
            _end(self._server, signal.SIGKILL)
        self._server = None

    def freeze(self) -> None:
        """Stop the broker's process in its tracks; connections stay open and silent."""
        if self._server is not None:
            self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop the broker in good order and start it on the same port."""
        self.stop()
        self.start()

    def ctl(self, *args: str) -> str:
        """Run ``rabbitmqctl`` with *args* and return what it prints.

        Raises:
            RuntimeError: it failed; the message holds its output.
        """
        if expression := as_erlang(*args):
            if (answer := self.evaluate(expression)) != "ok":
                raise RuntimeError(f"{expression}: {answer}")
            return ""
        done = subprocess.run(
            [str(self._programs / "rabbitmqctl"), "--quiet", *args],
            env=self._environment(),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            msg = f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}"
            raise RuntimeError(msg)
        return done.stdout

    def log_tail(self, lines: int = 30) -> str:
        """Return the end of what the broker wrote to its log."""
        texts = [
            path.read_text(errors="replace") for path in sorted(self._folder.glob("log/*.log"))
        ]
        texts.append((self._folder / "output").read_text(errors="replace"))
        return "\n".join("\n".join(text.splitlines()[-lines:]) for text in texts)

    def evaluate(self, expression: str) -> str:
        """Run Erlang in the broker and return the value as it prints it.

        Much quicker than ``ctl("eval", ...)``, which starts a virtual machine of its own.

        Raises:
            RuntimeError: it failed; the message holds the output.
        """
        cookie = (self._folder / "home" / ".erlang.cookie").read_text()
        done = subprocess.run(
            ["erl_call", "-c", cookie, "-n", self.node, "-timeout", "10", "-e"],
            env=self._environment(),
            cwd=self._folder,
            input=f"{expression}.\n".encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        answer = done.stdout.decode(errors="replace")
        if done.returncode or not answer.startswith("{ok,"):
            raise RuntimeError(f"{expression}: {answer}{done.stderr.decode(errors='replace')}")
        return answer.strip().removeprefix("{ok, ").removesuffix("}")

    def _prepare(self, cookie_text: str, config: str, plugins: Sequence[str]) -> None:
        """Write the files that the broker reads."""
        for name in ("home", "log", "mnesia", "config"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "rabbitmq.conf").write_text(_CONFIG + config)
        (self._folder / "enabled_plugins").write_text(f"[{','.join(plugins)}].\n")
        (self._folder / "env.conf").write_text("")
        cookie = self._folder / "home" / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(cookie_text)
            cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        """Return the environment that keeps the broker and rabbitmqctl inside the folder."""
        folder = self._folder
        return {
            "PATH": _path(),
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_CRASH_DUMP": str(folder / "log" / "erl_crash.dump"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_MNESIA_DIR": str(folder / "mnesia" / "node"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
            # the script then becomes the broker, whose pid is the one we know
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": self._erl_args,
        }


def _path() -> str:
    """Return where programs are looked for."""
    return os.environ.get("PATH", os.defpath)


def _spawn(
    command: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start *command* in *folder* so that it dies with us, however we die."""
    # util-linux; without it, a killed test run leaves its broker behind
    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(
            [*guard, *command],
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send the signal and wait until the process is gone, by force if it takes too long."""
    if process.poll() is None:
        process.send_signal(number)
        # one that is frozen would never hear of it
        process.send_signal(signal.SIGCONT)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
