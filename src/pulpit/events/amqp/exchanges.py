"""Seeing that an exchange is there before messages go to it."""

from __future__ import annotations

from typing import Any

from amqp.exceptions import NotFound

__all__ = ["declare", "find_or_declare"]

#: How the names of exchanges begin that are the broker's own; nobody may declare one.
_BROKERS_OWN = "amq."


def declare(channel: Any, exchange: str) -> None:
    """Declare an exchange as the consumers of task events do."""
    channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)


def find_or_declare(channel: Any, exchange: str) -> None:
    """Declare an exchange unless it is there, as whatever somebody has declared it."""
    try:
        # on another channel: the answer that it is not there ends the channel
        channel.connection.channel().exchange_declare(exchange, "topic", passive=True)
    except NotFound:
        if exchange.startswith(_BROKERS_OWN):
            raise
        declare(channel, exchange)
