"""The web server: its socket, and how it runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from pulpit.api.protocol import BoundedHttp
from pulpit.app.tls import Tls
from pulpit.config import Settings
from pulpit.errors import PortTaken, StartError

__all__ = ["answering", "listening_socket", "local_socket"]

_BACKLOG = 2048
#: Of a Unix-domain socket: for the server's user and group.
_OWN = 0o660


def listening_socket(settings: Settings) -> socket.socket:
    """Return the socket of the API, so that a port that is taken is told before anything runs.

    Raises:
        PortTaken: another process listens there.
        StartError: nobody can listen there.
    """
    host, port = settings.server.host, settings.server.port
    try:
        return socket.create_server(
            (host, port), family=_family(host, port), backlog=_BACKLOG, reuse_port=False
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Another process listens on {host}:{port}: stop it, or choose another port "
                "with --port.",
            ) from error
        raise StartError(f"The server can't listen on {host}:{port}: {error.strerror}") from error


@contextlib.contextmanager
def local_socket(path: Path | None) -> Iterator[Sequence[socket.socket]]:
    """Yield the Unix-domain socket of the API, if there is to be one, and remove it at the end.

    Raises:
        PortTaken: another process listens there.
        StartError: nobody can listen there.
    """
    if path is None:
        yield ()
        return
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            _remove_stale(path)
            listener.bind(str(path))
            # nobody can connect before it listens
            path.chmod(_OWN)
            listener.listen(_BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"The server can't listen at {path}: {reason}") from error
        try:
            yield (listener,)
        finally:
            path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that was killed.

    Raises:
        PortTaken: another process listens there.
        OSError: it can't be removed.
    """
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise PortTaken(f"Another process listens at {path}: stop it, or change socket.")
    path.unlink()


def _family(host: str, port: int) -> socket.AddressFamily:
    """Return the address family of a host."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers: the order of the shutdown is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def answering(
    application: ASGIApp, listeners: Sequence[socket.socket], *, tls: Tls, last_words: float
) -> AsyncIterator[None]:
    """Answer requests while the block runs.

    Args:
        application: what answers.
        listeners: where requests come from.
        tls: lets handshakes go before HTTP; closed at the end.
        last_words: seconds that requests get at the end.
    """
    server = _Uvicorn(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            # a callable that makes a protocol is all that it needs
            http=tls.before_http(BoundedHttp),  # type: ignore[arg-type]
            # it believes everybody on this machine
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=int(last_words),
        ),
    )
    serving = asyncio.create_task(server.serve(sockets=list(listeners)))
    try:
        yield
    finally:
        tls.close()
        server.should_exit = True
        await serving
