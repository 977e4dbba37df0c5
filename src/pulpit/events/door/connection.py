"""One client's socket: reading in turns, the way through the login, timers and the end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from pamqp import base, commands

from pulpit.events.door.credentials import Gate
from pulpit.events.door.frames import (
    HEARTBEAT,
    PROTOCOL_HEADER,
    Frame,
    FrameSplitter,
    FrameType,
    decode_method,
    encode_method,
)
from pulpit.events.door.handshake import Handshake
from pulpit.events.door.outgoing import Outgoing
from pulpit.events.door.refusals import ConnectionRefusal
from pulpit.events.door.session import Session, Shared
from pulpit.events.door.turns import Turns
from pulpit.events.reply_codes import ReplyCode

__all__ = ["Connection", "Surroundings"]

_FRAMES_A_TURN: Final = 64
_SECONDS_A_TURN: Final = 0.001
# twice the interval that was agreed, in halves of it
_SILENT_HALVES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a connection needs of its door, and whom it tells of itself."""

    shared: Shared
    gate: Gate
    turns: Turns
    #: Returns False where the door has no room for one more.
    on_arrival: Callable[[Connection], bool]
    on_open: Callable[[Connection], None]
    on_lost: Callable[[Connection], None]


class Connection(asyncio.Protocol):
    """A client, from accept to the end of its socket."""

    def __init__(self, around: Surroundings) -> None:
        settings = around.shared.settings
        self.host = ""
        #: Channels and queues, once the login is over.
        self.session: Session | None = None
        self._around = around
        self._shared = around.shared
        self._transport: asyncio.Transport | None = None
        self._outgoing: Outgoing | None = None
        self._splitter = FrameSplitter(
            frame_max=settings.frame_max, method_bytes=settings.method_bytes_before_login
        )
        self._handshake: Handshake | None = None
        self._admission: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: Frames wait for their turn, or for the check of the credentials.
        self._waits = False
        self._closing = False
        self._heard = True
        self._silent_halves = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet nobody yet: the client speaks first, within the time of the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self.host = str((transport.get_extra_info("peername") or ("",))[0])
        settings = self._shared.settings
        self._outgoing = Outgoing(
            self._transport,
            buffer_bytes=settings.write_buffer_bytes,
            unread_reply_bytes=settings.unread_reply_bytes,
            on_excess=self._cut_who_reads_nothing,
        )
        if not self._around.on_arrival(self):
            self.abort()
            return
        plug = transport.get_extra_info("socket")
        if plug is not None:
            # clients that choose to have no heartbeats may vanish as well
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._set_timer(settings.handshake_seconds, self._cut_who_is_late)

    def data_received(self, data: bytes) -> None:
        """Handle the first frames at once, the others in turn with those of other clients."""
        self._heard = True
        self._splitter.feed(data)
        if not self._waits and self.turn():
            self._wait()
            self._around.turns.add(self.turn)

    def eof_received(self) -> None:
        """Whoever sends no more reads no more."""
        self.abort()

    def pause_writing(self) -> None:
        """Deliver no more until the peer has read."""
        if self._outgoing is not None:
            self._outgoing.stall()

    def resume_writing(self) -> None:
        """Deliver what has waited."""
        if self._outgoing is not None:
            self._outgoing.go_on()
        if self.session is not None:
            self.session.pump_all()

    def connection_lost(self, _: Exception | None) -> None:
        """Give up what the client had."""
        self._closing = True
        self._transport = None
        for pending in (self._timer, self._admission):
            if pending is not None:
                pending.cancel()
        if self.session is not None:
            self.session.end()
        self._around.on_lost(self)

    def turn(self) -> bool:
        """Handle some of the frames that have arrived; True where there may be more."""
        until = time.perf_counter() + _SECONDS_A_TURN
        more = False
        try:
            for _ in range(_FRAMES_A_TURN):
                more = self._handle_next()
                if not more or time.perf_counter() > until:
                    break
            if self.session is not None:
                self.session.pump_touched()
        except ConnectionRefusal as refusal:
            self.close(refusal)
        except Exception as error:  # noqa: BLE001 (an error of ours must not end the server)
            self._shared.log.warning("door.error", peer=self.host, error=repr(error))
            self.close(ConnectionRefusal(ReplyCode.INTERNAL_ERROR, "see the log of the server"))
        if not more and self._waits and self._admission is None:
            self._waits = False
            if self._transport is not None:
                self._transport.resume_reading()
        return more

    def close(self, refusal: ConnectionRefusal) -> None:
        """Send connection.close and wait a little for its answer."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        if self.session is not None:
            self.session.end()
        if self._handshake is None:
            self.abort()
            return
        self._send(
            commands.Connection.Close(
                reply_code=refusal.code, reply_text=refusal.text, class_id=0, method_id=0
            )
        )
        self._set_timer(self._shared.settings.close_seconds, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        self._closing = True
        if self._outgoing is not None:
            self._outgoing.drop()
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        """Read no more until what has arrived is handled."""
        self._waits = True
        if self._transport is not None:
            self._transport.pause_reading()

    def _handle_next(self) -> bool:
        """Handle one frame, if it is there; whoever has gone or waits for a check has none."""
        if self._transport is None or self._admission is not None:
            return False
        if self._handshake is None:
            return self._greet()
        frame = self._splitter.next()
        if frame is None:
            return False
        if self._closing:
            self._handle_closing(frame)
        elif frame.channel and self.session is not None:
            self.session.handle(*frame)
        elif frame.type != FrameType.HEARTBEAT:
            self._handle_on_connection(frame, self._handshake)
        return True

    def _greet(self) -> bool:
        """Answer the protocol header; any other is told which one is spoken here."""
        header = self._splitter.take(len(PROTOCOL_HEADER))
        if header is None or self._closing or self._outgoing is None:
            return False
        if header != PROTOCOL_HEADER:
            self._shared.counts.refused += 1
            self._outgoing.write(PROTOCOL_HEADER)
            self._finish()
            return False
        self._handshake = Handshake(self._around.gate, self._shared.settings, self.host, self._send)
        self._handshake.begin()
        return True

    def _handle_on_connection(self, frame: Frame, handshake: Handshake) -> None:
        if frame.channel or frame.type != FrameType.METHOD:
            raise ConnectionRefusal(
                ReplyCode.CHANNEL_ERROR if frame.channel else ReplyCode.UNEXPECTED_FRAME,
                f"a frame of type {frame.type} on channel {frame.channel} is not expected now",
            )
        method = decode_method(frame.payload)
        if isinstance(method, commands.Connection.Close):
            self._send(commands.Connection.CloseOk())
            self._finish()
        elif self.session is not None:
            raise ConnectionRefusal(
                ReplyCode.CHANNEL_ERROR, f"{method.name} is not expected on channel 0 now"
            )
        else:
            start_ok = handshake.handle(method)
            if start_ok is not None:
                self._wait()
                admission = self._admit(handshake, start_ok)
                self._admission = asyncio.get_running_loop().create_task(admission)
            elif handshake.done:
                self._open(handshake)

    def _handle_closing(self, frame: Frame) -> None:
        """Swallow all but the answer to connection.close, and a close that crossed it."""
        if frame.channel or frame.type != FrameType.METHOD:
            return
        method = decode_method(frame.payload)
        if isinstance(method, commands.Connection.Close):
            self._send(commands.Connection.CloseOk())
        if isinstance(method, commands.Connection.Close | commands.Connection.CloseOk):
            self._finish()

    async def _admit(self, handshake: Handshake, start_ok: commands.Connection.StartOk) -> None:
        """Check the credentials; whoever has wrong ones waits for the answer."""
        log = self._shared.log
        try:
            admitted = await handshake.admit(start_ok)
        except Exception as error:  # noqa: BLE001 (a check that fails is a no)
            log.warning("door.authentication_error", error=repr(error))
            admitted = False
        if not admitted:
            self._shared.counts.refused += 1
            log.warning("door.refused", peer=self.host, reason="wrong credentials")
            await asyncio.sleep(self._shared.settings.refusal_seconds)
            if handshake.understands("authentication_failure_close"):
                self.close(ConnectionRefusal(ReplyCode.ACCESS_REFUSED, "wrong login or password"))
            else:
                self.abort()
        self._admission = None
        self._around.turns.add(self.turn)

    def _open(self, handshake: Handshake) -> None:
        """Let the client work with channels."""
        assert self._outgoing is not None
        self._splitter.frame_max = handshake.frame_max
        self._splitter.method_bytes = self._shared.settings.method_bytes
        self.session = Session(
            self._shared,
            self._outgoing,
            host=self.host,
            frame_max=handshake.frame_max,
            channel_max=handshake.channel_max,
            cancel_notify=handshake.understands("consumer_cancel_notify"),
            refuse=self.close,
        )
        if self._timer is not None:
            self._timer.cancel()
        if handshake.heartbeat:
            half = handshake.heartbeat / 2
            self._set_timer(half, partial(self._beat, half))
        self._around.on_open(self)
        self._shared.log.info("door.connected", peer=self.host, login=handshake.login)

    def _beat(self, half: float) -> None:
        """Send a heartbeat where nothing else was sent; cut who was silent for too long."""
        self._silent_halves = 0 if self._heard else self._silent_halves + 1
        if self._silent_halves >= _SILENT_HALVES:
            self._cut("no heartbeat")
            return
        outgoing = self._outgoing
        if outgoing is not None:
            if not outgoing.spoke and not outgoing.stalled:
                outgoing.write(HEARTBEAT)
            outgoing.spoke = False
        self._heard = False
        self._set_timer(half, partial(self._beat, half))

    def _cut_who_is_late(self) -> None:
        self._shared.counts.refused += 1
        self._cut("the login took too long")

    def _cut_who_reads_nothing(self) -> None:
        self._cut("it does not read the replies")

    def _cut(self, reason: str) -> None:
        self._shared.log.warning("door.cut", peer=self.host, reason=reason)
        self.abort()

    def _set_timer(self, seconds: float, action: Callable[[], None]) -> None:
        """Call *action* later, instead of what was set before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _send(self, method: base.Frame) -> None:
        if self._outgoing is not None:
            self._outgoing.reply(encode_method(0, method))

    def _finish(self) -> None:
        """Send what is left and end the connection."""
        self._closing = True
        if self._transport is None or self._outgoing is None:
            return
        self._outgoing.flush()
        self._transport.close()
        # a peer that never reads would keep the socket open
        self._set_timer(self._shared.settings.close_seconds, self.abort)
