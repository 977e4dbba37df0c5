"""A real HTTP server for feeds on a free loopback port, which can be told to misbehave."""

from __future__ import annotations

import base64
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

__all__ = ["HTML", "Answer", "FeedServer", "Request"]

#: What a captive portal or a tired mirror says instead of the file, with status 200.
HTML = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><p>Log in.<br></body></html>"

_TYPES = {".xml": "application/xml", ".gz": "application/gzip", ".rpm": "application/x-rpm"}
_PIECE = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to do with a request, in place of sending the file whole."""

    #: The status of the answer.
    status: int = 200
    #: The bytes to send; None sends the file that was asked for.
    body: bytes | None = None
    #: Headers beside the usual ones, such as the Location of a redirect.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Bytes of the body after which the connection is closed, though more were announced.
    cut: int | None = None
    #: Seconds between two bytes of the body; it then takes as long as the client waits.
    drip: float | None = None
    #: What the request waits for before it is answered.
    gate: threading.Event | None = None
    #: Login and password without which the answer is 401.
    credentials: tuple[str, str] | None = None
    #: How many requests are treated so, before the file is sent as usual; None is all of them.
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it came, with the status that answered it."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int


@dataclass
class _Rule:
    """An answer, for which paths it is, and how often it was given."""

    pattern: str
    answer: Answer
    used: int = 0


class FeedServer:
    """Serves a folder over HTTP/1.1 with keep-alive, from threads of its own.

    Use it as a context manager; ``with FeedServer(folder) as feed`` has the server running, and
    after the block no thread or socket of it is left.

    Args:
        folder: what is served; may be set to another folder at any time.
        tls: a server-side context makes it an https server.
        host: the address of this machine to listen at.
    """

    def __init__(
        self, folder: Path, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.folder = folder
        self._tls = tls
        self._host = host
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._requests: list[Request] = []
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(self, self._tls, self._host)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        server = self._running
        server.stopping.set()
        server.shutdown()
        self._thread.join()
        server.end_connections()
        server.server_close()
        self._server = None

    @property
    def _running(self) -> _Server:
        """Return the server, which runs inside the ``with`` block only."""
        if self._server is None:
            raise RuntimeError("the feed server runs inside its with block only")
        return self._server

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self._running.server_address[1])

    @property
    def url(self) -> str:
        """Return the URL of the folder, with a slash at its end."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/"

    @property
    def requests(self) -> list[Request]:
        """Return every request so far, in the order of their answers."""
        with self._lock:
            return list(self._requests)

    def count(self, pattern: str = "*") -> int:
        """Return how many requests there were for paths like *pattern*."""
        return sum(fnmatchcase(request.path, pattern) for request in self.requests)

    def forget(self) -> None:
        """Empty the log of requests."""
        with self._lock:
            self._requests.clear()

    def answer(self, pattern: str, answer: Answer) -> None:
        """Treat requests for paths like *pattern* (``/x/*.rpm``) so; the newest match wins."""
        with self._lock:
            self._rules.insert(0, _Rule(pattern, answer))

    def behave(self) -> None:
        """Forget every answer that was set: send files again."""
        with self._lock:
            self._rules.clear()

    def choose(self, path: str) -> Answer:
        """Return how the request for *path* is to be answered, and count its use."""
        with self._lock:
            for rule in self._rules:
                spent = rule.answer.times is not None and rule.used >= rule.answer.times
                if fnmatchcase(path, rule.pattern) and not spent:
                    rule.used += 1
                    return rule.answer
        return Answer()

    def record(self, request: Request) -> None:
        """Add *request* to the log."""
        with self._lock:
            self._requests.append(request)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of the file at *path* of the folder; None if there is no such file."""
        parts = [part for part in unquote(path).split("/") if part not in ("", ".")]
        target = self.folder.joinpath(*parts)
        if ".." in parts or not target.is_file():
            return None
        return target.read_bytes()


class _Server(ThreadingHTTPServer):
    """The listening socket, with a list of its connections so that all can be ended."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, feed: FeedServer, tls: ssl.SSLContext | None, host: str) -> None:
        self.feed = feed
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((host, 0), _Handler)
        if tls:
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End what clients keep open, so that its threads end."""
        with self._guard:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        # clients that hang up are part of the tests
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "feed"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer as the feed was told to."""
        path = urlsplit(self.path).path
        answer = self.server.feed.choose(path)
        if answer.gate is not None:
            self._wait(answer.gate)
        status, body = self._content(path, answer)
        self._log(path, status)
        self._head(status, body, path, answer)
        if self.command != "HEAD":
            self._send(body, answer)

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def _wait(self, gate: threading.Event) -> None:
        """Wait for *gate*, or for the end of the server."""
        while not gate.wait(0.02) and not self.server.stopping.is_set():
            continue

    def _content(self, path: str, answer: Answer) -> tuple[int, bytes]:
        """Return status and body."""
        if answer.credentials is not None:
            expected = base64.b64encode(":".join(answer.credentials).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {expected}":
                return HTTPStatus.UNAUTHORIZED, b"who are you?\n"
        if answer.body is not None:
            return answer.status, answer.body
        if answer.status != HTTPStatus.OK:
            return answer.status, f"status {answer.status}\n".encode()
        found = self.server.feed.read(path)
        if found is None:
            return HTTPStatus.NOT_FOUND, b"no such file\n"
        return HTTPStatus.OK, found

    def _log(self, path: str, status: int) -> None:
        """Write the request down before it is answered, so that a client finds its own."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.feed.record(
            Request(method=self.command, path=path, headers=headers, status=status)
        )

    def _head(self, status: int, body: bytes, path: str, answer: Answer) -> None:
        """Send status line and headers."""
        self.send_response(status)
        names = {name.lower() for name in answer.headers}
        usual = {
            "Content-Type": _TYPES.get(Path(path).suffix, "application/octet-stream"),
            "Content-Length": str(len(body)),
        }
        if status == HTTPStatus.UNAUTHORIZED:
            usual["WWW-Authenticate"] = 'Basic realm="feed"'
        for name, value in usual.items():
            if name.lower() not in names:
                self.send_header(name, value)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes, answer: Answer) -> None:
        """Send the body, or what the answer leaves of it."""
        for piece in self._pieces(body, answer):
            self.wfile.write(piece)
            if answer.drip is not None:
                self.wfile.flush()
                if self.server.stopping.wait(answer.drip):
                    break
        self.wfile.flush()
        if answer.cut is not None or self.server.stopping.is_set():
            self.close_connection = True

    def _pieces(self, body: bytes, answer: Answer) -> Iterator[bytes]:
        """Yield the body in the pieces in which it is sent."""
        size = 1 if answer.drip is not None else _PIECE
        end = len(body) if answer.cut is None else min(answer.cut, len(body))
        for start in range(0, end, size):
            yield body[start : min(start + size, end)]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the feed keeps its own log."""
