"""The same operations at the door and at RabbitMQ: same reply, same code, same level."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pamqp import base, commands, frame

from tests.door_server import DoorThread
from tests.door_wire import PROTOCOL_HEADER, Wire, method_frame, raw_frame
from tests.services.rabbitmq import RabbitMQ

Basic, Channel, Connection = commands.Basic, commands.Channel, commands.Connection
Confirm, Exchange, Queue = commands.Confirm, commands.Exchange, commands.Queue

EXCHANGE = "pulp.api.v2"
Step = base.Frame | bytes


class Answered(bytes):
    """A frame whose answer is awaited before anything else is sent."""

    __slots__ = ()


Outcome = tuple[Any, ...]

#: After these nothing more is answered on the channel.
ENDS = {"Channel.Close", "Channel.CloseOk", "Connection.Close", "Connection.CloseOk", "the end"}


@pytest.fixture(scope="module")
def door() -> Iterator[DoorThread]:
    """Yield a door that waits a moment only for the answers to its closes."""
    with DoorThread(close_seconds=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def broker(rabbitmq_session: RabbitMQ) -> RabbitMQ:
    """Return RabbitMQ with the exchange declared."""
    rabbitmq_session.start()
    with Wire(rabbitmq_session.host, rabbitmq_session.port).log_in() as wire:
        declare = Exchange.Declare(exchange=EXCHANGE, exchange_type="topic", durable=True)
        wire.ask(declare, Exchange.DeclareOk)
    return rabbitmq_session


def declare(name: str = "q", **arguments: Any) -> base.Frame:
    """Return the declaration of an exclusive queue."""
    method = Queue.Declare(**{"exclusive": True, **arguments})
    # set later: the codec refuses names that RabbitMQ takes
    method.queue = name
    return method


def bind(queue: str = "q", exchange: str = EXCHANGE, key: str = "tasks.#") -> base.Frame:
    """Return a bind."""
    return Queue.Bind(queue=queue, exchange=exchange, routing_key=key)


def exchange(name: str = EXCHANGE, kind: str = "topic", **arguments: Any) -> base.Frame:
    """Return the declaration of an exchange."""
    return Exchange.Declare(exchange=name, exchange_type=kind, **{"durable": True, **arguments})


def consume(queue: str = "q", tag: str = "c", **arguments: Any) -> base.Frame:
    """Return a consume."""
    return Basic.Consume(queue=queue, consumer_tag=tag, **arguments)


#: Operations on channel 1, one after the other; the last ones end channel or connection.
SCENARIOS: dict[str, list[Step]] = {
    "declare twice": [declare(), declare()],
    "declare durable": [declare(durable=True), declare(durable=True)],
    "declare with another durable": [declare(), declare(durable=True)],
    "declare with another auto-delete": [declare(), declare(auto_delete=True)],
    "declare again without exclusive": [declare(), declare(exclusive=False)],
    "declare with another argument": [declare(), declare(arguments={"x-max-length": 3})],
    "declare with an argument nobody knows": [declare(), declare(arguments={"x-foo": 3})],
    "declare a reserved name": [declare("amq.mine")],
    "declare with a name of the codec's dislike": [declare("so ein Name/ä?")],
    "passive, there": [declare(), declare(passive=True)],
    "passive, not there": [declare("absent", passive=True)],
    "passive, no name": [declare(), declare("", passive=True)],
    "passive, no name, none before": [declare("", passive=True)],
    "passive, another durable": [declare(), declare(passive=True, durable=True)],
    "bind": [declare(), bind(), bind()],
    "bind without a name": [declare(), bind("")],
    "bind without a name, none before": [bind("")],
    "bind to no exchange": [declare(), bind(exchange="absent")],
    "bind no queue": [bind("absent")],
    "bind neither": [bind("absent", "absent")],
    "bind to the default exchange": [declare(), bind(exchange="")],
    "unbind": [
        declare(),
        bind(),
        Queue.Unbind(queue="q", exchange=EXCHANGE, routing_key="tasks.#"),
    ],
    "unbind what is not bound": [
        declare(),
        Queue.Unbind(queue="q", exchange=EXCHANGE, routing_key="x"),
    ],
    "unbind no queue": [Queue.Unbind(queue="absent", exchange=EXCHANGE, routing_key="x")],
    "unbind from no exchange": [
        declare(),
        Queue.Unbind(queue="q", exchange="absent", routing_key="x"),
    ],
    "unbind from the default exchange": [
        declare(),
        Queue.Unbind(queue="q", exchange="", routing_key="q"),
    ],
    "unbind without a name, none before": [
        Queue.Unbind(queue="", exchange=EXCHANGE, routing_key="x")
    ],
    "delete": [declare(), Queue.Delete(queue="q"), declare(passive=True)],
    "delete no queue": [Queue.Delete(queue="absent")],
    "delete without a name": [declare(), Queue.Delete(queue="")],
    "delete what is in use": [declare(), consume(), Queue.Delete(queue="q", if_unused=True)],
    "delete what is empty": [declare(), Queue.Delete(queue="q", if_empty=True)],
    "purge": [declare(), Queue.Purge(queue="q")],
    "purge no queue": [Queue.Purge(queue="absent")],
    "auto-delete after cancel": [
        declare(auto_delete=True),
        consume(),
        Basic.Cancel(consumer_tag="c"),
        declare(passive=True),
    ],
    "auto-delete without a consumer": [declare(auto_delete=True), declare(passive=True)],
    "consume": [declare(), consume()],
    "consume without a name": [declare(), consume("")],
    "consume without a name, none before": [consume("")],
    "consume no queue": [consume("absent")],
    "consume with the same tag": [declare(), consume(), consume()],
    "consume exclusively": [declare(), consume(exclusive=True), consume(tag="d")],
    "consume exclusively too late": [declare(), consume(), consume(tag="d", exclusive=True)],
    "consume exclusively again": [
        declare(),
        consume(exclusive=True),
        Basic.Cancel(consumer_tag="c"),
        consume(tag="d"),
        consume(tag="e"),
    ],
    "cancel": [declare(), consume(), Basic.Cancel(consumer_tag="c")],
    "cancel no consumer": [Basic.Cancel(consumer_tag="absent")],
    "get from an empty queue": [declare(), Basic.Get(queue="q")],
    "get from no queue": [Basic.Get(queue="absent")],
    "get without a name, none before": [Basic.Get(queue="")],
    "ack an unknown tag": [Basic.Ack(delivery_tag=7)],
    "ack tag 0": [Basic.Ack(delivery_tag=0)],
    "ack all of none": [Basic.Ack(delivery_tag=0, multiple=True)],
    "ack up to an unknown tag": [Basic.Ack(delivery_tag=7, multiple=True)],
    "nack an unknown tag": [Basic.Nack(delivery_tag=7)],
    "nack all of none": [Basic.Nack(delivery_tag=0, multiple=True)],
    "reject an unknown tag": [Basic.Reject(delivery_tag=7)],
    "recover": [Basic.Recover(requeue=True)],
    "recover without requeue": [Basic.Recover(requeue=False)],
    "recover, no answer": [raw_frame(1, 1, b"\0\x3c\0\x64\1")],
    "recover without requeue, no answer": [raw_frame(1, 1, b"\0\x3c\0\x64\0")],
    "qos": [Basic.Qos(prefetch_count=5)],
    "qos of the channel": [Basic.Qos(prefetch_count=5, global_=True)],
    "qos with a size": [Basic.Qos(prefetch_size=1)],
    "flow": [Channel.Flow(active=True)],
    "confirm": [Confirm.Select(), Confirm.Select()],
    "exchange as it is": [exchange()],
    "exchange of another type": [exchange(kind="direct")],
    "exchange of no type": [exchange(kind="nonsense")],
    "exchange not durable": [exchange(durable=False)],
    "exchange with auto-delete": [exchange(auto_delete=True)],
    "exchange, internal": [exchange(internal=True)],
    "exchange, passive": [exchange(passive=True)],
    "exchange, passive, of another type": [exchange(kind="direct", passive=True)],
    "exchange, passive, of no type": [exchange(kind="nonsense", passive=True)],
    "exchange, passive, not there": [exchange("absent", passive=True)],
    "exchange with a reserved name": [exchange("amq.mine")],
    "default exchange declared": [exchange("", kind="direct")],
    "default exchange deleted": [Exchange.Delete(exchange="")],
    "reserved exchange deleted": [Exchange.Delete(exchange="amq.topic")],
    "no exchange deleted": [Exchange.Delete(exchange="absent")],
    "channel opened twice": [Channel.Open()],
    "flow-ok out of the blue": [Channel.FlowOk(active=True)],
    "cancel-ok out of the blue": [Basic.CancelOk(consumer_tag="x")],
    "close-ok out of the blue": [Channel.CloseOk()],
    "a server's method": [Basic.Deliver("c", 1, False, "", "k")],
    "a server's answer": [Queue.DeclareOk(queue="q", message_count=0, consumer_count=0)],
    "methods on a channel that is not open": [Answered(method_frame(2, Basic.Qos()))],
    "close on a channel that is not open": [
        Answered(method_frame(2, Channel.Close(200, "", 0, 0)))
    ],
    "as many channels as agreed": [
        Answered(method_frame(number, Channel.Open())) for number in range(1_000, 1_063)
    ],
    "a channel too many": [
        Answered(method_frame(number, Channel.Open())) for number in range(1_000, 1_064)
    ],
    "a content header alone": [raw_frame(2, 1, struct.pack(">HHQH", 60, 0, 0, 0))],
    "a content body alone": [raw_frame(3, 1, b"hello")],
    "a heartbeat on a channel": [raw_frame(8, 1, b"")],
    "a heartbeat with a payload": [raw_frame(8, 0, b"x")],
    "an unknown frame type": [raw_frame(4, 1, b"x")],
    "a method frame without a method": [raw_frame(1, 1, b"\0")],
    "an empty method frame": [raw_frame(1, 1, b"")],
    "arguments that end too early": [raw_frame(1, 1, struct.pack(">HHHB", 50, 10, 0, 99))],
    "a wrong end": [raw_frame(1, 1, b"\0\x3c\0\x0a" + bytes(7), end=b"x")],
    "a channel's method on channel 0": [method_frame(0, Basic.Qos())],
    "channel.open on channel 0": [method_frame(0, Channel.Open())],
    "a connection's method on channel 1": [Connection.Open("/")],
    "start-ok again": [method_frame(0, Connection.StartOk(response="\0guest\0guest"))],
    "open again": [method_frame(0, Connection.Open("/"))],
    "close": [Answered(method_frame(0, Connection.Close(200, "bye", 0, 0)))],
    "close-ok of the connection out of the blue": [method_frame(0, Connection.CloseOk())],
    "channel.close": [Channel.Close(200, "bye", 0, 0)],
}


def outcome(received: tuple[int, frame.FrameTypes] | None) -> Outcome:
    """Return what matters of an answer: its name, and of a close the code and the place."""
    if received is None:
        return ("the end",)
    channel, value = received
    if isinstance(value, Channel.Close | Connection.Close):
        return (value.name, channel, value.reply_code)
    if isinstance(value, Queue.DeclareOk):
        return (value.name, value.queue, value.message_count, value.consumer_count)
    return (getattr(value, "name", value), channel)


def answer(wire: Wire) -> Outcome:
    """Return the next outcome; when a consumer learns of its queue's end is left to RabbitMQ."""
    while (seen := outcome(wire.receive()))[0] == "Basic.Cancel":
        pass
    return seen


