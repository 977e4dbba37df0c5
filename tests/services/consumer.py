"""A consumer of events as a plain AMQP client writes one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import amqp

from tests.services import PATIENCE

__all__ = ["Consumer"]


class Consumer:
    """Declares exchange and queue, binds, and collects messages without acknowledgements.

    Args:
        host: of the broker.
        port: of the broker.
        key: the binding key.
        queue: the name of a durable queue; empty for an exclusive one of the broker's naming.
        arguments: of the queue.
        virtual_host: of the broker.
        user: login and password.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        key: str = "tasks.#",
        queue: str = "",
        arguments: dict[str, Any] | None = None,
        virtual_host: str = "/",
        user: tuple[str, str] = ("guest", "guest"),
    ) -> None:
        login, password = user
        self._connection = amqp.Connection(
            f"{host}:{port}",
            userid=login,
            password=password,
            virtual_host=virtual_host,
            connect_timeout=10,
        )
        self._connection.connect()
        self.channel = self._connection.channel()
        self.channel.exchange_declare("pulp.api.v2", "topic", durable=True, auto_delete=False)
        self.queue = self.channel.queue_declare(
            queue,
            durable=bool(queue),
            exclusive=not queue,
            auto_delete=False,
            arguments=arguments,
        ).queue
        self.channel.queue_bind(self.queue, "pulp.api.v2", key)
        #: What arrived, in order.
        self.messages: list[Any] = []
        self._tag: str | None = None

    def collect(self, enough: Callable[[list[Any]], bool], timeout: float = PATIENCE) -> list[Any]:
        """Consume until *enough* says so of the messages; return them.

        Raises:
            AssertionError: it does not within *timeout* seconds.
        """
        if self._tag is None:
            append = self.messages.append
            self._tag = self.channel.basic_consume(self.queue, no_ack=True, callback=append)
        deadline = time.monotonic() + timeout
        while not enough(self.messages):
            left = deadline - time.monotonic()
            assert left > 0, f"only {len(self.messages)} messages arrived in {timeout} s"
            try:
                self._connection.drain_events(timeout=left)
            except socket.timeout:  # noqa: UP041 - what the library raises
                continue
        return self.messages

    def count(self, number: int, timeout: float = PATIENCE) -> list[Any]:
        """Consume until *number* messages are there; return them."""
        return self.collect(lambda messages: len(messages) >= number, timeout)

    def until(self, message_id: str, timeout: float = PATIENCE) -> list[Any]:
        """Consume until the newest message is that one; return all."""
        return self.collect(lambda got: bool(got) and got[-1].message_id == message_id, timeout)

    def delete(self) -> None:
        """Delete the queue."""
        if self._tag is not None:
            # else the library raises when the broker cancels the consumer
            self.channel.basic_cancel(self._tag)
        self.channel.queue_delete(self.queue)

    def close(self) -> None:
        """End the connection, and with it an exclusive queue."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # a broker that was killed can't be told goodbye
        if kind is None and self._connection.connected:
            self.close()
        else:
            self._connection.collect()
