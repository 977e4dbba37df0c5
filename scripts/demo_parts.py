"""What the demo is made of: the server's process, a feed, and an ordinary AMQP consumer."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kombu import Connection, Exchange, Queue  # type: ignore[attr-defined]

__all__ = ["Consumer", "DemoFailed", "Message", "Server", "serve_folder"]

_LOOPBACK = "127.0.0.1"
_START_SECONDS, _STOP_SECONDS = 30.0, 15.0
_CONFIG = """\
[server]
default_login: {user}
default_password: {password}
log_level: WARNING

[door]
anonymous: loopback
"""


class DemoFailed(Exception):
    """The demo can't go on; the message says why."""


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((_LOOPBACK, 0))
        return [sock.getsockname()[1] for sock in sockets]


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing."""


@contextlib.contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve the files in a folder over HTTP, on a free port of this machine; yields its URL."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer((_LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://{_LOOPBACK}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


class Server:
    """`pulpit serve` with the AMQP door open, in a process of its own.

    Args:
        folder: holds its configuration, data and log.
        password: of the user admin.
    """

    user = "admin"

    def __init__(self, folder: Path, *, password: str) -> None:
        self.password = password
        self.port, self.door_port = free_ports(2)
        self.url = f"http://{_LOOPBACK}:{self.port}"
        #: What any consumer on this machine would use with a broker of its own.
        self.door_url = f"amqp://guest:guest@{_LOOPBACK}:{self.door_port}//"
        self._folder = folder
        self._log = folder / "log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        config = self._folder / "server.conf"
        config.touch(mode=0o600)
        config.write_text(_CONFIG.format(user=self.user, password=self.password))
        command = [str(Path(sys.executable).with_name("pulpit")), "serve"]
        command += ["--config", str(config), "--data", str(self._folder / "data")]
        command += ["--host", _LOOPBACK, "--port", str(self.port)]
        command += ["--events", "--door", f"{_LOOPBACK}:{self.door_port}"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C is for the demo, which then ends the server in good order
                start_new_session=True,
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._end()

    def _await_ready(self, process: subprocess.Popen[str]) -> None:
        """Return when the server has said where it listens.

        Raises:
            DemoFailed: it ended, or said nothing in time; the message holds the end of its log.
        """
        ready = threading.Event()
        reader = threading.Thread(target=self._read, args=(process, ready), daemon=True)
        reader.start()
        if not ready.wait(_START_SECONDS) or process.poll() is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise DemoFailed(f"the server did not start: {tail or 'it says nothing'}")

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        """Read what the server writes until its end, and tell when it is ready or has ended."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if self.url in line:
                    ready.set()
        process.wait()
        ready.set()

    def _end(self) -> None:
        """End the server in good order, or by force if it takes too long."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as the consumer received it."""

    routing_key: str
    body: Any
    headers: dict[str, Any]


class Consumer:
    """An ordinary AMQP 0-9-1 consumer of all task events, in a thread of its own.

    Args:
        url: of the broker, or of the server's own door.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._messages: queue.Queue[Message | Exception] = queue.Queue()
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise DemoFailed(f"no AMQP consumer could be attached at {self._url}")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(5)

    def next(self, seconds: float) -> Message | None:
        """Return the next message, or None when none comes in time.

        Raises:
            DemoFailed: the connection is lost.
        """
        deadline = time.monotonic() + seconds
        try:
            item = self._messages.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise DemoFailed(f"the AMQP connection is lost: {item}")
        return item

    def _run(self) -> None:
        """Receive until told to stop."""
        try:
            with Connection(self._url, connect_timeout=5) as connection:  # type: ignore[no-untyped-call]
                exchange = Exchange("pulp.api.v2", type="topic")  # type: ignore[no-untyped-call]
                everything = Queue("", exchange, routing_key="tasks.#", exclusive=True)  # type: ignore[no-untyped-call]
                with connection.Consumer(everything, callbacks=[self._take], accept=["json"]):
                    self._ready.set()
                    while not self._stop.is_set():
                        with contextlib.suppress(TimeoutError):
                            connection.drain_events(timeout=0.2)
        except Exception as error:  # noqa: BLE001 - told to whoever waits for a message
            self._messages.put(error)
            self._ready.set()

    def _take(self, body: Any, message: Any) -> None:
        """Keep one message."""
        self._messages.put(
            Message(
                routing_key=message.delivery_info["routing_key"],
                body=body,
                headers=dict(message.headers or {}),
            )
        )
        message.ack()
