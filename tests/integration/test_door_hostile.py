"""Everything by which a client is known to hurt a server like this, and what comes of it."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp import base, commands

from tests.door_server import DoorThread, progress, status
from tests.door_wire import PROTOCOL_HEADER, method_frame, raw_frame

Basic, Channel, Connection, Queue = (
    commands.Basic,
    commands.Channel,
    commands.Connection,
    commands.Queue,
)


def test_a_flood_of_gets_starves_nobody() -> None:
    """While one client asks as fast as it can, another gets its messages soon."""
    done = threading.Event()
    with DoorThread() as door, door.wire().log_in() as greedy, door.wire().log_in() as other:
        flood = method_frame(1, Basic.Get(queue=greedy.queue())) * 20_000
        other.consume(other.queue("#"), no_ack=True)

        def ask_on() -> None:
            with contextlib.suppress(OSError):
                while not done.is_set():
                    greedy.socket.sendall(flood)

        def read_on() -> None:
            with contextlib.suppress(OSError):
                while greedy.socket.recv(1 << 18):
                    pass

        threads = [threading.Thread(target=ask_on), threading.Thread(target=read_on)]
        for thread in threads:
            thread.start()
        delays = []
        for revision in range(1, 16):
            started = time.perf_counter()
            door.publish(status("t", revision))
            list(other.deliveries(1))
            delays.append(time.perf_counter() - started)
        done.set()
        greedy.socket.shutdown(2)
        for thread in threads:
            thread.join()
    assert sorted(delays)[len(delays) // 2] < 0.1


def test_replies_that_nobody_reads_end_the_connection() -> None:
    """A client that asks and never reads is cut off before its replies fill the memory."""
    with DoorThread(unread_reply_bytes=1 << 16) as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        door.publish(status("t", 1, b"x" * 100_000))
        again = method_frame(1, Basic.Nack(0, multiple=True, requeue=True))
        flood = (method_frame(1, Basic.Get(queue=queue)) + again) * 10
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                wire.socket.sendall(flood)
        assert [each["reason"] for each in door.log.named("door.cut")] == [
            "it does not read the replies"
        ]
        assert door.figures()["connections"] == 0


def test_a_consumer_that_does_not_read_holds_nobody_up() -> None:
    """Its progress is folded, its status changes wait, and others get everything."""
    with DoorThread() as door, door.wire().log_in() as stuck, door.wire().log_in() as other:
        stuck.consume(stuck.queue("#"), no_ack=True)
        other.consume(other.queue("#"), no_ack=True)
        got: list[bytes] = []
        for start in range(1, 8_001, 100):
            door.publish(*(progress("t", n, b"%1000d" % n) for n in range(start, start + 100)))
            got += [data for _, _, data in other.deliveries(100)]
        assert got == [b"%1000d" % n for n in range(1, 8_001)]
        assert door.figures()["folded"] > 1_000
        assert door.figures()["dropped"] == 0
        door.publish(status("t", 8_001))
        told = 0
        for _, properties, _ in stuck.deliveries(8_001 - door.figures()["folded"]):
            assert properties.headers["pulpit-previous"] == told
            told = properties.headers["pulpit-revision"]
        assert told == 8_001


def test_a_consumer_too_far_behind_is_closed_and_told() -> None:
    """The channel is closed with the reason, the queue is gone, the connection goes on."""
    with DoorThread(queue_status_limit=100) as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        wire.ask(Basic.Qos(prefetch_count=1), Basic.QosOk)
        wire.consume(queue)
        door.publish(*(status("t", revision) for revision in range(1, 102)))
        list(wire.deliveries(1))
        close = wire.expect(Channel.Close)
        assert close.reply_code == 406
        assert "too far behind" in close.reply_text
        wire.send_method(Channel.CloseOk())
        wire.ask(Channel.Open(), Channel.OpenOk)
        assert wire.ask(Queue.Declare(queue=queue, passive=True), Channel.Close).reply_code == 404
        assert door.log.named("door.consumer_behind") == [{"peer": "127.0.0.1", "queue": queue}]
        assert door.figures()["behind"] == 1


def test_a_queue_that_nobody_consumes_is_closed_too() -> None:
    """Without a consumer the channel that declared the queue is told; without it, all."""
    with DoorThread(queue_status_limit=10) as door, door.wire().log_in() as wire:
        wire.queue("#")
        door.publish(*(status("t", revision) for revision in range(1, 12)))
        assert wire.expect(Channel.Close).reply_code == 406
        wire.send_method(Channel.CloseOk())
        wire.ask(Channel.Open(), Channel.OpenOk)
        wire.queue("#")
        wire.ask(Channel.Close(200, "", 0, 0), Channel.CloseOk)
        door.publish(*(status("t", revision) for revision in range(1, 12)))
        assert wire.expect(Connection.Close).reply_code == 506


def test_ten_thousand_status_changes_are_kept_by_default() -> None:
    """9,999 changes wait for a slow consumer, and all of them come."""
    with DoorThread() as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        for start in range(1, 10_000, 1_111):
            door.publish(*(status("t", n, b"%d" % n) for n in range(start, start + 1_111)))
        wire.consume(queue, no_ack=True)
        assert [int(data) for _, _, data in wire.deliveries(9_999)] == list(range(1, 10_000))


def test_unacknowledged_deliveries_are_bounded() -> None:
    """A consumer that never acknowledges is given no more once enough wait."""
    with DoorThread(max_unacknowledged=5) as door, door.wire().log_in() as wire:
        queue = wire.queue("#")
        wire.consume(queue)
        door.publish(*(status("t", revision) for revision in range(1, 11)))
        list(wire.deliveries(5))
        wire.barrier()
        assert wire.ask(Basic.Get(queue=queue), Channel.Close).reply_code == 406


@pytest.mark.parametrize(
    "opening",
    [b"", b"AMQP", PROTOCOL_HEADER, PROTOCOL_HEADER + struct.pack(">BHI", 1, 0, 50)],
    ids=["nothing", "half a header", "a header", "half a frame"],
)
def test_an_unfinished_handshake_is_cut_off(opening: bytes) -> None:
    """Whoever does not finish its login in time is gone."""
    with DoorThread(handshake_seconds=0.2) as door, door.wire() as wire:
        wire.send(opening)
        with contextlib.suppress(AssertionError):
            wire.expect(Connection.Start)
        assert wire.receive() is None
        assert door.figures()["refused"] == 1


def test_a_handshake_that_drips_is_cut_off() -> None:
    """Octets that come one by one give no more time."""
    with DoorThread(handshake_seconds=0.3) as door, door.wire() as wire:
        started = time.perf_counter()
        with contextlib.suppress(OSError):
            for _ in range(100):
                wire.socket.sendall(PROTOCOL_HEADER[:1])
                time.sleep(0.02)
        assert time.perf_counter() - started < 1.5


def test_wrong_credentials_wait_and_are_told_why() -> None:
    """403 after a while for who understands it, the end for who does not."""
    with DoorThread(refusal_seconds=0.2) as door:
        for capabilities in (True, False):
            with door.wire() as wire:
                started = time.perf_counter()
                wire.start("admin", "wrong", capabilities=capabilities)
                if capabilities:
                    assert wire.expect(Connection.Close).reply_code == 403
                else:
                    assert wire.receive() is None
                assert time.perf_counter() - started >= 0.2


def test_guessing_is_slowed_down() -> None:
    """After ten wrong passwords the next ones are not even looked at."""
    with DoorThread(refusal_seconds=0.01) as door:
        for number in range(15):
            with door.wire() as wire:
                wire.start("admin", f"guess{number}")
                assert wire.expect(Connection.Close).reply_code == 403
        assert len(door.asked) == 10
        with door.wire() as wire:
            wire.start("admin", "secret")
            assert wire.expect(Connection.Close).reply_code == 403
        # another login is not held up by it
        with door.wire() as wire:
            wire.start("other", "x")
            wire.expect(Connection.Close)
        assert door.asked[-1] == ("other", "x")


def test_no_secret_stands_in_the_log() -> None:
    """Neither a password nor a login that was refused is written."""
    with DoorThread(refusal_seconds=0.01) as door:
        with door.wire() as wire:
            wire.start("my-pass-by-mistake", "my-secret")
            wire.expect(Connection.Close)
        with door.wire().log_in("admin", "secret"):
            pass
        written = repr(door.log.events)
    assert "my-" not in written
    assert "secret" not in written
    assert {"peer": "127.0.0.1", "login": "admin"} in door.log.named("door.connected")


@pytest.mark.parametrize("mechanism", ["PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"])
def test_nobody_comes_in_without_credentials(mechanism: str) -> None:
    """Where the operator did not say so, guest is nobody and ANONYMOUS is not offered."""
    with DoorThread(anonymous_loopback=False, refusal_seconds=0.01) as door:
        with door.wire() as wire:
            wire.send(PROTOCOL_HEADER)
            assert wire.expect(Connection.Start).mechanisms == "PLAIN AMQPLAIN"
        with door.wire() as wire:
            wire.start(mechanism=mechanism)
            assert wire.expect(Connection.Close).reply_code == 403


def test_anonymous_where_the_operator_allows_it() -> None:
    """ANONYMOUS and guest/guest come in from loopback, a wrong password of guest does not."""
    with DoorThread(refusal_seconds=0.01) as door:
        door.wire().log_in(mechanism="ANONYMOUS").socket.close()
        door.wire().log_in("guest", "guest").socket.close()
        assert door.asked == []
        with door.wire() as wire:
            wire.start("guest", "other")
            assert wire.expect(Connection.Close).reply_code == 403


@pytest.mark.parametrize(
    "method",
    [Connection.Open("/"), Connection.TuneOk(64, 131_072, 0), Basic.Qos()],
    ids=lambda method: method.name,
)
def test_no_step_of_the_login_can_be_left_out(method: base.Frame) -> None:
    """A method before its turn ends the connection."""
    with DoorThread() as door:
        for channel in (0, 1):
            with door.wire() as wire:
                wire.send(PROTOCOL_HEADER)
                wire.expect(Connection.Start)
                wire.send_method(method, channel)
                assert wire.expect(Connection.Close).reply_code in {503, 504}


def test_a_check_that_fails_lets_nobody_in() -> None:
    """An error while a password is checked is a refusal, and is logged."""

    async def broken(login: str, password: str) -> bool:
        raise OSError("database is away")

    with DoorThread(refusal_seconds=0.01, authenticate=broken) as door, door.wire() as wire:
        wire.start("admin", "secret")
        assert wire.expect(Connection.Close).reply_code == 403
        assert "away" in door.log.named("door.authentication_error")[0]["error"]


def test_connections_are_counted() -> None:
    """One too many is turned away at once; when one goes there is room again."""
    with DoorThread(max_connections=3) as door:
        wires = [door.wire().log_in() for _ in range(3)]
        with door.wire() as wire:
            wire.send(PROTOCOL_HEADER)
            assert wire.receive() is None
        wires[0].ask(Connection.Close(200, "", 0, 0), Connection.CloseOk, 0)
        assert wires[0].receive() is None
        wires[0].socket.close()
        wires[0] = door.wire().log_in()
        for wire in wires:
            wire.socket.close()


def test_those_who_do_not_log_in_give_way() -> None:
    """The oldest unfinished login makes room, so that they can't fill the door."""
    with (
        DoorThread(max_handshakes=2, handshake_seconds=30) as door,
        door.wire() as first,
        door.wire() as second,
    ):
        first.send(PROTOCOL_HEADER)
        first.expect(Connection.Start)
        with door.wire().log_in():
            assert first.receive() is None
            second.start()
            second.expect(Connection.Tune)


