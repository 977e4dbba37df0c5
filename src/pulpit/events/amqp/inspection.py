"""Looking at a broker without changing anything there."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any

import amqp
from amqp.exceptions import AMQPError, NotFound, PreconditionFailed

from pulpit.events.amqp.addresses import Address
from pulpit.events.amqp.connecting import LinkOptions, login_of, new_connection
from pulpit.events.amqp.refusals import explain, refuse_own_door
from pulpit.events.message import EXCHANGE

__all__ = ["Inspection", "Writing", "greeting"]

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_PRODUCT = re.compile(rb"\x07productS(?P<size>.{4})", re.DOTALL)
#: RabbitMQ refuses a message with this expiration after it has checked the permissions, and
#: before it routes it; see ``rabbit_channel``.
_NO_EXPIRATION = "none"


class Writing(Enum):
    """What came of the question whether messages would be taken."""

    ALLOWED = "allowed"
    #: A memory or disk alarm.
    BLOCKED = "blocked"
    #: The broker is another one, which may take what it ought to refuse; or it said nothing.
    UNKNOWN = "unknown"


def greeting(host: str, port: int, *, seconds: float, tls: bool = False) -> str | None:
    """Return the product that greets AMQP clients there; empty if none is told.

    Returns None where nothing listens.

    Args:
        host: where to ask.
        port: where to ask.
        seconds: to wait for a connection, and for the greeting.
        tls: whether to ask by TLS, of whomever it may be.
    """
    try:
        with socket.create_connection((host, port), timeout=seconds) as connected:
            try:
                plug = _anybody().wrap_socket(connected) if tls else connected
                plug.sendall(_PROTOCOL_HEADER)
                data = plug.recv(4096)
            except OSError:
                return ""
    except OSError:
        return None
    found = _PRODUCT.search(data)
    if not found:
        return ""
    size = int.from_bytes(found["size"], "big")
    return data[found.end() : found.end() + size].decode(errors="replace")


def _anybody() -> ssl.SSLContext:
    """Return a context that takes any certificate: nothing is told to whoever shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Inspection:
    """One connection to a broker; the steps come in the order in which they are written.

    Args:
        address: of the broker.
        options: how to connect.
        exchange: that is looked at.
    """

    def __init__(self, address: Address, options: LinkOptions, *, exchange: str = EXCHANGE) -> None:
        self._address, self._options, self._exchange = address, options, exchange
        self._connection: Any = None
        self._opened = False

    def log_in(self) -> str:
        """Connect and open the virtual host; return what the broker calls itself.

        Raises:
            LinkError: it refuses us, and why.
        """
        self._connection = new_connection(self._address, self._options, name="pulpit-doctor")
        self._step(self._connection.connect)
        self._opened = True
        self._connection.sock.settimeout(self._options.timeout)
        told = self._connection.server_properties
        return f"{told.get('product', 'a broker')} {told.get('version', '')}".strip()

    def exchange(self) -> bool:
        """Return whether the exchange is there, as we would declare it.

        Raises:
            LinkError: it is declared otherwise, or not ours to use.
        """
        try:
            self._connection.channel().exchange_declare(self._exchange, "topic", passive=True)
        except NotFound:
            return False
        except AMQPError as error:
            raise self._explained(error) from error
        # of one that is there this changes nothing
        self._step(
            lambda: self._connection.channel().exchange_declare(
                self._exchange, "topic", durable=True, auto_delete=False
            )
        )
        return True

    def write(self, *, seconds: float) -> Writing:
        """Find out whether the exchange, which is there, would take messages of ours.

        Sends a message that the broker must refuse, so that no consumer ever sees it.

        Raises:
            LinkError: we may not write.
        """
        if self._connection.server_properties.get("product") != "RabbitMQ":
            return Writing.UNKNOWN
        blocked: list[str] = []
        self._connection.on_blocked = blocked.append
        message = amqp.Message(b"", expiration=_NO_EXPIRATION)
        until = time.monotonic() + seconds
        try:
            channel = self._connection.channel()
            channel.basic_publish(message, self._exchange, "tasks.pulpit-doctor")
            while not blocked and (left := until - time.monotonic()) > 0:
                self._connection.drain_events(timeout=left)
        except PreconditionFailed:
            return Writing.BLOCKED if blocked else Writing.ALLOWED
        except TimeoutError:
            return Writing.UNKNOWN
        except AMQPError as error:
            raise self._explained(error) from error
        return Writing.BLOCKED if blocked else Writing.UNKNOWN

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            with suppress(AMQPError, OSError):
                self._connection.collect()

    def _step(self, step: Callable[[], Any]) -> None:
        """Take a step; its failure becomes a sentence that says what to do."""
        try:
            step()
        except Exception as error:
            # the door may refuse us before we are connected, but it has said who it is
            refuse_own_door(self._connection, self._address)
            raise self._explained(error) from error
        refuse_own_door(self._connection, self._address)

    def _explained(self, error: Exception) -> Exception:
        """Return what an error means."""
        who = login_of(self._address, self._options)
        return explain(error, self._address, who=who, opened=self._opened, exchange=self._exchange)
