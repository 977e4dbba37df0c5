"""A connection to a broker, opened by py-amqp and then driven without ever blocking."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
from amqp import sasl
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed

from pulpit.errors import PulpitError
from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.frames import (
    CHANNEL,
    HEARTBEAT,
    Blocked,
    Closed,
    Confirm,
    FrameReader,
    MalformedFrame,
    PublishEncoder,
)
from pulpit.events.message import EXCHANGE, Message

__all__ = ["DOOR_PRODUCT", "Link", "LinkError", "LinkOptions", "open_link"]

#: How the name begins under which the server's own AMQP door greets its clients.
DOOR_PRODUCT = "Pulpit"

_SMALLEST_FRAME_MAX = 4096
#: One read takes at most this many bytes, and there are so many reads at once.
_READ, _READS = 1 << 16, 16
#: No more is handed to the socket while this much waits for it.
_BACKED_UP = 1 << 18
# the default of the library (1 s) ends a connection that the broker has merely blocked
_SOCKET_OPTIONS = {socket.TCP_USER_TIMEOUT: 0}
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class LinkError(PulpitError):
    """The broker can't be reached, refuses us, or the connection is lost.

    Args:
        reason: what happened, and what the operator should do if something has to be done.
        refused: the broker answered, and will answer the same until somebody changes something.
        own_door: what answered is the server's own AMQP door.
    """

    def __init__(self, reason: str, *, refused: bool = False, own_door: bool = False) -> None:
        super().__init__(reason)
        self.refused, self.own_door = refused, own_door


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How connections to brokers are made."""

    #: PEM file of the authorities that sign brokers' certificates; None: those of the system.
    cacert: Path | None = None
    #: PEM file with our certificate and its key.
    clientcert: Path | None = None
    #: Seconds for each step until the connection is usable.
    timeout: float = 5.0
    #: Seconds between heartbeats that we ask for.
    heartbeat: int = 30


class Link:
    """One open connection with one channel in confirm mode; used by one thread.

    Messages handed to ``publish`` are confirmed in the order of their tags, from 1.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._socket = connection.sock
        self._socket.settimeout(0)
        self._reader = FrameReader(frame_max=connection.frame_max)
        self._encoder = PublishEncoder(exchange=EXCHANGE, frame_max=connection.frame_max)
        self._heartbeat = float(connection.heartbeat or 0)
        self._out: deque[memoryview] = deque()
        self._waiting = 0
        #: Whether the last look left something unread.
        self._more = False
        self._last_sent = self._last_heard = time.monotonic()
        #: The broker takes no messages for now (memory or disk alarm).
        self.blocked = False

    @property
    def backed_up(self) -> bool:
        """Whether the socket has not taken what was published before."""
        return self._waiting > _BACKED_UP

    def publish(self, messages: list[Message]) -> None:
        """Send messages, or keep them until the socket takes them.

        Raises:
            LinkError: the connection is lost.
        """
        data = b"".join([self._encoder.encode(message) for message in messages])
        self._out.append(memoryview(data))
        self._waiting += len(data)
        self._flush()

    def receive(self) -> list[Confirm]:
        """Return the confirms that have arrived, without waiting.

        Raises:
            LinkError: the connection is lost or the broker has closed it.
        """
        confirms: list[Confirm] = []
        self._more = True
        for _ in range(_READS):
            data = self._read()
            if not data:
                self._more = False
                break
            self._take(data, confirms)
        return confirms

    def _take(self, data: bytes, confirms: list[Confirm]) -> None:
        """Take note of what the broker says; add what it confirms to *confirms*."""
        try:
            told = self._reader.feed(data)
        except MalformedFrame as error:
            raise LinkError(f"the broker does not speak AMQP 0-9-1: {error}") from error
        for news in told:
            match news:
                case Confirm():
                    confirms.append(news)
                case Blocked():
                    self.blocked = news.blocked
                case Closed():
                    raise LinkError(f"the broker closed the connection: {news.code} {news.text}")

    def wait(self, *wakers: Any, timeout: float) -> None:
        """Return when the broker or one of *wakers* (objects with fileno) has news, or time is up.

        Keeps the connection alive meanwhile.

        Raises:
            LinkError: the connection is lost, or the broker was silent for too long.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        for waker in wakers:
            poll.register(waker, select.POLLIN)
        if self._heartbeat:
            timeout = min(timeout, self._heartbeat / 4)
        if self._more:
            # TLS may hold bytes that no poll of the socket tells of
            timeout = 0
        poll.poll(max(timeout, 0) * 1000)
        self._flush()
        self._keep_alive()

    def close(self) -> None:
        """End the connection in good order if the broker answers soon, else at once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if not self._out and not self.blocked:
                self._socket.settimeout(1)
                # the broker's answer, or nothing: either way the connection is over
                with suppress(AMQPError, OSError):
                    connection.close()
        finally:
            with suppress(OSError):
                connection.collect()

    def _read(self) -> bytes:
        """Return what the socket holds now; nothing if it holds nothing."""
        try:
            data = bytes(self._socket.recv(_READ))
        except _WOULD_BLOCK:
            return b""
        except OSError as error:
            raise LinkError(f"the connection to the broker is lost: {error}") from error
        if not data:
            raise LinkError("the broker ended the connection")
        self._last_heard = time.monotonic()
        return data

    def _flush(self) -> None:
        """Hand to the socket what it takes now."""
        try:
            while self._out:
                # a write that would block must be tried again with the same bytes (TLS)
                taken = self._socket.send(self._out[0])
                self._waiting -= taken
                self._last_sent = time.monotonic()
                if taken == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][taken:]
        except _WOULD_BLOCK:
            return
        except OSError as error:
            raise LinkError(f"the connection to the broker is lost: {error}") from error

    def _keep_alive(self) -> None:
        """Send a heartbeat when it is time, and notice a broker that sends none."""
        if not self._heartbeat:
            return
        now = time.monotonic()
        silent = now - self._last_heard > 2 * self._heartbeat
        # what has arrived while this thread was busy is no silence
        if silent and not select.select([self._socket], [], [], 0)[0]:
            raise LinkError(f"the broker was silent for {2 * self._heartbeat:.0f} seconds")
        if not self._out and now - self._last_sent > self._heartbeat / 2:
            self._out.append(memoryview(HEARTBEAT))
            self._waiting += len(HEARTBEAT)
            self._flush()


def open_link(address: Address, options: LinkOptions) -> Link:
    """Connect, declare the exchange and turn confirms on.

    Raises:
        LinkError: none of that, and why.
    """
    connection = amqp.Connection(
        host=address.netloc,
        authentication=_authentication(address, options),
        virtual_host=address.virtual_host,
        ssl=_tls(address, options),
        connect_timeout=options.timeout,
        heartbeat=options.heartbeat,
        socket_settings=_SOCKET_OPTIONS,
        client_properties={"product": "Pulpit", "connection_name": "pulpit-publisher"},
    )
    try:
        _attempt(connection.connect, connection, address)
        connection.sock.settimeout(options.timeout)
        channel = _attempt(lambda: connection.channel(CHANNEL), connection, address)
        _attempt(lambda: _prepare(channel), connection, address)
        return Link(connection)
    except BaseException:
        with suppress(OSError):
            connection.collect()
        raise


def _prepare(channel: Any) -> None:
    """Declare the exchange as its consumers do, and ask for confirms."""
    if channel.connection.frame_max < _SMALLEST_FRAME_MAX:
        raise ValueError(f"it allows frames of {channel.connection.frame_max} bytes only")
    channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)
    channel.confirm_select()


def _attempt(step: Callable[[], Any], connection: Any, address: Address) -> Any:
    """Return what *step* returns; its failure becomes one sentence that says what to do."""
    try:
        answer = step()
    except Exception as error:
        # what answers may be no broker at all and break the library in any way; the door may
        # refuse us before we are connected, but it has said who it is
        _refuse_own_door(connection, address)
        raise _explained(error, address, connection) from error
    _refuse_own_door(connection, address)
    return answer


def _refuse_own_door(connection: Any, address: Address) -> None:
    """Raise if the server's own door answered."""
    if str(connection.server_properties.get("product", "")).startswith(DOOR_PRODUCT):
        raise LinkError(
            f"what answers at {address} is a Pulpit server's own AMQP door, not a broker: set "
            "event_notification_url in [messaging] to a broker, or leave it out to use the door",
            refused=True,
            own_door=True,
        )


