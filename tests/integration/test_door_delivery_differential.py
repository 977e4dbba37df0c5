"""What is delivered, in which order and with which marks: the door against RabbitMQ."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

import pytest
from pamqp import base, body, commands, header

from pulpit.events.door.bindings import Bindings
from tests.door_server import DoorThread, status
from tests.door_wire import Wire, method_frame, raw_frame
from tests.services.rabbitmq import RabbitMQ

Basic, Confirm, Exchange, Queue = (
    commands.Basic,
    commands.Confirm,
    commands.Exchange,
    commands.Queue,
)
EXCHANGE = "pulp.api.v2"
KEY = "tasks.t"

#: Something to do, and how many deliveries follow.
Step = tuple[base.Frame | int, int]

#: A number as the first of a pair publishes as many messages.
SCENARIOS: dict[str, list[Step]] = {
    "in order": [(5, 5), (Basic.Ack(5, multiple=True), 0), (3, 3)],
    "prefetch": [
        (Basic.Qos(prefetch_count=2), 0),
        (Basic.Consume(queue="q", consumer_tag="d"), 0),
        (Basic.Cancel(consumer_tag="c"), 0),
        (5, 2),
        (Basic.Ack(1), 1),
        (Basic.Ack(0, multiple=True), 2),
        (Basic.Ack(5), 0),
    ],
    "prefetch of the channel": [
        (Basic.Qos(prefetch_count=3, global_=True), 0),
        (5, 3),
        (Basic.Ack(2), 1),
        (Basic.Ack(3, multiple=True), 1),
    ],
    "nack one": [(3, 3), (Basic.Nack(2, multiple=False, requeue=True), 1), (1, 1)],
    "nack all": [(3, 3), (Basic.Nack(0, multiple=True, requeue=True), 3)],
    "nack and drop": [(3, 3), (Basic.Nack(3, multiple=True, requeue=False), 0), (1, 1)],
    "reject": [(2, 2), (Basic.Reject(1, requeue=True), 1), (Basic.Reject(2, requeue=False), 0)],
    "recover": [(3, 3), (Basic.Ack(2), 0), (Basic.Recover(requeue=True), 2)],
    "two in turn": [
        (Basic.Qos(prefetch_count=1), 0),
        (Basic.Cancel(consumer_tag="c"), 0),
        (Basic.Consume(queue="q", consumer_tag="d"), 0),
        (Basic.Consume(queue="q", consumer_tag="e"), 0),
        (4, 2),
        (Basic.Ack(2), 1),
        (Basic.Ack(1), 1),
    ],
    "given back in their places": [
        (Basic.Qos(prefetch_count=3), 0),
        (Basic.Cancel(consumer_tag="c"), 0),
        (Basic.Consume(queue="q", consumer_tag="d"), 0),
        (6, 3),
        (Basic.Nack(2, multiple=False, requeue=True), 1),
        (Basic.Ack(3), 1),
        (Basic.Nack(0, multiple=True, requeue=True), 3),
    ],
}


def play(wire: Wire, steps: list[Step], publish: Callable[[int], None]) -> list[object]:
    """Do the steps and return tag, mark, consumer and number of all that is delivered."""
    wire.queue(KEY, name="q")
    wire.consume("q")
    seen: list[object] = []
    for step, count in steps:
        if isinstance(step, int):
            publish(step)
        else:
            wire.send_method(step)
            if step.synchronous:
                wire.receive()
        for deliver, _, data in wire.deliveries(count):
            mark = (deliver.delivery_tag, deliver.redelivered, deliver.consumer_tag, data)
            seen.append(mark)
    wire.barrier()
    wire.log_out()
    return seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_deliveries_as_rabbitmq(name: str, rabbitmq: RabbitMQ) -> None:
    """Tags, marks and order are those of RabbitMQ."""
    with DoorThread() as door, door.wire().log_in() as wire:
        numbers = iter(range(1, 1_000))

        def publish(count: int) -> None:
            door.publish(*(status("t", n, b"%d" % n) for n in islice(numbers, count)))

        mine = play(wire, SCENARIOS[name], publish)
    with (
        Wire(rabbitmq.host, rabbitmq.port).log_in() as publisher,
        Wire(rabbitmq.host, rabbitmq.port).log_in() as wire,
    ):
        _ready_to_publish(publisher)
        theirs_numbers = iter(range(1, 1_000))

        def publish_there(count: int) -> None:
            for n in islice(theirs_numbers, count):
                _publish(publisher, KEY, b"%d" % n)

        theirs = play(wire, SCENARIOS[name], publish_there)
    assert mine == theirs


WORDS = ["", "*", "#", "a", "b", "tasks"]


def _texts(rng: random.Random, count: int) -> list[str]:
    """Return texts of up to four words, each once, with the shortest ones among them."""
    texts = {"", ".", "..", "#", "*", "#.#", "*.#", "#.*", "tasks.*", "tasks.#", "a.#.b"}
    while len(texts) < count:
        texts.add(".".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4))))
    return sorted(texts)


def test_topic_patterns_as_rabbitmq(rabbitmq: RabbitMQ) -> None:
    """Each pair of pattern and routing key matches or not, as at RabbitMQ."""
    rng = random.Random(20_140_707)
    patterns, keys = _texts(rng, 120), _texts(rng, 150)
    bindings: Bindings[int] = Bindings()
    theirs: dict[int, set[str]] = {n: set() for n in range(len(patterns))}
    with Wire(rabbitmq.host, rabbitmq.port).log_in() as wire:
        _ready_to_publish(wire)
        for number, pattern in enumerate(patterns):
            wire.queue(pattern, name=f"topic-{number}")
            bindings.add(pattern, number)
        for key in keys:
            _publish(wire, key, f"={key}".encode())
        for number in range(len(patterns)):
            declared = Queue.Declare(queue=f"topic-{number}", passive=True)
            count = wire.ask(declared, Queue.DeclareOk).message_count
            wire.consume(f"topic-{number}", no_ack=True, tag=str(number))
            theirs[number] = {data.decode()[1:] for _, _, data in wire.deliveries(count)}
    mine = {n: {key for key in keys if n in bindings.route(key)} for n in range(len(patterns))}
    assert {patterns[n]: found for n, found in mine.items()} == {
        patterns[n]: found for n, found in theirs.items()
    }


def _ready_to_publish(wire: Wire) -> None:
    declared = Exchange.Declare(exchange=EXCHANGE, exchange_type="topic", durable=True)
    wire.ask(declared, Exchange.DeclareOk)
    wire.ask(Confirm.Select(), Confirm.SelectOk)


def _publish(wire: Wire, key: str, data: bytes) -> None:
    """Publish and await the confirm."""
    head = header.ContentHeader(body_size=len(data))
    wire.send(
        method_frame(1, Basic.Publish(exchange=EXCHANGE, routing_key=key))
        + raw_frame(2, 1, head.marshal())
        + raw_frame(3, 1, body.ContentBody(data).marshal())
    )
    wire.expect(Basic.Ack)
