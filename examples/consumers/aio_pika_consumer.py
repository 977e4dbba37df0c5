"""Print every task event, or those of one task, with aio-pika; reconnects by itself.

    python aio_pika_consumer.py [TASK-UUID]

AMQP_URL names the broker, or the server's own AMQP door.
"""

import asyncio
import json
import os
import sys

import aio_pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672")
ENDS = {"finished", "error", "canceled", "skipped"}


async def main(task):
    """Print task reports until the one task asked for has ended, or for ever."""
    connection = await aio_pika.connect_robust(URL)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(
            "pulp.api.v2", aio_pika.ExchangeType.TOPIC, durable=True
        )
        # a queue without a name, of our own: it is gone when we are
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, f"tasks.{task}")
        async with queue.iterator() as messages:
            print(f"waiting for tasks.{task}", file=sys.stderr, flush=True)
            async for message in messages:
                async with message.process():
                    report = json.loads(message.body)
                    print(message.routing_key, report["state"], flush=True)
                if report["task_id"] == task and report["state"] in ENDS:
                    return


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "#"))