def _explained(error: Exception, address: Address, connection: Any) -> LinkError:
    """Return what *error* means to an operator."""
    user = address.user or "guest"
    handshake = not connection.channels or len(connection.channels) == 1
    if isinstance(error, AccessRefused) and handshake:
        return LinkError(
            f"{address} refuses the credentials of user {user}: correct user and password in "
            "event_notification_url, section [messaging]",
            refused=True,
        )
    if isinstance(error, AccessRefused):
        return LinkError(
            f"{address} does not let user {user} use exchange {EXCHANGE}: give it the permission "
            f"to configure and write it ({error.message})",
            refused=True,
        )
    if isinstance(error, PreconditionFailed):
        return LinkError(
            f"{address} has an exchange {EXCHANGE} that is not of type topic, durable and not "
            "auto-delete: delete it there; it is declared again by itself",
            refused=True,
        )
    if isinstance(error, NotAllowed):
        return LinkError(
            f"{address} does not let user {user} into virtual host {address.virtual_host}: create "
            "it and give the user permissions on it, or correct event_notification_url",
            refused=True,
        )
    # a file that is not there is named by neither of the two
    if isinstance(error, ssl.SSLError) or (address.tls and isinstance(error, FileNotFoundError)):
        return LinkError(
            f"no TLS with {address}: {error}; check cacert and clientcert in [messaging]",
            refused=True,
        )
    return LinkError(f"no connection to {address}: {error or type(error).__name__}")


def _authentication(address: Address, options: LinkOptions) -> tuple[Any, ...]:
    """Return the SASL mechanisms to offer, the best first."""
    plain = sasl.PLAIN(address.user or "guest", address.password or "guest")
    if address.user is None and options.clientcert:
        return sasl.EXTERNAL(), plain
    return (plain,)


def _tls(address: Address, options: LinkOptions) -> Any:
    """Return the library's TLS options, or False."""
    if not address.tls:
        return False
    return {
        "ca_certs": str(options.cacert) if options.cacert else None,
        "certfile": str(options.clientcert) if options.clientcert else None,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": address.host,
    }
