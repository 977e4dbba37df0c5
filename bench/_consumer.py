"""The consumer of the event benchmark: ``python -m bench._consumer PORT COUNT KEY``.

Says ``ready`` when it is attached, and in the end, as JSON, when each message arrived.
"""

from __future__ import annotations

import json
import sys
import time

import amqp

__all__ = ["main"]

_PATIENCE = 120.0
_EXCHANGE = "pulp.api.v2"


def main(port: int, count: int, binding: str) -> None:
    """Consume *count* messages with keys that *binding* matches from the broker on *port*."""
    connection = amqp.Connection(f"127.0.0.1:{port}")
    connection.connect()
    channel = connection.channel()
    channel.exchange_declare(_EXCHANGE, "topic", durable=True, auto_delete=False)
    queue = channel.queue_declare("", exclusive=True).queue
    channel.queue_bind(queue, _EXCHANGE, binding)
    arrivals: dict[str, float] = {}

    def arrived(message: amqp.Message) -> None:
        """Note the time of the first arrival; what has no id is numbered."""
        name = message.properties.get("message_id") or str(len(arrivals))
        arrivals.setdefault(name, time.monotonic())

    channel.basic_consume(queue, no_ack=True, callback=arrived)
    print("ready", flush=True)
    while len(arrivals) < count:
        connection.drain_events(timeout=_PATIENCE)
    print(json.dumps(arrivals), flush=True)
    connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