def _play(wire: Wire, steps: list[Step]) -> list[Outcome]:
    """Send each step, followed by something that is answered, and return all answers."""
    seen: list[Outcome] = []
    for step in steps:
        wire.send(method_frame(1, step) if isinstance(step, base.Frame) else step)
        if isinstance(step, Answered) or (isinstance(step, base.Frame) and step.synchronous):
            seen.append(answer(wire))
            if seen[-1][0] in ENDS:
                return seen
        wire.send_method(Basic.Qos(prefetch_count=0))
        seen.append(answer(wire))
        while seen[-1][0] not in {*ENDS, "Basic.QosOk"}:
            seen.append(answer(wire))
        if seen[-1][0] in ENDS:
            return seen
    return seen


def play(wire: Wire, steps: list[Step]) -> list[Outcome]:
    """Return all answers to *steps*, with nothing left of the connection."""
    seen = _play(wire, steps)
    wire.log_out()
    return seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_as_rabbitmq(name: str, door: DoorThread, broker: RabbitMQ) -> None:
    """An operation has the outcome that it has at RabbitMQ."""
    with door.wire().log_in() as wire:
        mine = play(wire, SCENARIOS[name])
    with Wire(broker.host, broker.port).log_in() as wire:
        theirs = play(wire, SCENARIOS[name])
    assert mine == theirs


