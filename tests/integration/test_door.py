"""The door as a consumer and an operator meet it."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl

import pytest
import structlog
import trustme
import uvloop
from pamqp import body, commands, header

from pulpit.app.handshakes import Handshakes
from pulpit.errors import PortTaken, StartError
from pulpit.events.door import Door, DoorSettings
from tests.door_server import DoorThread, Recorder, progress, status
from tests.door_wire import Wire, method_frame, raw_frame

Basic, Channel, Connection, Queue = (
    commands.Basic,
    commands.Channel,
    commands.Connection,
    commands.Queue,
)
TASK = "0b2d2b0a-0000-4000-8000-000000000000"


async def nobody(login: str, password: str) -> bool:
    """Let nobody in."""
    return False


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_consumer_gets_the_documented_message(
    loop_factory: type[asyncio.AbstractEventLoop],
) -> None:
    """Exchange, key, properties, headers and body are those of the contract, on both loops."""
    with DoorThread(loop_factory=loop_factory) as door, door.wire().log_in() as wire:
        wire.consume(wire.queue("tasks.#"))
        event = status(TASK, 3, b'{"state":"running"}')
        door.publish(event)
        [(deliver, properties, data)] = wire.deliveries(1)
    assert (deliver.exchange, deliver.routing_key) == ("pulp.api.v2", f"tasks.{TASK}")
    assert (deliver.delivery_tag, deliver.redelivered) == (1, False)
    assert data == b'{"state":"running"}'
    assert {name: value for name, value in dict(properties).items() if value} == {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {
            "cloudEvents:specversion": "1.0",
            "cloudEvents:id": event.id,
            "cloudEvents:source": "http://server/",
            "cloudEvents:type": "pulpit.task.status.v1",
            "cloudEvents:subject": TASK,
            "cloudEvents:time": "2030-01-01T00:00:00Z",
            "cloudEvents:dataschema": "http://server/pulpit/v1/schemas/pulpit.task.status.v1.json",
            "cloudEvents:sequence": "00000000000000000003",
            "pulpit-revision": 3,
            "pulpit-previous": 2,
            "pulpit-folded": 0,
        },
        "delivery_mode": 2,
        "message_id": event.id,
        "timestamp": event.time,
        "message_type": "pulpit.task.status.v1",
        "app_id": "pulpit",
    }


def test_only_the_task_that_was_asked_for_comes() -> None:
    """A queue bound by one task's key gets that task's messages alone."""
    with DoorThread() as door, door.wire().log_in() as wire:
        wire.consume(wire.queue("tasks.b"), no_ack=True)
        door.publish(status("a", 1), status("b", 1), status("c", 1), status("b", 2))
        keys = [deliver.routing_key for deliver, _, _ in wire.deliveries(2)]
        wire.barrier()
    assert keys == ["tasks.b", "tasks.b"]


def test_a_queue_bound_twice_gets_a_message_once() -> None:
    """Several bindings that match are one message."""
    with DoorThread() as door, door.wire().log_in() as wire:
        wire.consume(wire.queue("tasks.#", "tasks.*", "tasks.b", "#"), no_ack=True)
        door.publish(status("b", 1))
        list(wire.deliveries(1))
        wire.barrier()


def test_a_large_message_comes_in_frames_of_the_agreed_size() -> None:
    """No frame is larger than what the client chose."""
    data = bytes(range(256)) * 100
    with DoorThread() as door, door.wire().log_in(frame_max=4_096) as wire:
        wire.consume(wire.queue("#"))
        door.publish(status("t", 1, data))
        wire.expect(Basic.Deliver)
        assert wire.expect(header.ContentHeader).body_size == len(data)
        parts = [wire.expect(body.ContentBody).value for _ in range(7)]
    assert {len(part) for part in parts[:-1]} == {4_088}
    assert b"".join(parts) == data


def test_a_resend_is_byte_for_byte_the_same() -> None:
    """A message that goes back has the same content when it comes again, folds or no folds."""
    with DoorThread(fold_after=1) as door, door.wire().log_in() as wire:
        wire.ask(Basic.Qos(prefetch_count=1), Basic.QosOk)
        wire.consume(wire.queue("#"))
        door.publish(*(progress("t", revision) for revision in range(1, 6)))
        seen = []
        for tag in range(1, 5):
            deliver = wire.expect(Basic.Deliver)
            head, data = wire.content()
            seen.append((deliver.redelivered, head.marshal(), data))
            wire.send_method(
                Basic.Ack(tag) if tag % 2 == 0 else Basic.Nack(tag, multiple=False, requeue=True)
            )
    assert [redelivered for redelivered, _, _ in seen] == [False, True, False, True]
    assert seen[0][1:] == seen[1][1:]
    assert seen[2][1:] == seen[3][1:]
    assert seen[0][2] == b'{"task":"t","revision":1}'
    assert seen[2][2] == b'{"task":"t","revision":5}'


def test_a_folded_message_tells_what_it_stands_for() -> None:
    """The two revisions say which updates a message stands for; the count says how many."""
    with DoorThread(fold_after=1) as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        door.publish(status("t", 1), *(progress("t", revision) for revision in range(2, 6)))
        wire.consume(queue)
        headers = [properties.headers for _, properties, _ in wire.deliveries(2)]
        assert [(each["pulpit-previous"], each["pulpit-revision"]) for each in headers] == [
            (0, 1),
            (1, 5),
        ]
        assert door.figures()["folded"] == 3


def test_get_tells_what_is_left() -> None:
    """basic.get takes one message and tells how many wait; then the queue is empty."""
    with DoorThread() as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        door.publish(status("t", 1), status("t", 2))
        for left in (1, 0):
            got = wire.ask(Basic.Get(queue=queue), Basic.GetOk)
            assert (got.message_count, got.redelivered) == (left, False)
            wire.content()
        wire.ask(Basic.Get(queue=queue), Basic.GetEmpty)
        wire.send_method(Basic.Nack(2, multiple=True, requeue=True))
        assert wire.ask(Basic.Get(queue=queue, no_ack=True), Basic.GetOk).redelivered


def test_publishing_is_refused_and_its_content_swallowed() -> None:
    """403 on the channel; content under way is skipped, and the channel opens again."""
    with DoorThread() as door, door.wire().log_in() as wire:
        content = raw_frame(2, 1, b"nonsense") + raw_frame(3, 1, b"x" * 5_000)
        publish = method_frame(1, Basic.Publish(exchange="pulp.api.v2", routing_key="tasks.x"))
        wire.send((publish + content) * 3)
        assert wire.expect(Channel.Close).reply_code == 403
        wire.send_method(Channel.CloseOk())
        wire.ask(Channel.Open(), Channel.OpenOk)
        wire.barrier()


@pytest.mark.parametrize(
    "method",
    [
        commands.Tx.Select(),
        commands.Exchange.Delete(exchange="pulp.api.v2"),
        commands.Exchange.Declare(exchange="mine", exchange_type="topic", durable=True),
        commands.Exchange.Bind(destination="pulp.api.v2", source="amq.topic"),
    ],
    ids=lambda method: method.name,
)
def test_what_only_a_broker_does_is_refused_on_the_channel(method: commands.Tx.Select) -> None:
    """403 on the channel; the connection goes on."""
    with DoorThread() as door, door.wire().log_in() as wire:
        assert wire.ask(method, Channel.Close).reply_code == 403
        wire.ask(Channel.Open(), Channel.OpenOk, 2)


@pytest.mark.parametrize("durable", [True, False])
def test_only_exclusive_queues_can_be_declared(durable: bool) -> None:
    """406 on the channel, with the way out in the text."""
    with DoorThread() as door, door.wire().log_in() as wire:
        close = wire.ask(Queue.Declare(queue="kept", durable=durable), Channel.Close)
    assert close.reply_code == 406
    assert "exclusive=true" in close.reply_text


@pytest.mark.parametrize("method", [b"\0\x3c\x03\xe7", b"\0\x63\0\x0a"])
def test_an_unknown_method_ends_the_connection(method: bytes) -> None:
    """503, with the numbers of the method."""
    with DoorThread() as door, door.wire().log_in() as wire:
        wire.send(raw_frame(1, 1, method))
        assert wire.expect(Connection.Close).reply_code == 503


def test_a_client_can_stop_the_flow() -> None:
    """Nothing is delivered while the flow is off."""
    with DoorThread() as door, door.wire().log_in() as wire:
        wire.consume(wire.queue("#"))
        assert not wire.ask(Channel.Flow(active=False), Channel.FlowOk).active
        door.publish(status("t", 1))
        wire.barrier()
        assert wire.ask(Channel.Flow(active=True), Channel.FlowOk).active
        list(wire.deliveries(1))


def test_a_consumer_is_told_when_its_queue_is_deleted() -> None:
    """basic.cancel comes for a queue that is deleted under its consumer."""
    with DoorThread() as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        wire.consume(queue, tag="mine")
        wire.send_method(Queue.Delete(queue=queue))
        assert wire.expect(Basic.Cancel).consumer_tag == "mine"
        wire.expect(Queue.DeleteOk)
        assert door.figures()["consumers"] == 0


def test_nothing_is_left_of_a_client_that_has_gone() -> None:
    """Queues, bindings and consumers end with their connection."""
    with DoorThread() as door:
        with door.wire().log_in() as wire:
            wire.consume(wire.queue("tasks.#", name="mine"))
            figures = door.figures()
            assert [figures[name] for name in ("connections", "consumers", "queues")] == [1, 1, 1]
        with door.wire().log_in() as wire:
            wire.queue(name="mine")
            wire.ask(Queue.Delete(queue="mine"), Queue.DeleteOk)
            assert door.figures()["queues"] == 0
            assert door.call(lambda: door.door._topology.bindings.route("tasks.x")) == ()


def test_heartbeats_go_both_ways() -> None:
    """The server sends them when it has nothing to say, and cuts off whoever is silent."""
    with DoorThread() as door, door.wire().log_in(heartbeat_seconds=1) as wire:
        data = wire.socket.recv(8)
        assert data == b"\x08\0\0\0\0\0\0\xce"
        assert wire.receive() is None
        assert door.log.named("door.cut") == [{"peer": "127.0.0.1", "reason": "no heartbeat"}]


def test_a_stop_tells_all_clients() -> None:
    """320 for everybody who has logged in; whoever does not answer is cut off in time."""
    with DoorThread(close_seconds=0.5) as door:
        polite, mute, stranger = door.wire().log_in(), door.wire().log_in(), door.wire()
        with polite, mute, stranger:
            polite.consume(polite.queue("#"))
            door.publish(status("t", 1))
            door.stop()
            list(polite.deliveries(1))
            assert polite.expect(Connection.Close).reply_code == 320
            assert mute.expect(Connection.Close).reply_code == 320
            assert stranger.receive() is None
        with pytest.raises(ConnectionRefusedError):
            door.wire()


def test_a_stop_ends_although_nobody_reads() -> None:
    """A client that reads nothing does not hold up the end of the server."""
    with DoorThread(close_seconds=0.3) as door, door.wire().log_in() as wire:
        wire.consume(wire.queue("#"))
        for revision in range(1, 40):
            door.publish(status("t", revision, b"x" * 1_000_000))
        door.stop()
        assert door.figures()["connections"] == 0


def test_a_port_that_is_taken_is_told() -> None:
    """The error names host and port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        door = Door(DoorSettings(port=port), authenticate=nobody, log=Recorder())
        with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port}"):
            asyncio.run(door.start())


