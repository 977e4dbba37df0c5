"""A connection to a broker, opened by py-amqp and then driven without ever blocking."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pulpit.errors import Fenced
from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.connecting import LinkOptions, always, login_of, new_connection
from pulpit.events.amqp.exchanges import declare
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

__all__ = ["Link", "LinkError", "LinkOptions", "open_link"]

_SMALLEST_FRAME_MAX = 4096
#: One read takes at most this many bytes, and there are so many reads at once.
_READ, _READS = 1 << 16, 16
#: No more is handed to the socket while this much waits for it.
_BACKED_UP = 1 << 18
#: The end of the connection is a reset.
_RESET = struct.pack("ii", 1, 0)
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Link:
    """One open connection with one channel in confirm mode; used by one thread.

    Messages handed to ``publish`` are confirmed in the order of their tags, from 1.

    Args:
        connection: of the library, with its channel in confirm mode.
        address: of the broker.
        who: whom we are logged in as, in words.
        exchange: where messages go.
        may_send: asked before each write to the socket; once it says no, sending raises Fenced.
    """

    def __init__(
        self,
        connection: Any,
        address: Address,
        *,
        who: str,
        exchange: str = EXCHANGE,
        may_send: Callable[[], bool] = always,
    ) -> None:
        self._connection, self._address, self._who = connection, address, who
        self._exchange = exchange
        self._socket = connection.sock
        self._socket.settimeout(0)
        self._reader = FrameReader(frame_max=connection.frame_max)
        self._encoder = PublishEncoder(exchange=exchange, frame_max=connection.frame_max)
        self._heartbeat = float(connection.heartbeat or 0)
        self._may_send = may_send
        self._out: deque[memoryview] = deque()
        self._waiting = 0
        #: Whether the last look left something unread.
        self._more = False
        self._last_sent = self._last_heard = time.monotonic()
        #: The broker takes no messages for now (memory or disk alarm).
        self.blocked = False

    @property
    def frame_max(self) -> int:
        """The largest frame that the connection allows, in bytes."""
        return int(self._connection.frame_max)

    @property
    def backed_up(self) -> bool:
        """Whether the socket has not taken what was published before."""
        return self._waiting > _BACKED_UP

    def publish(self, messages: list[Message]) -> None:
        """Send messages, or keep them until the socket takes them.

        Raises:
            LinkError: the connection is lost.
        """
        self.send(b"".join([self._encoder.encode(message) for message in messages]))

    def send(self, data: bytes) -> None:
        """Send frames, or keep them until the socket takes them.

        Raises:
            LinkError: the connection is lost.
        """
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
                    raise explain_closed(
                        news, self._address, who=self._who, exchange=self._exchange
                    )

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
                # the broker's answer, or nothing, or half a frame that breaks the library: either
                # way the connection is over
                with suppress(Exception):
                    connection.close()
        finally:
            with suppress(OSError):
                connection.collect()

    def drop(self) -> None:
        """End the connection at once: what has not left yet never will, not even by the system."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._socket.close()
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
        """Hand to the socket what it takes now.

        Raises:
            LinkError: the connection is lost.
            Fenced: it is for another process to send by now.
        """
        try:
            while self._out:
                if not self._may_send():
                    raise Fenced
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


def open_link(
    address: Address,
    options: LinkOptions,
    *,
    name: str = "pulpit-publisher",
    exchange: str = EXCHANGE,
    declare: Callable[[Any, str], None] = declare,
) -> Link:
    """Connect, see to the exchange and turn confirms on.

    Args:
        address: of the broker.
        options: how to connect.
        name: under which the broker lists the connection.
        exchange: where messages will go.
        declare: sees that it is there, by a channel of the library.

    Raises:
        LinkError: none of that, and why.
    """
    connection = new_connection(address, options, name=name)
    try:
        return _open(connection, address, options, exchange, declare)
    except BaseException:
        with suppress(OSError):
            connection.collect()
        raise


def _open(
    connection: Any,
    address: Address,
    options: LinkOptions,
    exchange: str,
    declare: Callable[[Any, str], None],
) -> Link:
    """Take a connection through all steps; its failure becomes a sentence that says what to do."""
    who, opened = login_of(address, options), False
    try:
        connection.connect()
        opened = True
        refuse_own_door(connection, address)
        connection.sock.settimeout(options.timeout)
        channel = connection.channel(CHANNEL)
        _check_frames(connection.frame_max)
        declare(channel, exchange)
        channel.confirm_select()
    except Exception as error:
        # the door may refuse us before we are connected, but it has said who it is
        refuse_own_door(connection, address)
        # what answers may be no broker at all and break the library in any way
        raise explain(error, address, who=who, opened=opened, exchange=exchange) from error
    return Link(connection, address, who=who, exchange=exchange, may_send=options.may_send)


def _check_frames(largest: int) -> None:
    """Refuse a broker whose frames are too small for any message."""
    if largest < _SMALLEST_FRAME_MAX:
        raise ValueError(f"it allows frames of {largest} bytes only")