def test_what_a_connection_may_have_is_bounded() -> None:
    """Too many queues, bindings or consumers are refused on the channel."""
    limits: dict[str, Any] = {"max_queues": 3, "max_bindings": 3, "max_consumers": 3}
    with DoorThread(**limits) as door:
        with door.wire().log_in() as wire:
            for _ in range(3):
                wire.queue()
            assert wire.ask(Queue.Declare(exclusive=True), Channel.Close).reply_code == 406
        with door.wire().log_in() as wire:
            queue = wire.queue("a", "b", "c", "a")
            bind = Queue.Bind(queue=queue, exchange="pulp.api.v2", routing_key="d")
            assert wire.ask(bind, Channel.Close).reply_code == 406
        with door.wire().log_in() as wire:
            queue = wire.queue()
            for tag in "abc":
                wire.consume(queue, tag=tag)
            assert wire.ask(Basic.Consume(queue=queue), Channel.Close).reply_code == 406


def test_binding_bombs_cost_little() -> None:
    """A thousand patterns full of wildcards do not hold up a publish."""
    with DoorThread() as door, door.wire().log_in() as wire:
        queue = wire.queue()
        for number in range(1_000):
            bind = Queue.Bind(
                queue=queue,
                exchange="pulp.api.v2",
                routing_key="#." * 20 + str(number),
                nowait=True,
            )
            wire.send_method(bind)
        wire.barrier()
        door.publish(status("warm", 1))
        started = time.perf_counter()
        door.publish(*(status(f"t{number}", 1) for number in range(100)))
        assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("size", [8_193, 16_385])
