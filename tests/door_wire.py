"""A bare AMQP 0-9-1 client: sends any frame, right or wrong, and shows what comes back."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any, Self

from pamqp import base, body, commands, frame, header, heartbeat

__all__ = ["Wire", "method_frame", "raw_frame"]

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

Connection = commands.Connection
Received = tuple[int, frame.FrameTypes]


def raw_frame(kind: int, channel: int, payload: bytes, *, end: bytes = b"\xce") -> bytes:
    """Return a frame, which may be one that nobody should send."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def method_frame(channel: int, method: base.Frame) -> bytes:
    """Return the frame of *method*, without the codec's own checks."""
    payload = struct.pack(">I", method.index) + _arguments(method)
    return raw_frame(1, channel, payload)


def _arguments(method: base.Frame) -> bytes:
    method.validate = lambda: None  # type: ignore[method-assign]
    return method.marshal()


class Wire:
    """A connection by hand; ``with Wire(...) as wire: wire.log_in()``."""

    def __init__(self, host: str, port: int, *, timeout: float = 10) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tune = Connection.Tune()
        self._data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send octets; a peer that has gone shows when its answer is read."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def send_method(self, method: base.Frame, channel: int = 1) -> None:
        """Send a method frame."""
        self.send(method_frame(channel, method))

    def receive(self) -> Received | None:
        """Return channel and frame of what comes next but heartbeats; None at the end."""
        while True:
            while len(self._data) < 7 or len(self._data) < self._size():
                try:
                    data = self.socket.recv(1 << 18)
                except ConnectionError:
                    data = b""
                if not data:
                    return None
                self._data += data
            if self._data.startswith(b"AMQP"):
                self._data, header_ = self._data[8:], self._data[:8]
                return 0, header.ProtocolHeader(*header_[5:8])
            used, channel, value = frame.unmarshal(self._data)
            self._data = self._data[used:]
            if not isinstance(value, heartbeat.Heartbeat):
                return channel, value

    def _size(self) -> int:
        """Return the size of the frame that has begun to arrive."""
        if self._data.startswith(b"AMQP"):
            return 8
        return 8 + int(struct.unpack_from(">I", self._data, 3)[0])

    def expect(self, kind: type[Any]) -> Any:
        """Return the next frame.

        Raises:
            AssertionError: it is not of *kind*.
        """
        received = self.receive()
        assert received is not None, f"{kind.name} expected, but the connection ended"
        assert isinstance(received[1], kind), f"{kind.name} expected, {dict(received[1])} came"  # type: ignore[arg-type]
        return received[1]

    def call(self, method: base.Frame, channel: int = 1) -> Received | None:
        """Send *method* and return what comes back."""
        self.send_method(method, channel)
        return self.receive()

    def ask(self, method: base.Frame, kind: type[Any], channel: int = 1) -> Any:
        """Send *method* and return the answer, which must be of *kind*."""
        self.send_method(method, channel)
        return self.expect(kind)

    def start(
        self,
        login: str = "guest",
        password: str = "guest",
        *,
        mechanism: str = "PLAIN",
        capabilities: bool = True,
    ) -> None:
        """Send the protocol header and the credentials."""
        self.send(PROTOCOL_HEADER)
        self.expect(Connection.Start)
        names = ("authentication_failure_close", "consumer_cancel_notify", "basic.nack")
        properties: Any = {"capabilities": dict.fromkeys(names, capabilities)}
        self.send_method(
            Connection.StartOk(
                client_properties=properties,
                mechanism=mechanism,
                response=f"\0{login}\0{password}",
            ),
            0,
        )

    def log_in(
        self,
        login: str = "guest",
        password: str = "guest",
        *,
        channel_max: int = 64,
        frame_max: int = 131_072,
        heartbeat_seconds: int = 0,
        mechanism: str = "PLAIN",
    ) -> Self:
        """Go through the whole handshake and open channel 1."""
        self.start(login, password, mechanism=mechanism)
        self.tune = self.expect(Connection.Tune)
        self.send_method(Connection.TuneOk(channel_max, frame_max, heartbeat_seconds), 0)
        self.ask(Connection.Open("/"), Connection.OpenOk, 0)
        self.ask(commands.Channel.Open(), commands.Channel.OpenOk)
        return self

    def log_out(self) -> None:
        """Close the connection and wait for the end of all that it had."""
        self.send_method(Connection.Close(200, "bye", 0, 0), 0)
        while (received := self.receive()) is not None:
            if isinstance(received[1], Connection.CloseOk):
                return
            if isinstance(received[1], Connection.Close):
                self.send_method(Connection.CloseOk(), 0)

    def queue(self, *patterns: str, name: str = "", exchange: str = "pulp.api.v2") -> str:
        """Declare an exclusive queue, bind it by *patterns* and return its name."""
        declare = commands.Queue.Declare(queue=name, exclusive=True)
        name = self.ask(declare, commands.Queue.DeclareOk).queue
        for pattern in patterns:
            bind = commands.Queue.Bind(queue=name, exchange=exchange, routing_key=pattern)
            self.ask(bind, commands.Queue.BindOk)
        return name

    def consume(self, queue: str, *, no_ack: bool = False, tag: str = "c") -> None:
        """Start a consumer."""
        consume = commands.Basic.Consume(queue=queue, consumer_tag=tag, no_ack=no_ack)
        self.ask(consume, commands.Basic.ConsumeOk)

    def barrier(self) -> None:
        """Return once the server has handled all that was sent before."""
        self.ask(commands.Confirm.Select(), commands.Confirm.SelectOk)

    def content(self) -> tuple[header.ContentHeader, bytes]:
        """Return header and body of the content that comes next."""
        head: header.ContentHeader = self.expect(header.ContentHeader)
        data = b""
        while len(data) < head.body_size:
            data += self.expect(body.ContentBody).value
        return head, data

    def deliveries(self, count: int) -> Iterator[tuple[commands.Basic.Deliver, Any, bytes]]:
        """Yield method, properties and body of the next *count* deliveries."""
        for _ in range(count):
            deliver = self.expect(commands.Basic.Deliver)
            head, data = self.content()
            yield deliver, head.properties, data

    def deliveries_so_far(self) -> list[tuple[commands.Basic.Deliver, bytes]]:
        """Return all that the door delivers before it answers the second of two questions.

        What becomes deliverable in a turn is sent at the end of that turn.
        """
        found = []
        for _ in range(2):
            self.send_method(commands.Confirm.Select())
            while (received := self.receive()) is not None:
                if isinstance(received[1], commands.Confirm.SelectOk):
                    break
                assert isinstance(received[1], commands.Basic.Deliver)
                found.append((received[1], self.content()[1]))
        return found