def test_an_address_that_is_not_here_is_told() -> None:
    """Another error of listening is one clear line as well."""
    door = Door(DoorSettings(host="192.0.2.1", port=0), authenticate=nobody, log=Recorder())
    with pytest.raises(StartError, match=r"192\.0\.2\.1"):
        asyncio.run(door.start())


def test_a_door_that_is_not_open_has_no_address() -> None:
    """The address is known once it is open; a stop before that does nothing."""
    door = Door(DoorSettings(), authenticate=nobody, log=Recorder())
    with pytest.raises(RuntimeError):
        _ = door.address
    asyncio.run(door.stop())


def test_tls() -> None:
    """The same over TLS; a peer that speaks no TLS gets nothing."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    handshakes = Handshakes(lambda: server, seconds=1, most=10, log=structlog.get_logger())
    with DoorThread(tls=handshakes.before) as door:
        with Wire(door.host, door.port) as wire:
            wire.socket = client.wrap_socket(wire.socket, server_hostname="127.0.0.1")
            wire.log_in("admin", "secret")
            wire.consume(wire.queue("#"))
            door.publish(*(status("t", revision, b"x" * 50_000) for revision in range(1, 30)))
            assert len(list(wire.deliveries(29))) == 29
        with door.wire() as plain:
            plain.send(b"AMQP\0\0\x09\x01")
            assert plain.receive() is None


def test_order_holds_for_many_consumers_at_once() -> None:
    """Each of several consumers gets every message, in order."""
    with DoorThread() as door:
        wires = [door.wire().log_in() for _ in range(10)]
        for wire in wires:
            wire.consume(wire.queue("tasks.#"), no_ack=True)
        for start in range(1, 301, 30):
            door.publish(*(status("t", revision) for revision in range(start, start + 30)))
        for wire in wires:
            revisions = [
                properties.headers["pulpit-revision"] for _, properties, _ in wire.deliveries(300)
            ]
            assert all(a < b for a, b in itertools.pairwise(revisions))
            wire.socket.close()


def test_a_queue_that_is_declared_again_stays_as_it_is() -> None:
    """What is bound, waits and consumes is not touched by a second declaration."""
    with DoorThread() as door, door.wire().log_in() as wire:
        wire.queue("tasks.#", name="mine")
        door.publish(status("t", 1))
        again = wire.ask(Queue.Declare(queue="mine", exclusive=True), Queue.DeclareOk)
        assert again.message_count == 1
        wire.consume("mine")
        list(wire.deliveries(1))
        again = wire.ask(Queue.Declare(queue="mine", exclusive=True), Queue.DeclareOk)
        assert (again.message_count, again.consumer_count) == (0, 1)
        door.publish(status("t", 2))
        list(wire.deliveries(1))
