"""The notifier of type amqp against a real broker: what arrives, and what is told else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
import structlog
from structlog.testing import LogCapture

from pulpit.config.settings import Messaging
from pulpit.domain.deliveries import Parcel, Receipt, Verdict
from pulpit.domain.listeners import Listener, NotifierType, OpenListener
from pulpit.events.examples import example_notification
from pulpit.events.notifiers.amqp import AmqpNotifier
from pulpit.events.notifiers.amqp_carrier import BOUNDS
from tests.door_server import DoorThread
from tests.services import free_ports, until
from tests.services.consumer import Consumer
from tests.services.rabbitmq import RabbitMQ

SOURCE = "https://pulp.example.com/"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PARCEL = Parcel(
    id="695736450b1c2d3e4f506172",
    event_type="repo.sync.finish",
    sequence=7,
    event_id="j:7",
    task_id="0b3f2d5c-4a5e-4b7e-9a57-6a7f6a0a1c2d",
    repo_id="zoo",
    time=NOW,
    body=example_notification("repo.sync.finish"),
)

_Result = TypeVar("_Result")


def _listener(**config: Any) -> OpenListener:
    return OpenListener(
        listener=Listener(
            id="695736450b1c2d3e4f506173",
            notifier_type=NotifierType.AMQP,
            config=config,
            event_types=("*",),
            created=NOW,
            last_updated=NOW,
        )
    )


def _with(
    *urls: str,
    do: Callable[[AmqpNotifier], Awaitable[_Result]],
    timeout: float = 30.0,
    idle: float = 60.0,
    **settings: Any,
) -> _Result:
    """Return what comes of a coroutine with a notifier; nothing may be logged."""
    logged = LogCapture()

    async def run() -> _Result:
        notifier = AmqpNotifier(
            Messaging(event_notification_url=urls, **settings),
            timeout=timeout,
            event_source=SOURCE,
            log=structlog.wrap_logger(None, processors=[logged]),
            bounds=replace(BOUNDS, idle=idle),
        )
        try:
            return await do(notifier)
        finally:
            await notifier.close()

    result = asyncio.run(run())
    assert not logged.entries
    return result


def _deliver(*urls: str, trace: bool = False, timeout: float = 30.0, **config: Any) -> Receipt:
    """Deliver once."""
    return _with(
        *urls,
        do=lambda notifier: notifier.deliver(_listener(**config), PARCEL, trace=trace),
        timeout=timeout,
    )


def _numbered(count: int) -> list[Parcel]:
    return [replace(PARCEL, id=f"delivery-{number}", sequence=number) for number in range(count)]


@pytest.fixture
def consumer(rabbitmq: RabbitMQ) -> Iterator[Consumer]:
    """Yield a consumer of whatever listeners are told by amq.topic."""
    with Consumer(rabbitmq.host, rabbitmq.port, key="none") as made:
        made.channel.queue_bind(made.queue, "amq.topic", "pulp.server.#")
        yield made


def test_a_message_arrives_as_it_is_documented(rabbitmq: RabbitMQ, consumer: Consumer) -> None:
    """Exchange, key, every property, every header and the body."""
    assert _deliver(rabbitmq.url) == Receipt(verdict=Verdict.DELIVERED)
    (got,) = consumer.count(1)
    assert got.delivery_info["exchange"] == "amq.topic"
    assert got.delivery_info["routing_key"] == "pulp.server.repo.sync.finish"
    assert got.body.encode() == PARCEL.body
    assert got.properties == {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "application_headers": {
            "subject": "pulp.server.repo.sync.finish",
            "cloudEvents:specversion": "1.0",
            "cloudEvents:id": "j:7/repo.sync.finish",
            "cloudEvents:source": SOURCE,
            "cloudEvents:type": "repo.sync.finish",
            "cloudEvents:subject": PARCEL.task_id,
            "cloudEvents:time": "2026-01-02T03:04:05Z",
            "cloudEvents:sequence": "00000000000000000007",
        },
        "delivery_mode": 2,
        "message_id": PARCEL.id,
        "timestamp": int(NOW.timestamp()),
        "type": "repo.sync.finish",
        "app_id": "pulpit",
    }


def test_long_bodies_arrive_whole(rabbitmq: RabbitMQ, consumer: Consumer) -> None:
    """Those of many frames, and those of none."""
    parcels = [
        replace(PARCEL, id=f"delivery-{size}", body=b"x" * size) for size in (0, 1 << 17, 4 << 20)
    ]

    async def deliver(notifier: AmqpNotifier) -> list[Receipt]:
        return [await notifier.deliver(_listener(), parcel) for parcel in parcels]

    receipts = _with(rabbitmq.url, do=deliver)
    assert {receipt.verdict for receipt in receipts} == {Verdict.DELIVERED}
    assert [len(got.body) for got in consumer.count(3)] == [0, 1 << 17, 4 << 20]


def test_an_exchange_that_is_not_there_is_declared(rabbitmq: RabbitMQ, consumer: Consumer) -> None:
    """Durable and of type topic; one that is there is used as it is."""
    consumer.channel.exchange_declare("there", "fanout", durable=False, auto_delete=False)
    consumer.channel.queue_bind(consumer.queue, "there")
    for exchange in ("new", "there"):
        assert _deliver(rabbitmq.url, exchange=exchange).verdict is Verdict.DELIVERED
    consumer.channel.exchange_declare("new", "topic", durable=True, auto_delete=False)
    (got,) = consumer.count(1)
    assert got.delivery_info["exchange"] == "there"


def test_the_setting_names_the_exchange_of_listeners_that_name_none(
    rabbitmq: RabbitMQ, consumer: Consumer
) -> None:
    """Listeners that name one are told by theirs."""
    consumer.channel.exchange_declare("of-setting", "topic", durable=True, auto_delete=False)
    consumer.channel.queue_bind(consumer.queue, "of-setting", "#")

    async def deliver(notifier: AmqpNotifier) -> None:
        await notifier.deliver(_listener(), PARCEL)
        await notifier.deliver(_listener(exchange="amq.topic"), PARCEL)

    _with(rabbitmq.url, do=deliver, topic_exchange="of-setting")
    told = [got.delivery_info["exchange"] for got in consumer.count(2)]
    assert told == ["of-setting", "amq.topic"]


def test_one_exchange_that_cannot_be_used_holds_up_no_other(
    rabbitmq: RabbitMQ, consumer: Consumer
) -> None:
    """Nobody may declare one with a name of the broker's own."""

    async def deliver(notifier: AmqpNotifier) -> list[Receipt]:
        return await asyncio.gather(
            *(
                notifier.deliver(_listener(exchange=exchange), PARCEL)
                for exchange in ("amq.none", "amq.topic")
            )
        )

    refused, taken = _with(rabbitmq.url, do=deliver)
    assert taken.verdict is Verdict.DELIVERED
    assert refused.verdict is Verdict.FAILED
    assert "has no exchange amq.none" in refused.reason


