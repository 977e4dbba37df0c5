"""What is delivered, in which order and with which marks: the door against RabbitMQ."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
            seen.append(_mark(deliver, data))
    wire.barrier()
    wire.log_out()
    return seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_deliveries_as_rabbitmq(name: str, rabbitmq: RabbitMQ) -> None:
    """Tags, marks and order are those of RabbitMQ."""
    with DoorThread() as door, door.wire().log_in() as wire:
        mine = play(wire, SCENARIOS[name], _publisher_to(door))
    with _broker_publisher(rabbitmq) as publish, _wire(rabbitmq) as wire:
        theirs = play(wire, SCENARIOS[name], publish)
    assert mine == theirs


def choose(rng: random.Random, outstanding: list[int]) -> base.Frame | int:
    """Return something to do: publish a few, or settle some of what is outstanding."""
    if not outstanding or rng.random() < 0.3:
        return rng.randint(1, 4)
    tag, multiple = rng.choice(outstanding), rng.random() < 0.5
    return rng.choice(
        [
            Basic.Ack(tag, multiple=multiple),
            Basic.Nack(tag, multiple=multiple, requeue=True),
            Basic.Nack(tag, multiple=multiple, requeue=False),
            Basic.Reject(tag, requeue=True),
            Basic.Recover(requeue=True),
        ]
    )


def left_after(step: base.Frame, outstanding: list[int]) -> list[int]:
    """Return the tags that are still outstanding."""
    if isinstance(step, Basic.Recover):
        return []
    tag, multiple = getattr(step, "delivery_tag", 0), getattr(step, "multiple", False)
    return [each for each in outstanding if each > tag or (each < tag and not multiple)]


def play_at_random(
    wire: Wire, rng: random.Random, publish: Callable[[int], None]
) -> tuple[list[Step], list[object]]:
    """Return what was done, each with how many deliveries followed, and the deliveries."""
    wire.queue(KEY, name="q")
    wire.consume("q")
    steps = [(Basic.Qos(prefetch_count=rng.randint(0, 4)), 0), *OTHER_CONSUMER]
    for method, _ in steps:
        assert isinstance(method, base.Frame)
        wire.call(method)
    seen: list[object] = []
    outstanding: list[int] = []
    for _ in range(25):
        step = choose(rng, outstanding)
        if isinstance(step, int):
            publish(step)
        else:
            outstanding = left_after(step, outstanding)
            wire.send_method(step)
            if step.synchronous:
                wire.receive()
        delivered = wire.deliveries_so_far()
        outstanding += [deliver.delivery_tag or 0 for deliver, _ in delivered]
        seen += [_mark(deliver, data) for deliver, data in delivered]
        steps.append((step, len(delivered)))
    wire.log_out()
    return steps, seen


def _mark(deliver: base.Frame, data: bytes) -> tuple[object, ...]:
    """Return what of a delivery must be the same."""
    fields = dict(deliver)
    return (fields["delivery_tag"], fields["redelivered"], fields["consumer_tag"], data)


#: A consumer with the prefetch that was set before it, in place of the first one.
OTHER_CONSUMER: list[Step] = [
    (Basic.Cancel(consumer_tag="c"), 0),
    (Basic.Consume(queue="q", consumer_tag="d"), 0),
]


@pytest.mark.parametrize("seed", range(25))
def test_random_deliveries_as_rabbitmq(seed: int, rabbitmq: RabbitMQ) -> None:
    """Acknowledged, given back and dropped in any order, deliveries are those of RabbitMQ."""
    with DoorThread() as door, door.wire().log_in() as wire:
        steps, mine = play_at_random(wire, random.Random(seed), _publisher_to(door))
    with _broker_publisher(rabbitmq) as publish, _wire(rabbitmq) as wire:
        theirs = play(wire, steps, publish)
    assert mine == theirs


def _publisher_to(door: DoorThread) -> Callable[[int], None]:
    numbers = iter(range(1, 1_000))

    def publish(count: int) -> None:
        door.publish(*(status("t", n, b"%d" % n) for n in islice(numbers, count)))

    return publish


@contextmanager
def _broker_publisher(broker: RabbitMQ) -> Iterator[Callable[[int], None]]:
    """Yield a function that publishes as many messages to RabbitMQ."""
    numbers = iter(range(1, 1_000))
    with _wire(broker) as wire:
        _ready_to_publish(wire)

        def publish(count: int) -> None:
            for n in islice(numbers, count):
                _publish(wire, KEY, b"%d" % n)

        yield publish


def _wire(broker: RabbitMQ) -> Wire:
    return Wire(broker.host, broker.port).log_in()


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
