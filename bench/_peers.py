"""The publishers that the journal's is compared with, beside py-amqp: built, started, timed."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import _amqp
from pulpit.events.message import EXCHANGE, Message

__all__ = ["PEERS", "Peer", "Peers", "install"]

_ROOT = Path(__file__).resolve().parent.parent
_SOURCE = _ROOT / "bench" / "peers" / "publisher.c"
#: The virtual environment that ``make peers`` fills from requirements-bench.lock.
_PYTHON = _ROOT / ".cache" / "peers" / "bin" / "python"
_PATIENCE = 120.0
#: Celery's buffer_limit.
_CELERY_BATCH = 24


class PeerMissing(Exception):
    """A peer can't run on this machine; says what to do."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A way to publish events."""

    name: str
    #: What it does differently, for the table.
    text: str
    #: Its module in ``bench.peers``; None for the one in C.
    module: str | None = None
    #: More of its command line.
    options: tuple[str, ...] = ()
    #: Whether it runs in the project's own environment.
    ours: bool = False
    #: Its share of the messages: slow ones get fewer.
    share: float = 1.0
    #: Events that it puts into one message at most.
    batch: int = 1
    #: Whether it knows the broker's confirms; else its end is the last arrival.
    confirmed: bool = True
    #: Binding key of the consumer.
    binding: str = "tasks.#"


PEERS = (
    Peer(name="c", text="librabbitmq, confirms, the same window and messages; wished: 0.75"),
    Peer(
        name="aio_pika",
        text="publish of as many at once as the window holds, each awaiting its confirm",
        module="aio_pika_confirms",
        ours=True,
        share=0.5,
    ),
    Peer(
        name="fedora_messaging",
        text="its publish: one at a time, confirmed, all persistent, checked by a schema",
        module="fedora_publish",
        share=0.1,
    ),
    Peer(
        name="celery",
        text="send, unbuffered, confirm_publish on: one at a time; none persistent, no ids",
        module="celery_events",
        options=("confirmed",),
        share=0.25,
        binding="#",
    ),
    Peer(
        name="celery_unconfirmed",
        text="the same as it is by default: no confirms, what a broker loses is gone",
        module="celery_events",
        share=0.5,
        confirmed=False,
        binding="#",
    ),
    Peer(
        name="celery_buffered",
        text="24 events in one message as a worker sends them, confirm_publish on, no ids",
        module="celery_events",
        options=("confirmed", "buffered"),
        batch=_CELERY_BATCH,
        binding="#",
    ),
)


def install() -> None:
    """Install what is missing of the peers, as far as that is possible here; say so on stderr."""
    make = ["make", "--no-print-directory", "peers"]
    with suppress(FileNotFoundError):
        subprocess.run(make, cwd=_ROOT, stdout=sys.stderr, check=False)


class Peers:
    """The peers that can run here, with the messages that they publish.

    Args:
        folder: for the program in C and the files of messages.
        port: of the broker.
        messages: each peer publishes its share of them, from the first.
        window: how many may be unconfirmed.
    """

    def __init__(
        self, folder: Path, *, port: int, messages: Sequence[Message], window: int
    ) -> None:
        self._folder, self._port, self._window = folder, port, window
        self._count = len(messages)
        (folder / "messages.bin").write_bytes(_packed(messages))
        lines = [json.dumps(_described(message)) + "\n" for message in messages]
        self._commands: dict[str, list[str]] = {}
        #: Those that can run here.
        self.present: list[Peer] = []
        for peer in PEERS:
            (folder / f"{peer.name}.json").write_text("".join(lines[: self._events(peer)]))
            try:
                self._commands[peer.name] = self._command(peer)
            except PeerMissing as missing:
                print(f"vs_{peer.name} is left out: {missing}", file=sys.stderr)
            else:
                self.present.append(peer)

    def rate(self, peer: Peer) -> float:
        """Return how many events a second it publishes, once, with the consumer attached."""
        events = self._events(peer)
        arriving = math.ceil(events / peer.batch)
        with _amqp.attached(self._port, arriving, binding=peer.binding) as consumer:
            done = subprocess.run(
                self._commands[peer.name],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                text=True,
                timeout=_PATIENCE,
                check=True,
            )
            arrivals = consumer.arrivals()
        told = json.loads(done.stdout)
        ended = told["ended"] if peer.confirmed else max(arrivals.values())
        return float(events / (ended - told["began"]))

    def _events(self, peer: Peer) -> int:
        """Return how many events the peer publishes."""
        return int(self._count * peer.share)

    def _command(self, peer: Peer) -> list[str]:
        """Return what starts the peer.

        Raises:
            PeerMissing: it can't be started here.
        """
        given = [str(self._port), EXCHANGE, str(self._window)]
        if peer.module is None:
            return [str(self._built()), *given, str(self._folder / "messages.bin")]
        if not peer.ours and not _PYTHON.exists():
            raise PeerMissing("it is not installed: see above, or run make peers")
        python = sys.executable if peer.ours else str(_PYTHON)
        module = f"bench.peers.{peer.module}"
        file = str(self._folder / f"{peer.name}.json")
        return [python, "-m", module, *given, file, *peer.options]

    def _built(self) -> Path:
        """Compile the publisher in C and return it.

        Raises:
            PeerMissing: there is no compiler or no library.
        """
        if not shutil.which("gcc"):
            raise PeerMissing("there is no gcc: run make peers as root, or install it")
        program = self._folder / "publisher"
        done = subprocess.run(
            ["gcc", "-O2", "-std=c11", str(_SOURCE), "-o", str(program), "-lrabbitmq"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeerMissing(
                "it does not compile; librabbitmq-dev is needed: run make peers as root, "
                f"or install it:\n{done.stderr}"
            )
        return program


def _described(message: Message) -> Mapping[str, object]:
    """Return the message as peers in Python read it."""
    return {
        "routing_key": message.routing_key,
        "body": message.body.decode(),
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "headers": message.headers,
        "delivery_mode": message.delivery_mode,
        "message_id": message.message_id,
        "timestamp": message.timestamp,
        "type": message.type,
        "app_id": message.app_id,
    }


def _packed(messages: Sequence[Message]) -> bytes:
    """Return the messages as the publisher in C reads them."""
    parts = [struct.pack(">I", len(messages))]
    for message in messages:
        for raw in (
            message.routing_key.encode(),
            message.body,
            message.content_type.encode(),
            message.content_encoding.encode(),
            message.message_id.encode(),
            message.type.encode(),
            message.app_id.encode(),
        ):
            parts += struct.pack(">I", len(raw)), raw
        headers = message.headers
        parts.append(struct.pack(">BQI", message.delivery_mode, message.timestamp, len(headers)))
        for name, value in headers.items():
            parts += struct.pack(">I", len(name)), name.encode()
            if isinstance(value, str):
                raw = value.encode()
                parts += b"S", struct.pack(">I", len(raw)), raw
            else:
                parts += b"I", struct.pack(">i", value)
    return b"".join(parts)
