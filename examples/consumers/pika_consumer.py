"""Print every task event, or those of one task, with pika.

    python pika_consumer.py [TASK-UUID]

AMQP_URL names the broker, or the server's own AMQP door.
"""

import json
import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672")
ENDS = {"finished", "error", "canceled", "skipped"}

task = sys.argv[1] if len(sys.argv) > 1 else "#"


def on_task(channel, method, _properties, body):
    """Print one task report, and leave when the one task asked for has ended."""
    report = json.loads(body)
    print(method.routing_key, report["state"], flush=True)
    channel.basic_ack(method.delivery_tag)
    if report["task_id"] == task and report["state"] in ENDS:
        channel.stop_consuming()


with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
    channel = connection.channel()
    # a queue without a name, of our own: it is gone when we are
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.exchange_declare("pulp.api.v2", exchange_type="topic", durable=True)
    channel.queue_bind(queue, "pulp.api.v2", f"tasks.{task}")
    channel.basic_consume(queue, on_task)
    print(f"waiting for tasks.{task}", file=sys.stderr, flush=True)
    channel.start_consuming()
