"""The AMQP door against RabbitMQ, at 1 and at 50 consumers.

    python -m bench.door [--quick] [--json]

Messages have bodies of 1.5 KB and are delivered without acknowledgement; the consumers are the
same ones for both, on bare sockets in a process of their own. The door is fed by the server's own
process, RabbitMQ by py-amqp without confirms, which is faster than with them. Both are measured in
turns, and a ratio is that of the medians of deliveries a second.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import amqp

from bench._door_server import make_messages
from bench._report import Aim, Measured, run
from pulpit.events.message import EXCHANGE
from tests.door_wire import Wire
from tests.services.rabbitmq import RabbitMQ

__all__ = ["main", "measure"]

_HOST = "127.0.0.1"
_IDLE = 400
#: Consumers and messages of each round.
_ROUNDS = ((1, 60_000), (50, 6_000))
_QUICK_ROUNDS = ((1, 10_000), (50, 800))

_AIMS = {
    "vs_rabbitmq_1": Aim(least=1, text="deliveries/s at 1 consumer, door / RabbitMQ"),
    "vs_rabbitmq_50": Aim(least=1, text="deliveries/s at 50 consumers, door / RabbitMQ"),
    "idle_consumer_kib": Aim(text="memory of the door for each idle consumer"),
}


class _DoorProcess:
    """The door in its process; made by ``_door``."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin, self._stdout = stdin, stdout
        self.port = int(self._line())

    def ask(self, order: str) -> str:
        """Give an order and return the answer."""
        self._stdin.write(f"{order}\n")
        self._stdin.flush()
        return self._line()

    def _line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise RuntimeError("the door ended: see its errors above")
        return line.strip()


@contextmanager
def _door() -> Iterator[_DoorProcess]:
    """Run a door."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench._door_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield _DoorProcess(process.stdin, process.stdout)
        process.stdin.close()


def _deliveries_a_second(
    port: int, consumers: int, count: int, publish: Callable[[], object]
) -> float:
    """Attach consumers, publish *count* messages, and return how fast they all arrived."""
    command = [sys.executable, "-m", "bench._door_consumers", _HOST]
    arguments = [str(number) for number in (port, consumers, count)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the consumers ended: see their errors above")
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publish)
            line = process.stdout.readline()
            publishing.result()
        if not line:
            raise RuntimeError("the consumers ended: see their errors above")
        return count * consumers / float(line)


def _publish_to_broker(port: int, count: int) -> None:
    """Publish through py-amqp as fast as it goes."""
    contents = [
        (
            amqp.Message(
                message.body,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                application_headers=dict(message.headers),
                delivery_mode=message.delivery_mode,
                message_id=message.message_id,
                timestamp=message.timestamp,
                type=message.type,
                app_id=message.app_id,
            ),
            message.routing_key,
        )
        for message, _ in make_messages(count)
    ]
    # a broker that holds a publisher back for a second must not end its connection
    options = {socket.TCP_USER_TIMEOUT: 0}
    with amqp.Connection(f"{_HOST}:{port}", socket_settings=options) as connection:
        channel = connection.channel()
        for content, key in contents:
            channel.basic_publish(content, EXCHANGE, key)


def _idle_kib(door: _DoorProcess) -> float:
    """Return what an idle consumer costs the door."""
    with ExitStack() as stack:
        before = int(door.ask("idle"))
        for _ in range(_IDLE):
            wire = stack.enter_context(Wire(_HOST, door.port)).log_in(heartbeat_seconds=60)
            wire.consume(wire.queue("tasks.#"))
        return (int(door.ask("idle")) - before) / _IDLE


def _declare(broker: RabbitMQ) -> None:
    with amqp.Connection(f"{_HOST}:{broker.port}") as connection:
        connection.channel().exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)


def _medians(
    broker: RabbitMQ, door: _DoorProcess, consumers: int, count: int
) -> tuple[float, float]:
    """Return the deliveries a second of the door and of RabbitMQ, measured in turns."""
    of_door, of_broker = [], []
    for _ in range(3):
        of_door.append(
            _deliveries_a_second(
                door.port, consumers, count, lambda: door.ask(f"publish {count} {consumers}")
            )
        )
        of_broker.append(
            _deliveries_a_second(
                broker.port, consumers, count, lambda: _publish_to_broker(broker.port, count)
            )
        )
    return statistics.median(of_door), statistics.median(of_broker)


def measure(quick: bool) -> Measured:  # noqa: FBT001 - the one choice there is
    """Return the ratios and figures; *quick* takes fewer messages."""
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {}
    with TemporaryDirectory(prefix="bench-door-") as folder, ExitStack() as stack:
        broker = RabbitMQ(Path(folder) / "rabbitmq")
        stack.callback(broker.stop)
        broker.start()
        _declare(broker)
        door = stack.enter_context(_door())
        figures["idle_consumer_kib"] = _idle_kib(door)
        for consumers, count in _QUICK_ROUNDS if quick else _ROUNDS:
            of_door, of_broker = _medians(broker, door, consumers, count)
            ratios[f"vs_rabbitmq_{consumers}"] = of_door / of_broker
            figures[f"door_{consumers}_per_s"] = of_door
            figures[f"rabbitmq_{consumers}_per_s"] = of_broker
    return Measured(ratios=ratios, figures=figures)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    title = "The AMQP door against RabbitMQ: 1.5 KB bodies, deliveries a second"
    run("door", title, measure, _AIMS, arguments)


if __name__ == "__main__":
    main()