#: Operations that random sequences are made of.
OPERATIONS: list[Step] = [
    *(declare(name, auto_delete=auto) for name in ("q", "r") for auto in (False, True)),
    *(declare(name, passive=True) for name in ("q", "r")),
    *(bind(name, key=key) for name in ("q", "r", "") for key in ("tasks.#", "tasks.x")),
    *(
        Queue.Unbind(queue=name, exchange=EXCHANGE, routing_key="tasks.x")
        for name in ("q", "r", "")
    ),
    *(consume(name, tag) for name in ("q", "r", "") for tag in ("c", "d")),
    consume("q", "e", exclusive=True),
    *(Basic.Cancel(consumer_tag=tag) for tag in ("c", "d", "e")),
    *(
        Queue.Delete(queue=name, if_unused=unused)
        for name in ("q", "r")
        for unused in (False, True)
    ),
    *(Queue.Purge(queue=name) for name in ("q", "r", "")),
    *(Basic.Get(queue=name) for name in ("q", "r", "")),
    Basic.Recover(requeue=True),
    Basic.Qos(prefetch_count=3, global_=True),
    exchange(),
]


@pytest.mark.parametrize("seed", range(40))
def test_random_operations_as_rabbitmq(seed: int, door: DoorThread, broker: RabbitMQ) -> None:
    """Whatever the order of the operations, the outcomes are those of RabbitMQ."""
    rng = random.Random(seed)
    # most sequences begin with something to work on
    beginning: list[Step] = [declare("q"), declare("r", auto_delete=True)]
    steps = beginning[: rng.randint(0, 2)] + rng.choices(OPERATIONS, k=12)
    with door.wire().log_in() as wire:
        mine = play(wire, steps)
    with Wire(broker.host, broker.port).log_in() as wire:
        theirs = play(wire, steps)
    assert mine == theirs, [
        dict(step) | {"": step.name} for step in steps if isinstance(step, base.Frame)
    ]


