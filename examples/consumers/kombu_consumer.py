"""Print every task event, or those of one task, with kombu.

    python kombu_consumer.py [TASK-UUID]

AMQP_URL names the broker, or the server's own AMQP door.
"""

import os
import sys

from kombu import Connection, Exchange, Queue

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672")
ENDS = {"finished", "error", "canceled", "skipped"}

task = sys.argv[1] if len(sys.argv) > 1 else "#"
exchange = Exchange("pulp.api.v2", type="topic")
# a queue without a name, of our own: it is gone when we are
queue = Queue("", exchange, routing_key=f"tasks.{task}", exclusive=True)


def on_task(report, message):
    """Print one task report, and leave when the one task asked for has ended."""
    print(message.delivery_info["routing_key"], report["state"], flush=True)
    message.ack()
    if report["task_id"] == task and report["state"] in ENDS:
        raise SystemExit


with Connection(URL) as connection, connection.Consumer(queue, callbacks=[on_task]):
    print(f"waiting for tasks.{task}", file=sys.stderr, flush=True)
    while True:
        connection.drain_events()
