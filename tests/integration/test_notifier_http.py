"""Deliveries by HTTP to receivers that behave, and to those that do not."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import json
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from email.utils import format_datetime
from importlib.metadata import version

import pytest
from standardwebhooks import Webhook

from pulpit.domain.deliveries import RESPONSE_KEPT, Receipt, Verdict
from pulpit.events.notifiers.attempts import Attempted
from pulpit.events.notifiers.connecting import Guard, Resolver, look_up
from pulpit.events.notifiers.http_pool import Pool
from pulpit.events.notifiers.networks import Networks
from pulpit.events.notifiers.targets import parse_target
from tests.integration.receivers import (
    NOW,
    SECRET,
    SOURCE,
    Behavior,
    Log,
    Stream,
    answering,
    listener,
    notifying,
    parcel,
    receiving,
)
from tests.services import free_ports

OK = answering("200 OK", body=b"thanks")


def deliver(behave: Behavior, *, seconds: float = 60.0, trace: bool = False) -> Receipt:
    """Return what one delivery to such a receiver comes to."""

    async def run() -> Receipt:
        async with receiving(behave) as receiver, notifying(seconds=seconds) as notifier:
            return await notifier.deliver(listener(receiver.url()), parcel(), trace=trace)

    return asyncio.run(run())


def test_a_delivery_is_a_signed_post() -> None:
    async def run() -> None:
        async with receiving(OK) as receiver, notifying() as notifier:
            told = listener(receiver.url(), username="kéeper", password="pass:word")
            receipt = await notifier.deliver(told, parcel())
            assert receipt == Receipt(verdict=Verdict.DELIVERED, status=200, response="thanks")
            (post,) = receiver.posts
            assert post.line == "POST /hook?a=b HTTP/1.1"
            assert post.body == parcel().body
            Webhook(SECRET.value).verify(post.body, dict(post.headers))
            assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 60
            assert {
                name: post.headers[name] for name in post.headers if "webhook-" not in name
            } == {
                "host": f"127.0.0.1:{receiver.port}",
                "user-agent": f"pulpit/{version('pulpit')}",
                "accept": "*/*",
                "accept-encoding": "identity",
                "content-type": "application/json",
                "content-length": str(len(post.body)),
                "authorization": "Basic a8OpZXBlcjpwYXNzOndvcmQ=",
            }

    asyncio.run(run())


def test_a_cloudevent_holds_the_same() -> None:
    async def run() -> None:
        async with receiving(OK) as receiver, notifying() as notifier:
            told = listener(receiver.url(), cloudevents=True)
            assert (await notifier.deliver(told, parcel())).verdict is Verdict.DELIVERED
            (post,) = receiver.posts
            assert post.headers["content-type"] == "application/cloudevents+json"
            Webhook(SECRET.value).verify(post.body, dict(post.headers))
            assert json.loads(post.body) == {
                "specversion": "1.0",
                "id": "event-1.repo.sync.finish",
                "source": SOURCE,
                "type": "pulpit.repo.sync.finish.v1",
                "subject": "zoo",
                "time": "2026-05-01T12:00:00Z",
                "dataschema": SOURCE.rstrip("/") + "/pulpit/v1/schemas/pulpit.notification.v1.json",
                "sequence": "0" * 19 + "1",
                "datacontenttype": "application/json",
                "data": {"event_type": "repo.sync.finish"},
            }

    asyncio.run(run())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_answer_of_success_is_taken_for_delivered(status: int) -> None:
    receipt = deliver(answering(f"{status} Whatever"))
    assert (receipt.verdict, receipt.status, receipt.reason) == (Verdict.DELIVERED, status, "")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (304, "304 Not Modified"),
        (400, "the receiver answered 400 Bad Request"),
        (401, "look at username, password"),
        (404, "404 Not Found"),
        (500, "500 Internal Server Error"),
        (599, "answered 599"),
    ],
)
def test_any_other_answer_is_a_failure(status: int, reason: str) -> None:
    body = b"" if status == 304 else b"why\x1b[31m\r\nnot"
    receipt = deliver(answering(f"{status} Words\x1b of theirs", body=body))
    assert (receipt.verdict, receipt.status) == (Verdict.FAILED, status)
    assert reason in receipt.reason
    assert "theirs" not in receipt.reason
    assert receipt.response == ("why [31m not" if body else "")


def test_gone_is_told_apart() -> None:
    receipt = deliver(answering("410 Gone"))
    assert (receipt.verdict, receipt.status) == (Verdict.GONE, 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    async def run() -> None:
        async with receiving(OK) as other, notifying() as notifier:
            behave = answering(f"{status} Moved\r\nLocation: {other.url()}")
            async with receiving(behave) as receiver:
                receipt = await notifier.deliver(listener(receiver.url()), parcel())
        assert (receipt.verdict, receipt.status) == (Verdict.FAILED, status)
        assert "redirects are not followed" in receipt.reason
        assert other.connections == 0

    asyncio.run(run())


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("9" * 30, 86_400),
        ("9" * 5000, 86_400),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120),
        (format_datetime(NOW - timedelta(minutes=2), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 86_400),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("Mon, 99 Foo 99999999999 99:99:99 GMT", None),
        ("\u00b2", None),
        ("", None),
    ],
)
def test_a_receiver_may_ask_for_a_pause(status: int, header: str, seconds: int | None) -> None:
    async def run() -> None:
        behave = answering(f"{status} Busy\r\nRetry-After: {header}")
        async with receiving(behave) as receiver, notifying(clock=lambda: NOW) as notifier:
            receipt = await notifier.deliver(listener(receiver.url()), parcel())
        assert (receipt.verdict, receipt.retry_after) == (Verdict.FAILED, seconds)

    asyncio.run(run())


def test_other_answers_ask_for_no_pause() -> None:
    assert deliver(answering("500 No\r\nRetry-After: 7")).retry_after is None
    assert deliver(answering("200 Yes\r\nRetry-After: 7")).retry_after is None


async def _close(stream: Stream) -> None:
    await stream.post()


async def _reset(stream: Stream) -> None:
    await stream.post()
    stream.reset()


async def _cut_off(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def _endless_headers(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await stream.send(b"X-More: and more\r\n" * 100)


async def _endless_line(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        await stream.send(b"x" * 10_000)


async def _endless_status(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 ")
    while True:
        await stream.send(b"x" * 10_000)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (_close, "closed the connection without an answer"),
        (_reset, "Connection reset"),
        (_cut_off, "closed the connection without an answer"),
        (_endless_headers, "the headers of the answer are too large"),
        (_endless_line, "the headers of the answer are too large"),
        (_endless_status, "the headers of the answer are too large|no HTTP"),
        (answering(b"SSH-2.0-OpenSSH_9.9\r\n"), "the answer is no HTTP"),
        (answering(b"\x00\x01\x02\r\n\r\n"), "the answer is no HTTP"),
        (answering(b"HTTP/1.1 OK\r\n\r\n"), "the answer is no HTTP"),
        (answering("200 OK\r\nContent-Length: 7"), "the answer is no HTTP"),
    ],
)
def test_what_is_no_answer_is_told_in_plain_words(behave: Behavior, reason: str) -> None:
    receipt = deliver(behave)
    assert (receipt.verdict, receipt.status) == (Verdict.FAILED, None)
    assert_told(receipt, reason)


def assert_told(receipt: Receipt, reason: str) -> None:
    """Check why a delivery failed."""
    assert receipt.verdict is Verdict.FAILED
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(receipt.reason)


def test_a_closed_port_is_told() -> None:
    async def run() -> Receipt:
        (port,) = free_ports(1)
        async with notifying() as notifier:
            return await notifier.deliver(listener(f"http://127.0.0.1:{port}/"), parcel())

    assert_told(asyncio.run(run()), "can't connect: Connection refused")


def to_name(*answers: Sequence[str] | OSError, allow: str | None = None) -> Receipt:
    """Return what deliveries to a name come to, for which the system tells these addresses."""
    waiting = list(answers)

    async def lookup(name: str) -> Sequence[str]:
        assert name == "zoo.example"
        answer = waiting.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def run() -> Receipt:
        async with receiving(OK) as receiver, notifying(lookup=lookup, allow=allow) as notifier:
            for _ in answers:
                receipt = await notifier.deliver(listener(receiver.url("zoo.example")), parcel())
            assert receiver.connections == (1 if allow else 0)
            if allow:
                assert receiver.posts[0].headers["host"] == f"zoo.example:{receiver.port}"
            return receipt

    return asyncio.run(run())


def test_a_name_keeps_its_name() -> None:
    assert to_name(["127.0.0.1"], allow="127.0.0.1").verdict is Verdict.DELIVERED


def test_a_name_that_stands_for_this_machine_is_not_connected_to() -> None:
    assert_told(to_name(["127.0.0.1"]), "refused: zoo.example stands for 127.0.0.1, a loopback")
    assert_told(to_name(["8.8.8.8", "127.0.0.1"]), "refused: .* add its network to allow_networks")


def test_a_name_without_addresses_is_told() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert_told(to_name(unknown), "the name zoo.example is not known")
    away = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert_told(to_name(away), "no name server answers for zoo.example")
    assert_told(to_name([]), "zoo.example")


def test_the_system_resolves_names() -> None:
    async def run() -> None:
        async with receiving(OK) as receiver, notifying(allow="127.0.0.1") as notifier:
            receipt = await notifier.deliver(listener(receiver.url("localhost")), parcel())
            # whatever else it stands for must be allowed too
            assert receipt.verdict is Verdict.DELIVERED or "localhost stands" in receipt.reason
            receipt = await notifier.deliver(listener("http://zoo.invalid/", revision=2), parcel())
            assert_told(receipt, "zoo.invalid")

    asyncio.run(run())


def test_an_address_that_is_not_allowed_is_not_connected_to() -> None:
    async def run() -> None:
        async with receiving(OK) as receiver, notifying(allow=None) as notifier:
            receipt = await notifier.deliver(listener(receiver.url()), parcel())
            assert_told(receipt, "127.0.0.1 is a loopback address; .* allow_networks")
            assert receiver.connections == 0

    asyncio.run(run())


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with receiving(OK) as proxy, receiving(OK) as receiver, notifying() as notifier:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url())
            receipt = await notifier.deliver(listener(receiver.url()), parcel())
            assert receipt.verdict is Verdict.DELIVERED
            assert (proxy.connections, receiver.connections) == (0, 1)

    asyncio.run(run())


async def _hang(stream: Stream) -> None:
    await stream.post()
    await stream.hang()


async def _hang_in_head(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 OK\r\nContent")
    await stream.hang()


async def _drip_head(stream: Stream) -> None:
    await stream.post()
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 8_000:
        await stream.send(bytes([byte]))
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("behave", [_hang, _hang_in_head, _drip_head])
def test_an_answer_that_does_not_come_is_not_waited_for(behave: Behavior) -> None:
    begun = time.monotonic()
    receipt = deliver(behave, seconds=0.5)
    assert receipt.reason == "timed out after 0.5 s in waiting for the answer"
    assert time.monotonic() - begun < 30


def test_a_lookup_that_takes_too_long_is_told() -> None:
    async def lookup(name: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError(name)

    async def run() -> Receipt:
        async with notifying(seconds=0.2, lookup=lookup) as notifier:
            return await notifier.deliver(listener("http://zoo.example/"), parcel())

    assert asyncio.run(run()).reason == "timed out after 0.2 s in looking up the name of the host"


def test_a_connection_that_takes_too_long_is_told() -> None:
    async def run() -> Receipt:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            plugs = [socket.socket() for _ in range(4)]
            for plug in plugs:
                plug.setblocking(False)
                plug.connect_ex(full.getsockname())
            async with notifying(seconds=0.3) as notifier:
                url = f"http://127.0.0.1:{full.getsockname()[1]}/"
                receipt = await notifier.deliver(listener(url), parcel())
            for plug in plugs:
                plug.close()
            return receipt

    assert asyncio.run(run()).reason == "timed out after 0.3 s in connecting"


async def _drip_body(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await stream.send(b"x")
        await asyncio.sleep(0.05)


async def _hang_in_body(stream: Stream) -> None:
    await stream.post()
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxx")
    await stream.hang()


@pytest.mark.parametrize("behave", [_drip_body, _hang_in_body])
def test_a_body_is_not_waited_for_long(behave: Behavior) -> None:
    begun = time.monotonic()
    receipt = deliver(behave)
    assert (receipt.verdict, receipt.reason) == (Verdict.DELIVERED, "")
    assert set(receipt.response) == {"x"}
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("behave", [_hang_in_body])
def test_a_body_is_not_waited_for_longer_than_the_attempt_may_take(behave: Behavior) -> None:
    receipt = deliver(behave, seconds=0.3)
    assert (receipt.verdict, receipt.reason) == (Verdict.DELIVERED, "")


@pytest.mark.parametrize(
    "head", ["Content-Length: 99999999999", "Transfer-Encoding: chunked", "X: y"]
)
def test_a_body_without_end_is_not_read(head: str) -> None:
    sent = 0

    async def flood(stream: Stream) -> None:
        nonlocal sent
        await stream.post()
        await stream.send(f"HTTP/1.1 500 No\r\n{head}\r\n\r\n".encode())
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n" if "chunked" in head else b"x" * 0x10000
        while True:
            await stream.send(piece)
            sent += len(piece)

    receipt = deliver(flood)
    assert (receipt.verdict, receipt.status) == (Verdict.FAILED, 500)
    assert receipt.response == "x" * (RESPONSE_KEPT - 1) + "…"
    # what the buffers of both kernels hold
    assert sent < 32 << 20


def test_a_body_that_is_cut_off_changes_nothing() -> None:
    async def cut_off(stream: Stream) -> None:
        await stream.post()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthanks")

    receipt = deliver(cut_off)
    assert (receipt.verdict, receipt.response) == (Verdict.DELIVERED, "thanks")


def test_nothing_is_decompressed() -> None:
    bomb = gzip.compress(b"\0" * (4 << 20))
    receipt = deliver(answering("200 OK\r\nContent-Encoding: gzip", body=bomb))
    assert (receipt.verdict, receipt.response) == (Verdict.DELIVERED, "(compressed)")


@pytest.mark.parametrize("padding", [0, 900, 4_000, 4_050, 4_080])
def test_secrets_that_a_receiver_tells_back_are_hidden(padding: int) -> None:
    password = "opensesame-and-more"

    async def echo(stream: Stream) -> None:
        while post := await stream.post():
            login = post.headers["authorization"]
            words = f"{password} {SECRET.value} {SECRET.value[6:]} {login} "
            body = "." * padding + words * (1 if padding else 40)
            head = f"HTTP/1.1 400 No\r\nX-Echo: {login} {password}\r\nContent-Length: {len(body)}"
            await stream.send(f"{head}\r\n\r\n{body}".encode())

    async def run() -> Receipt:
        async with receiving(echo) as receiver, notifying() as notifier:
            told = listener(receiver.url(), username="keeper", password=password)
            return await notifier.deliver(told, parcel(), trace=True)

    receipt = asyncio.run(run())
    shown = repr(receipt)
    for secret in (password, SECRET.value[6:], "a2VlcGVyOm9wZW5zZXNhbWU"):
        assert secret[:12] not in shown
    assert ("*****" in receipt.response) == (padding < 1_000)


def test_what_went_over_the_wire_is_told_if_asked_for() -> None:
    async def run() -> None:
        behave = answering(
            "202 Taken\r\nSet-Cookie: id=their-cookie\r\nX-Token: their-token\r\nX-A: b\x07",
            body=b"thanks",
        )
        async with receiving(behave) as receiver, notifying() as notifier:
            told = listener(receiver.url(), username="keeper", password="opensesame")
            # the second goes by the connection of the first
            for _ in range(2):
                receipt = await notifier.deliver(told, parcel(), trace=True)
            exchange = receipt.exchange
            assert exchange is not None
            assert exchange.peer == f"127.0.0.1:{receiver.port}"
            sent = exchange.sent
            assert sent[0] == "POST /hook?a=b HTTP/1.1"
            assert "Authorization: *****" in sent
            assert "webhook-id: delivery-1" in sent
            assert f"webhook-signature: {receiver.posts[1].headers['webhook-signature']}" in sent
            assert exchange.received == (
                "HTTP/1.1 202 Taken",
                "Set-Cookie: *****",
                "X-Token: *****",
                "X-A: b",
                "Content-Length: 6",
                "",
                "thanks",
            )
            # nor is a cookie sent back
            assert "cookie" not in receiver.posts[1].headers
            assert (await notifier.deliver(told, parcel())).exchange is None

    asyncio.run(run())


def test_what_was_sent_is_told_although_no_answer_came() -> None:
    exchange = deliver(_close, trace=True).exchange
    assert exchange is not None
    assert exchange.peer.startswith("127.0.0.1:")
    assert exchange.sent[0] == "POST /hook?a=b HTTP/1.1"
    assert exchange.received == ()


def test_connections_are_used_again() -> None:
    async def run() -> None:
        async with receiving(OK) as receiver, notifying() as notifier:
            for number in range(20):
                receipt = await notifier.deliver(listener(receiver.url()), parcel(number=number))
                assert receipt.verdict is Verdict.DELIVERED
            assert receiver.connections == 1
            assert [post.headers["webhook-id"] for post in receiver.posts] == [
                f"delivery-{number}" for number in range(20)
            ]

    asyncio.run(run())


def test_a_kept_connection_that_has_ended_fails_no_delivery() -> None:
    async def once(stream: Stream) -> None:
        """Answer the first request of a connection, and hang up at the second."""
        await stream.post()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await stream.post()
        stream.reset()

    async def run() -> None:
        async with receiving(once) as receiver, notifying() as notifier:
            for _ in range(2):
                receipt = await notifier.deliver(listener(receiver.url()), parcel())
                assert receipt.verdict is Verdict.DELIVERED
            assert [post.connection for post in receiver.posts] == [1, 1, 2]
            assert {post.headers["webhook-id"] for post in receiver.posts} == {"delivery-1"}

    asyncio.run(run())


def test_connections_that_nobody_uses_are_ended() -> None:
    """Neither receivers nor we hold them for ever; none that has ended is handed out."""

    async def run() -> None:
        ended = asyncio.Queue[int]()

        async def behave(stream: Stream) -> None:
            while await stream.post():
                await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            ended.put_nowait(stream.number)

        networks = Networks([ipaddress.ip_network("127.0.0.0/8")])
        pool = Pool(Resolver(networks, look_up), Guard(networks), keep_alive=0.05)
        async with receiving(behave) as receiver, asyncio.timeout(60):
            target = parse_target(receiver.url(), networks)
            until = asyncio.get_running_loop().time() + 60
            for _ in range(3):
                connection = await pool.open(target, None, Attempted())
                await connection.exchange(b"POST / HTTP/1.1\r\n\r\n", b"", until=until)
                pool.keep(target, None, connection)
            assert sorted([await ended.get() for _ in range(3)]) == [1, 2, 3]
            assert pool.take(target, None) is None
            for _ in range(2):
                await pool.open(target, None, Attempted())
            await pool.close()
            assert sorted([await ended.get() for _ in range(2)]) == [4, 5]

    asyncio.run(run())


def test_connections_are_not_kept_without_bound() -> None:
    async def run() -> None:
        async with receiving(OK) as receiver, notifying() as notifier:
            address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", receiver.port))
            others = [notifier._guard(address, Attempted()) for _ in range(600)]
            await notifier.deliver(listener(receiver.url()), parcel())
            for each in others:
                each.close()
            del others, each
            # those that are gone are not counted
            await notifier.deliver(listener(receiver.url()), parcel())
            told = [post.headers.get("connection") for post in receiver.posts]
            assert told == ["close", None]

    asyncio.run(run())


def test_a_change_of_the_listener_is_heeded_at_once() -> None:
    async def run() -> None:
        async with receiving(OK) as first, receiving(OK) as second, notifying() as notifier:
            await notifier.deliver(listener(first.url()), parcel())
            await notifier.deliver(listener(second.url(), revision=2), parcel())
            assert (len(first.posts), len(second.posts)) == (1, 1)

    asyncio.run(run())


def test_a_large_body_arrives_whole() -> None:
    body = b'"' + b"x" * (4 << 20) + b'"'

    async def run() -> None:
        async with receiving(OK) as receiver, notifying() as notifier:
            receipt = await notifier.deliver(listener(receiver.url()), parcel(body))
            assert receipt.verdict is Verdict.DELIVERED
            (post,) = receiver.posts
            Webhook(SECRET.value).verify(post.body, dict(post.headers))

    asyncio.run(run())


def test_a_delivery_that_is_canceled_leaves_nothing_behind() -> None:
    async def run() -> None:
        came, gone = asyncio.Event(), asyncio.Event()

        async def behave(stream: Stream) -> None:
            await stream.post()
            came.set()
            await stream.hang()
            gone.set()

        async with receiving(behave) as receiver, notifying() as notifier:
            delivery = asyncio.create_task(notifier.deliver(listener(receiver.url()), parcel()))
            async with asyncio.timeout(60):
                await came.wait()
                delivery.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await delivery
                await gone.wait()

    asyncio.run(run())


def test_an_error_of_our_own_is_told_in_the_receipt_and_the_log() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        log = Log()
        async with notifying(clock=broken, log=log) as notifier:  # type: ignore[arg-type]
            receipt = await notifier.deliver(listener("http://127.0.0.1:1/"), parcel())
        assert_told(receipt, "an error of this server's own")
        ((event, fields),) = log.told
        assert event == "a delivery by http failed by an error of the server's own"
        assert fields["delivery_id"] == "delivery-1"

    asyncio.run(run())


def test_a_configuration_that_was_not_checked_delivers_nothing() -> None:
    async def run() -> None:
        async with notifying() as notifier:
            receipt = await notifier.deliver(listener("http://user:secret@127.0.0.1/"), parcel())
            assert_told(receipt, "credentials")
            assert "secret@" not in receipt.reason

    asyncio.run(run())