OTHERS: dict[str, Step] = {
    "declare": declare("locked"),
    "passive": declare("locked", passive=True),
    "declare without exclusive": declare("locked", exclusive=False),
    "bind": bind("locked"),
    "unbind": Queue.Unbind(queue="locked", exchange=EXCHANGE, routing_key="x"),
    "consume": consume("locked"),
    "get": Basic.Get(queue="locked"),
    "purge": Queue.Purge(queue="locked"),
    "delete": Queue.Delete(queue="locked"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_connections_queue_as_rabbitmq(
    name: str, door: DoorThread, broker: RabbitMQ
) -> None:
    """Another connection's queue is refused as RabbitMQ refuses it."""
    seen = []
    for host, port in ((door.host, door.port), (broker.host, broker.port)):
        with Wire(host, port).log_in() as owner, Wire(host, port).log_in() as other:
            owner.queue(name="locked")
            seen.append(play(other, [OTHERS[name]]))
            # gone before the next server, or test, declares it
            owner.ask(Queue.Delete(queue="locked"), Queue.DeleteOk)
    assert seen[0] == seen[1]


BAD_TUNINGS = {
    "no limit of channels": (0, 131_072, 60),
    "too many channels": (10_000, 131_072, 60),
    "no limit of frames": (64, 0, 60),
    "frames too small": (64, 4_095, 60),
    "frames too large": (64, 131_073, 60),
}


def test_smallest_tuning_as_rabbitmq(door: DoorThread, broker: RabbitMQ) -> None:
    """The smallest frames and one channel are enough for both."""
    for host, port in ((door.host, door.port), (broker.host, broker.port)):
        with Wire(host, port).log_in(channel_max=1, frame_max=4_096) as wire:
            wire.queue("tasks.#")


def test_bad_tuning_as_rabbitmq(door: DoorThread, broker: RabbitMQ) -> None:
    """What a client may not choose at RabbitMQ ends the connection; here it is told why."""
    with ExitStack() as stack:
        wires = [
            (stack.enter_context(Wire(host, port)), tuning)
            for host, port in ((door.host, door.port), (broker.host, broker.port))
            for tuning in BAD_TUNINGS.values()
        ]
        for wire, tuning in wires:
            wire.start()
            wire.expect(Connection.Tune)
            wire.send_method(Connection.TuneOk(*tuning), 0)
        seen = [outcome(wire.receive()) for wire, _ in wires]
    half = len(BAD_TUNINGS)
    assert seen == [("Connection.Close", 0, 530)] * half + [("the end",)] * half


@pytest.mark.parametrize("host", ["", "/absent", "//", "ä"])
def test_virtual_host_as_rabbitmq(host: str, door: DoorThread, broker: RabbitMQ) -> None:
    """An unknown virtual host is refused as RabbitMQ refuses it."""
    seen = []
    for address in ((door.host, door.port), (broker.host, broker.port)):
        with Wire(*address) as wire:
            wire.start()
            wire.expect(Connection.Tune)
            wire.send_method(Connection.TuneOk(64, 131_072, 0), 0)
            seen.append(outcome(wire.call(Connection.Open(host), 0)))
    assert seen[0] == seen[1]


HEADERS = [
    b"AMQP\x00\x01\x00\x00",
    b"AMQP\x01\x01\x00\x0a",
    b"AMQP\x03\x01\x00\x00",
    b"GET / HTTP/1.1\r\n\r\n",
    b"AMQP\x00\x00\x09\x00",
]


@pytest.mark.parametrize("header", HEADERS, ids=repr)
def test_protocol_header_as_rabbitmq(header: bytes, door: DoorThread, broker: RabbitMQ) -> None:
    """Another protocol is told which one is spoken, then the connection ends."""
    for address in ((door.host, door.port), (broker.host, broker.port)):
        with Wire(*address) as wire:
            wire.send(header)
            received = wire.receive()
            assert received is not None
            assert received[1].marshal() == PROTOCOL_HEADER
            assert wire.receive() is None
