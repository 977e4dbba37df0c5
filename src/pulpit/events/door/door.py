"""The door: the server's own port for AMQP 0-9-1 consumers."""

from __future__ import annotations

import asyncio
import errno
import resource

from pulpit.domain.events import Event
from pulpit.errors import PortTaken, StartError
from pulpit.events.door.connection import Connection, Surroundings
from pulpit.events.door.contents import Content
from pulpit.events.door.credentials import Authenticate, Gate
from pulpit.events.door.log import Log
from pulpit.events.door.queues import Counts
from pulpit.events.door.refusals import ConnectionRefusal
from pulpit.events.door.session import Shared
from pulpit.events.door.settings import DoorSettings
from pulpit.events.door.topology import Topology
from pulpit.events.door.turns import Turns
from pulpit.events.message import Message
from pulpit.events.reply_codes import ReplyCode

__all__ = ["Door"]


class Door:
    """Lets AMQP 0-9-1 clients subscribe to the exchange ``pulp.api.v2``; keeps nothing for later.

    All methods belong to the thread of the event loop that :meth:`start` ran in.

    Args:
        settings: address and limits.
        authenticate: tells whether a login and a password are those of a user.
        log: a structlog logger, or one like it.
    """

    def __init__(self, settings: DoorSettings, *, authenticate: Authenticate, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._counts = Counts()
        self._topology = Topology(
            max_queues=settings.max_queues, max_bindings=settings.max_bindings
        )
        # in order of arrival, so that the oldest that does not log in can make room
        self._arrived: dict[Connection, None] = {}
        self._open: dict[Connection, None] = {}
        self._room = _connections_that_fit(settings.max_connections)
        self._emptied = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._around = Surroundings(
            shared=Shared(settings=settings, topology=self._topology, counts=self._counts, log=log),
            gate=Gate(
                authenticate,
                anonymous_loopback=settings.anonymous_loopback,
                concurrency=settings.max_authentications,
            ),
            turns=Turns(),
            on_arrival=self._on_arrival,
            on_open=self._on_open,
            on_lost=self._on_lost,
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            PortTaken: another process listens there.
            StartError: the address can't be listened on for another reason.
        """
        settings, tls = self._settings, self._settings.tls
        where = f"{settings.host}:{settings.port}"
        try:
            self._server = await asyncio.get_running_loop().create_server(
                (lambda: tls(self._connection)) if tls else self._connection,
                settings.host,
                settings.port,
                backlog=1_024,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(
                    f"The AMQP door can't open: another process listens on {where}; "
                    "stop it, or choose another port for the door."
                ) from error
            raise StartError(f"The AMQP door can't listen on {where}: {error.strerror}") from error
        host, port = self.address
        self._log.info("door.open", host=host, port=port, tls=tls is not None)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on.

        Raises:
            RuntimeError: it is not open.
        """
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the door is not open")
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    def publish(self, message: Message, event: Event) -> None:
        """Give *message*, which tells of *event*, to all queues bound to its routing key."""
        queues = self._topology.bindings.route(message.routing_key)
        if queues:
            content = Content.of(message, event)
            for queue in queues:
                queue.push(content)

    async def stop(self) -> None:
        """Close all connections with 320 and stop listening, within a bounded time."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._arrived):
            connection.close(
                ConnectionRefusal(ReplyCode.CONNECTION_FORCED, "the server is shutting down")
            )
        try:
            async with asyncio.timeout(self._settings.close_seconds + 1):
                while self._arrived:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            for connection in tuple(self._arrived):
                connection.abort()
        self._server = None
        self._log.info("door.closed")

    def figures(self) -> dict[str, int]:
        """Return counts: what is there now, and what happened since the start."""
        counts = self._counts
        return {
            "connections": len(self._arrived),
            "consumers": sum(each.session.consumers for each in self._open if each.session),
            "queues": len(self._topology),
            "delivered": counts.delivered,
            "folded": counts.folded,
            "dropped": counts.dropped,
            "refused": counts.refused,
            "behind": counts.behind,
        }

    def _connection(self) -> Connection:
        return Connection(self._around)

    def _on_arrival(self, connection: Connection) -> bool:
        if self._server is None or len(self._arrived) >= self._room:
            self._counts.refused += 1
            return False
        if len(self._arrived) - len(self._open) >= self._settings.max_handshakes:
            self._counts.refused += 1
            next(each for each in self._arrived if each not in self._open).abort()
        self._arrived[connection] = None
        return True

    def _on_open(self, connection: Connection) -> None:
        self._open[connection] = None

    def _on_lost(self, connection: Connection) -> None:
        self._arrived.pop(connection, None)
        self._open.pop(connection, None)
        if not self._arrived:
            self._emptied.set()


def _connections_that_fit(wanted: int) -> int:
    """Return how many connections may be open, so that the server keeps files for itself."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else max(min(wanted, files // 2), 1)
