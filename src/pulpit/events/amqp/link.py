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
from functools import partial
from pathlib import Path
from typing import Any

import amqp
from amqp import sasl
from amqp.exceptions import AMQPError

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
from pulpit.events.amqp.reasons import LinkError, Reason
from pulpit.events.amqp.refusals import explain, explain_closed, refuse_own_door
from pulpit.events.message import EXCHANGE, Message

__all__ = ["Link", "LinkError", "LinkOptions", "login_of", "new_connection", "open_link"]

_SMALLEST_FRAME_MAX = 4096
#: One read takes at most this many bytes, and there are so many reads at once.
_READ, _READS = 1 << 16, 16
#: No more is handed to the socket while this much waits for it.
_BACKED_UP = 1 << 18
# the default of the library (1 s) ends a connection that the broker has merely blocked
_SOCKET_OPTIONS = {socket.TCP_USER_TIMEOUT: 0}
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


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

    Args:
        connection: of the library, with its channel in confirm mode.
        address: of the broker.
        who: whom we are logged in as, in words.
    """

    def __init__(self, connection: Any, address: Address, *, who: str) -> None:
        self._connection, self._address, self._who = connection, address, who
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
            raise LinkError(
                f"what answers at {self._address} does not speak AMQP 0-9-1: {error}",
                reason=Reason.PROTOCOL,
            ) from error
        for news in told:
            match news:
                case Confirm():
                    confirms.append(news)
                case Blocked():
                    self.blocked = news.blocked
                case Closed():
                    raise explain_closed(news, self._address, who=self._who)

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

    def _lost(self, how: str) -> LinkError:
        """Return the error for a connection that is gone."""
        return LinkError(
            f"the connection to {self._address} is lost ({how}): look whether the broker runs; "
            "it is tried again by itself"
        )

    def _read(self) -> bytes:
        """Return what the socket holds now; nothing if it holds nothing."""
        try:
            data = bytes(self._socket.recv(_READ))
        except _WOULD_BLOCK:
            return b""
        except OSError as error:
            raise self._lost(str(error)) from error
        if not data:
            raise self._lost("it ended without a word")
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
            raise self._lost(str(error)) from error

    def _keep_alive(self) -> None:
        """Send a heartbeat when it is time, and notice a broker that sends none."""
        if not self._heartbeat:
            return
        now = time.monotonic()
        silent = now - self._last_heard > 2 * self._heartbeat
        # what has arrived while this thread was busy is no silence
        if silent and not select.select([self._socket], [], [], 0)[0]:
            raise LinkError(
                f"{self._address} was silent for {2 * self._heartbeat:.0f} seconds: look whether "
                "the broker is frozen or overloaded, or the network is cut; it is tried again by "
                "itself",
                reason=Reason.SILENT,
            )
        if not self._out and now - self._last_sent > self._heartbeat / 2:
            self._out.append(memoryview(HEARTBEAT))
            self._waiting += len(HEARTBEAT)
            self._flush()


def open_link(address: Address, options: LinkOptions) -> Link:
    """Connect, declare the exchange and turn confirms on.

    Raises:
        LinkError: none of that, and why.
    """
    connection = new_connection(address, options, name="pulpit-publisher")
    try:
        return _open(connection, address, options)
    except BaseException:
        with suppress(OSError):
            connection.collect()
        raise


def new_connection(address: Address, options: LinkOptions, *, name: str) -> Any:
    """Return a connection of the library, not opened.

    Args:
        address: of the broker.
        options: how to connect.
        name: under which the broker lists it.

    Raises:
        LinkError: a file of certificates can't be used.
    """
    return amqp.Connection(
        host=address.netloc,
        authentication=_authentication(address, options),
        virtual_host=address.virtual_host,
        ssl=_tls(address, options),
        connect_timeout=options.timeout,
        heartbeat=options.heartbeat,
        socket_settings=_SOCKET_OPTIONS,
        client_properties={"product": "Pulpit", "connection_name": name},
    )


def _open(connection: Any, address: Address, options: LinkOptions) -> Link:
    """Take a connection through all steps; its failure becomes a sentence that says what to do."""
    who, opened = login_of(address, options), False
    try:
        connection.connect()
        opened = True
        refuse_own_door(connection, address)
        connection.sock.settimeout(options.timeout)
        _prepare(connection.channel(CHANNEL))
    except Exception as error:
        # the door may refuse us before we are connected, but it has said who it is
        refuse_own_door(connection, address)
        # what answers may be no broker at all and break the library in any way
        raise explain(error, address, who=who, opened=opened) from error
    return Link(connection, address, who=who)


def _prepare(channel: Any) -> None:
    """Declare the exchange as its consumers do, and ask for confirms."""
    if channel.connection.frame_max < _SMALLEST_FRAME_MAX:
        raise ValueError(f"it allows frames of {channel.connection.frame_max} bytes only")
    channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)
    channel.confirm_select()


def login_of(address: Address, options: LinkOptions) -> str:
    """Return whom we log in as, in words."""
    if address.user is None and address.tls and options.clientcert:
        return f"the certificate in {options.clientcert}, or else of user guest"
    return f"user {address.user or 'guest'}"


def _authentication(address: Address, options: LinkOptions) -> tuple[Any, ...]:
    """Return the SASL mechanisms to offer, the best first."""
    user, password = address.user or "guest", address.password or "guest"
    by_name = sasl.PLAIN(user, password), sasl.AMQPLAIN(user, password)
    if address.user is None and address.tls and options.clientcert:
        return sasl.EXTERNAL(), *by_name
    return by_name


def _tls(address: Address, options: LinkOptions) -> Any:
    """Return the library's TLS options, or False."""
    if not address.tls:
        return False
    _check_files(address, options)
    return {
        "ca_certs": str(options.cacert) if options.cacert else None,
        "certfile": str(options.clientcert) if options.clientcert else None,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": address.host,
    }


def _check_files(address: Address, options: LinkOptions) -> None:
    """Load the certificates once, since the errors of a handshake don't name the file.

    Raises:
        LinkError: one can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # for want of a password, OpenSSL would ask for that of a key at the terminal
    loads: tuple[tuple[str, Path | None, Callable[[Path], None]], ...] = (
        ("cacert", options.cacert, context.load_verify_locations),
        ("clientcert", options.clientcert, partial(context.load_cert_chain, password="")),
    )
    for setting, path, load in loads:
        if path is None:
            continue
        try:
            load(path)
        except (OSError, ValueError) as error:
            raise LinkError(
                f"no TLS with {address}: {setting} in [messaging], {path}, can't be used: "
                f"{error}; it must be a PEM file that the server's user may read",
                reason=Reason.TLS,
                refused=True,
            ) from error
