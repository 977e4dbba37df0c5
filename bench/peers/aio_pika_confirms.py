"""aio-pika with publisher confirms, as many messages at once as the window has room for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractExchange

from bench.peers._given import Given, Stopwatch, given

__all__ = ["main"]


def _message(told: dict[str, Any]) -> aio_pika.Message:
    """Return the same message as aio-pika has it."""
    return aio_pika.Message(
        told["body"].encode(),
        content_type=told["content_type"],
        content_encoding=told["content_encoding"],
        headers=told["headers"],
        delivery_mode=told["delivery_mode"],
        message_id=told["message_id"],
        timestamp=datetime.fromtimestamp(told["timestamp"], UTC),
        type=told["type"],
        app_id=told["app_id"],
    )


async def _publish(asked: Given) -> None:
    """Publish all messages and wait for their confirms."""
    ready = iter([(_message(told), told["routing_key"]) for told in asked.messages])
    async with await aio_pika.connect(asked.url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange(
            asked.exchange, aio_pika.ExchangeType.TOPIC, durable=True
        )
        watch = Stopwatch()
        async with asyncio.TaskGroup() as group:
            for _ in range(asked.window):
                group.create_task(_worker(exchange, ready))
        watch.tell()


async def _worker(exchange: AbstractExchange, ready: Any) -> None:
    """Publish one message after the other, each once the one before is confirmed."""
    for message, key in ready:
        await exchange.publish(message, key)


def main() -> None:
    """Be the peer."""
    asyncio.run(_publish(given()))


if __name__ == "__main__":
    main()
