"""Ordinary client libraries at the door, as they come from their registries."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aio_pika
import amqp
import pika
import pytest

from tests.door_server import DoorThread, status
from tests.services import PATIENCE, free_ports, missing, until

# kombu says that it is typed, and is not
kombu: Any = importlib.import_module("kombu")

EXCHANGE = "pulp.api.v2"
NODE = Path(__file__).resolve().parents[1] / "acceptance" / "node"
COUNT = 50


@pytest.fixture
def door() -> Iterator[DoorThread]:
    """Yield a door."""
    with DoorThread() as running:
        yield running


def await_consumers(door: DoorThread, count: int = 1) -> None:
    """Return once *count* consumers are attached."""
    until(lambda: door.figures()["consumers"] == count, "consumers are attached")


def publish_to(door: DoorThread, consume: Callable[[], list[int]]) -> list[int]:
    """Run *consume* in a thread, publish when it is attached, return what it has got."""
    with ThreadPoolExecutor(1) as pool:
        consuming = pool.submit(consume)
        try:
            await_consumers(door)
            door.publish(*(status("t", revision) for revision in range(1, COUNT + 1)))
        except AssertionError:
            if consuming.done():
                consuming.result()
            raise
        return consuming.result(20)


def test_pika_blocking(door: DoorThread) -> None:
    """Pika's blocking connection gets all messages in order."""

    def consume() -> list[int]:
        got: list[int] = []
        with pika.BlockingConnection(pika.URLParameters(door.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_qos(prefetch_count=3)
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, EXCHANGE, "tasks.#")
            for method, properties, _ in channel.consume(queue):
                got.append(properties.headers["pulpit-revision"])
                channel.basic_ack(method.delivery_tag)
                if len(got) == COUNT:
                    return got
        return got

    assert publish_to(door, consume) == list(range(1, COUNT + 1))


def test_pika_select(door: DoorThread) -> None:
    """Pika's connection with callbacks gets all messages in order."""

    def consume() -> list[int]:
        got: list[int] = []

        def on_message(channel: Any, method: Any, properties: Any, _: bytes) -> None:
            got.append(properties.headers["pulpit-revision"])
            channel.basic_ack(method.delivery_tag)
            if len(got) == COUNT:
                connection.close()

        def on_queue(channel: Any, queue: str) -> None:
            channel.queue_bind(
                queue,
                EXCHANGE,
                "tasks.t",
                callback=lambda _: channel.basic_consume(queue, on_message),
            )

        def on_channel(channel: Any) -> None:
            channel.queue_declare(
                "", exclusive=True, callback=lambda ok: on_queue(channel, ok.method.queue)
            )

        connection = pika.SelectConnection(
            pika.URLParameters(door.url),
            on_open_callback=lambda opened: opened.channel(on_open_callback=on_channel),
            on_close_callback=lambda closed, _: closed.ioloop.stop(),
        )
        connection.ioloop.start()
        connection.ioloop.close()
        return got

    assert publish_to(door, consume) == list(range(1, COUNT + 1))


def test_kombu_as_in_2015(door: DoorThread) -> None:
    """The documentation's consumer of Pulp 2, with kombu's own defaults, and an API user."""

    def consume() -> list[int]:
        got: list[int] = []

        def on_message(body: dict[str, Any], message: Any) -> None:
            got.append(body["revision"])
            message.ack()

        exchange = kombu.Exchange(EXCHANGE, "topic")
        queue = kombu.Queue("", exchange=exchange, routing_key="tasks.#", exclusive=True)
        url = door.url.replace("guest:guest", "admin:secret")
        with (
            kombu.Connection(url, heartbeat=10) as connection,
            connection.Consumer(queue, callbacks=[on_message]),
        ):
            while len(got) < COUNT:
                connection.drain_events(timeout=PATIENCE)
                connection.heartbeat_check()
        return got

    assert publish_to(door, consume) == list(range(1, COUNT + 1))


def test_kombu_with_a_queue_that_is_not_exclusive(door: DoorThread) -> None:
    """It is refused with the way out, at once; kombu does not try for ever."""
    with kombu.Connection(door.url) as connection:
        queue = kombu.Queue("kept", exchange=kombu.Exchange(EXCHANGE, "topic"), routing_key="#")
        with pytest.raises(amqp.exceptions.PreconditionFailed, match="exclusive=true"):
            queue.bind(connection.channel()).declare()


def test_aio_pika_robust_comes_back() -> None:
    """Its robust connection survives a restart of the server, queue and bindings included."""
    [port] = free_ports(1)
    half = COUNT // 2
    halfway = threading.Event()

    async def consume() -> list[int]:
        connection = await aio_pika.connect_robust(
            f"amqp://guest:guest@127.0.0.1:{port}/", reconnect_interval=0.1
        )
        got: list[int] = []
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=4)
            exchange = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
            queue = await channel.declare_queue("mine", exclusive=True)
            await queue.bind(exchange, "tasks.#")
            async with queue.iterator() as messages:
                async for message in messages:
                    async with message.process():
                        got.append(int(str(message.headers["pulpit-revision"])))
                    if len(got) == half:
                        halfway.set()
                    if len(got) == COUNT:
                        break
        return got

    with ThreadPoolExecutor(1) as pool:
        with DoorThread(port=port) as door:
            consuming = pool.submit(lambda: asyncio.run(consume()))
            await_consumers(door)
            door.publish(*(status("t", revision) for revision in range(1, half + 1)))
            assert halfway.wait(PATIENCE)
        with DoorThread(port=port) as door:
            await_consumers(door)
            door.publish(*(status("t", revision) for revision in range(half + 1, COUNT + 1)))
            assert consuming.result(20) == list(range(1, COUNT + 1))


def _run(door: DoorThread, command: list[str]) -> str:
    """Run a consumer that ends after COUNT messages and return what it printed."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            await_consumers(door)
            door.publish(*(status("t", revision) for revision in range(1, COUNT + 1)))
            output, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return output


def test_amqplib(door: DoorThread) -> None:
    """Node's amqplib gets all messages in order, by a confirm channel with a prefetch."""
    if shutil.which("node") is None or not (NODE / "node_modules").is_dir():
        missing("node's amqplib (npm ci in tests/acceptance/node)")
    output = _run(door, ["node", str(NODE / "consume.js"), door.url, str(COUNT)])
    assert output.splitlines() == [f"tasks.t {revision}" for revision in range(1, COUNT + 1)]


def test_amqp_consume(door: DoorThread) -> None:
    """Debian's amqp-consume hands all messages to a command, in order."""
    if shutil.which("amqp-consume") is None:
        missing("amqp-consume (amqp-tools)")
    options = ["-e", EXCHANGE, "-r", "tasks.#", "-x", "-p", "1", "-c", str(COUNT)]
    output = _run(door, ["amqp-consume", "-u", door.url.rstrip("/"), *options, "cat"])
    bodies = (f'{{"task":"t","revision":{revision}}}' for revision in range(1, COUNT + 1))
    assert output == "".join(bodies)
