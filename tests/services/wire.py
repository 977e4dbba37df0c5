"""A wire that is listened in on: AMQP passes through, and what is unconfirmed is counted."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Condition
from typing import Self

from pamqp import commands, frame
from pamqp.exceptions import UnmarshalingException
from pamqp.header import ContentHeader

from tests.services import PATIENCE
from tests.services.front import Front

__all__ = ["Wire"]

_READ = 1 << 16


class Wire(Front):
    """Passes all bytes to a broker and back.

    Args:
        port: of 127.0.0.1, where the broker is.
        listen: the port to listen at; 0 for any that is free.
    """

    def __init__(self, port: int, *, listen: int = 0) -> None:
        super().__init__(port, listen=listen)
        self._changed = Condition()
        self._held = False
        self._pairs: list[_Pair] = []

    @property
    def published(self) -> list[str]:
        """The ids of the messages that went to the broker, in order, over all connections."""
        with self._changed:
            return [name for pair in self._pairs for name in pair.published]

    @property
    def most_unconfirmed(self) -> int:
        """How many messages of a connection were unconfirmed at most."""
        with self._changed:
            return max((pair.most for pair in self._pairs), default=0)

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        with self._changed:
            return len(self._pairs)

    def hold(self) -> None:
        """Keep back what the broker says from the next message on; what is published passes."""
        self._held = True

    def cut(self) -> None:
        with self._changed:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()

    def await_true(self, condition: Callable[[Self], bool], timeout: float = PATIENCE) -> None:
        """Wait until the condition holds of what has passed.

        Raises:
            AssertionError: it does not in time.
        """
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout), self.most_unconfirmed

    def _serve(self, client: socket.socket) -> None:
        with self._service() as to:
            pair = _Pair(client, to)
            with self._changed:
                self._pairs.append(pair)
            while True:
                # the broker's answers of the handshake must pass
                held = self._held and pair.published
                listened = [client] if held else [client, to]
                # a short wait, so that holding takes effect at once
                for source in select.select(listened, [], [], 0.02)[0]:
                    data = source.recv(_READ)
                    if not data:
                        return
                    with self._changed:
                        pair.heard(data, from_client=source is client)
                        self._changed.notify_all()
                    (to if source is client else client).sendall(data)


class _Pair:
    """The two sides of one connection, and what has passed between them."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self._sockets = client, broker
        self._rest = {True: b"", False: b""}
        self._tag = 0
        self._unconfirmed: set[int] = set()
        self.published: list[str] = []
        self.most = 0

    def cut(self) -> None:
        """End both sides."""
        for side in self._sockets:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def heard(self, data: bytes, *, from_client: bool) -> None:
        """Take note of the frames that are complete by now."""
        buffer = self._rest[from_client] + data
        while buffer:
            try:
                size, _, told = frame.unmarshal(buffer)
            except UnmarshalingException:
                break
            buffer = buffer[size:]
            self._note(told)
        self._rest[from_client] = buffer

    def _note(self, told: object) -> None:
        """Count what is published and what is confirmed."""
        match told:
            case ContentHeader():
                self.published.append(str(told.properties.message_id))
                self._tag += 1
                self._unconfirmed.add(self._tag)
                self.most = max(self.most, len(self._unconfirmed))
            case commands.Basic.Ack() | commands.Basic.Nack():
                last = told.delivery_tag or 0
                gone = (
                    {tag for tag in self._unconfirmed if tag <= last} if told.multiple else {last}
                )
                self._unconfirmed -= gone