def test_method_frames_are_capped(size: int) -> None:
    """A long method frame is refused by its header, before and after the login."""
    with DoorThread() as door, door.wire() as wire:
        if size < 16_000:
            wire.send(PROTOCOL_HEADER)
            wire.expect(Connection.Start)
        else:
            wire.log_in()
        wire.send(struct.pack(">BHI", 1, 0, size))
        assert wire.expect(Connection.Close).reply_code == 501


ARGUMENTS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=40).map(lambda tail: b"\0\0\x01q" + tail),
    st.binary(max_size=40).map(lambda tail: b"\0\0\0\x0bpulp.api.v2" + tail),
)
FRAMES = st.one_of(
    st.tuples(st.sampled_from(sorted(commands.INDEX_MAPPING)), ARGUMENTS).map(
        lambda pair: raw_frame(1, 1, struct.pack(">I", pair[0]) + pair[1])
    ),
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.binary(max_size=50)).map(
        lambda parts: raw_frame(*parts)
    ),
    st.binary(max_size=40),
)


@pytest.fixture(scope="module")
def fuzzed() -> object:
    """Yield a door that all examples share, so that it must survive each of them."""
    with DoorThread(handshake_seconds=0.5, close_seconds=0.2) as door:
        yield door


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(frames=st.lists(FRAMES, min_size=1, max_size=8), greeted=st.booleans())
def test_nonsense_never_breaks_the_door(
    fuzzed: DoorThread, frames: list[bytes], greeted: bool
) -> None:
    """Whatever is sent, before or after the login, no error of ours comes of it."""
    with fuzzed.wire() as wire:
        if greeted:
            wire.log_in()
        wire.send(b"".join(frames))
        wire.socket.shutdown(1)
        while wire.receive() is not None:
            pass
    assert fuzzed.log.named("door.error") == []
    fuzzed.log.events.clear()