def test_an_exchange_that_was_deleted_is_declared_again(
    rabbitmq: RabbitMQ, consumer: Consumer
) -> None:
    """What was sent meanwhile has failed."""

    async def deliver(notifier: AmqpNotifier) -> list[Receipt]:
        receipts = [await notifier.deliver(_listener(exchange="deleted"), PARCEL)]
        await asyncio.to_thread(consumer.channel.exchange_delete, "deleted")
        return [
            *receipts,
            *[await notifier.deliver(_listener(exchange="deleted"), PARCEL) for _ in range(2)],
        ]

    first, lost, again = _with(rabbitmq.url, do=deliver)
    assert (first.verdict, again.verdict) == (Verdict.DELIVERED, Verdict.DELIVERED)
    assert lost.verdict is Verdict.FAILED
    assert "exchange deleted was deleted" in lost.reason


def test_a_message_that_a_queue_refuses_has_failed(rabbitmq: RabbitMQ) -> None:
    """The broker says so (nack)."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with Consumer(rabbitmq.host, rabbitmq.port, key="none", arguments=full) as made:
        made.channel.queue_bind(made.queue, "amq.topic", "pulp.server.#")
        receipts = _with(rabbitmq.url, do=lambda notifier: _deliver_all(notifier, _numbered(20)))
    assert receipts[0].verdict is Verdict.DELIVERED
    assert "(nack)" in receipts[-1].reason


async def _deliver_all(notifier: AmqpNotifier, parcels: list[Parcel]) -> list[Receipt]:
    """Deliver parcels, one after the other."""
    return [await notifier.deliver(_listener(), parcel) for parcel in parcels]


def test_credentials_that_are_refused_are_told(rabbitmq: RabbitMQ) -> None:
    """Without the password."""
    receipt = _deliver(f"amqp://guest:swordfish@{rabbitmq.host}:{rabbitmq.port}/")
    assert receipt.verdict is Verdict.FAILED
    assert "refuses the credentials of user guest" in receipt.reason
    assert "swordfish" not in repr(receipt)


def test_brokers_are_tried_in_turn(rabbitmq: RabbitMQ, consumer: Consumer) -> None:
    """A delivery fails only once all were tried."""
    nobody = [f"amqp://127.0.0.1:{port}/" for port in free_ports(2)]
    exchange = _deliver(*nobody, rabbitmq.url, trace=True).exchange
    assert exchange is not None
    assert exchange.peer == f"{rabbitmq.host}:{rabbitmq.port}"
    assert exchange.received == ("basic.ack",)
    failed = _deliver(*nobody, trace=True)
    assert failed.verdict is Verdict.FAILED
    assert "start the broker" in failed.reason
    assert failed.exchange is not None
    assert failed.exchange.sent == ()


def test_the_servers_own_door_is_no_broker() -> None:
    """The reason says so."""
    with DoorThread() as door:
        receipt = _deliver(door.url)
    assert receipt.verdict is Verdict.FAILED
    assert "there is no broker, and the server's own AMQP door" in receipt.reason


def test_a_broker_under_an_alarm_is_told_of(rabbitmq: RabbitMQ, consumer: Consumer) -> None:
    """Once the time is up; what has not left by then never does."""

    async def deliver(notifier: AmqpNotifier) -> list[Receipt]:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.000001")
        try:
            # the broker says that it is blocked when something comes
            failed = [await notifier.deliver(_listener(), parcel) for parcel in _numbered(2)]
        finally:
            rabbitmq.ctl("set_vm_memory_high_watermark", "0.6")
        return failed

    first, second = _with(rabbitmq.url, do=deliver, timeout=0.7)
    for receipt in (first, second):
        assert receipt.verdict is Verdict.FAILED
        assert "memory and disk alarms" in receipt.reason


def test_a_frozen_broker_is_given_up_in_time(rabbitmq: RabbitMQ) -> None:
    """The event loop goes on meanwhile."""

    async def deliver(notifier: AmqpNotifier) -> Receipt:
        await notifier.deliver(_listener(), PARCEL)
        rabbitmq.freeze()
        try:
            return await notifier.deliver(_listener(), PARCEL)
        finally:
            rabbitmq.thaw()

    receipt = _with(rabbitmq.url, do=deliver, timeout=0.5)
    assert receipt.verdict is Verdict.FAILED
    assert "has not confirmed the message within 0.5 seconds" in receipt.reason


def test_the_connection_ends_when_it_is_idle(rabbitmq: RabbitMQ) -> None:
    """And is opened again when there is something to deliver."""

    def connections() -> list[str]:
        names = rabbitmq.evaluate(
            '[proplists:get_value(<<"connection_name">>, [{K, V} || {K, _, V} <- '
            "proplists:get_value(client_properties, rabbit_networking:connection_info(P, "
            "[client_properties]))]) || P <- rabbit_networking:connections()]"
        )
        return [name for name in names.split('"') if name == "pulpit-listeners"]

    async def deliver(notifier: AmqpNotifier) -> list[Receipt]:
        receipts = [await notifier.deliver(_listener(), PARCEL)]
        await asyncio.to_thread(until, lambda: not connections(), "no connection is left")
        return [*receipts, await notifier.deliver(_listener(), PARCEL)]

    receipts = _with(rabbitmq.url, do=deliver, idle=0.2)
    assert [receipt.verdict for receipt in receipts] == [Verdict.DELIVERED] * 2


def test_what_is_delivered_is_in_the_queue_whatever_happens_to_the_broker(
    rabbitmq: RabbitMQ,
) -> None:
    """It is killed amid deliveries and started again; nothing that was confirmed is lost."""
    delivered: list[str] = []
    verdicts: set[Verdict] = set()

    async def deliver(notifier: AmqpNotifier) -> None:
        news, over = asyncio.Condition(), asyncio.Event()

        async def one(number: int) -> None:
            attempt = 0
            while not over.is_set():
                attempt += 1
                parcel = replace(PARCEL, id=f"{number}-{attempt}")
                receipt = await notifier.deliver(_listener(exchange="durable"), parcel)
                async with news:
                    verdicts.add(receipt.verdict)
                    if receipt.verdict is Verdict.DELIVERED:
                        delivered.append(parcel.id)
                    news.notify_all()

        async def reached(count: int) -> None:
            async with news:
                await news.wait_for(lambda: len(delivered) >= count)

        async def kill() -> None:
            await reached(200)
            await asyncio.to_thread(rabbitmq.kill)
            # it dies with the thread that starts it
            rabbitmq.launch()
            await asyncio.to_thread(rabbitmq.await_answer)
            await reached(len(delivered) + 50)
            over.set()

        await asyncio.gather(kill(), *(one(number) for number in range(20)))

    with Consumer(rabbitmq.host, rabbitmq.port, key="none", queue="kept") as made:
        made.channel.exchange_declare("durable", "topic", durable=True, auto_delete=False)
        made.channel.queue_bind("kept", "durable", "pulp.server.#")
    _with(rabbitmq.url, do=deliver)
    with Consumer(rabbitmq.host, rabbitmq.port, key="none", queue="kept") as made:
        expected = set(delivered)
        got = made.collect(lambda messages: expected <= {each.message_id for each in messages})
        made.delete()
    assert expected <= {each.message_id for each in got}
    assert verdicts == {Verdict.DELIVERED, Verdict.FAILED}
